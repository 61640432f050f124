"""Comparison of fusions: candidates for one node of a graph, trained identically, with paired statistics and a report.

The training of one network lives in `training` and `runs`. The metrics and their intervals are those of `evaluation`.
"""
