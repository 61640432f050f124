"""A plan as a picture: SVG and Mermaid.

Plots of results live in `evaluation`, `comparison` and `explanation`. Shapes and costs come with the plan.
"""
