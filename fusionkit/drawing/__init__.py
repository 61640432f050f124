"""Draws a plan as SVG and Mermaid.

Plots of results live in `evaluation`, `comparison` and `explanation`. Shapes and costs come from the plan.
"""
