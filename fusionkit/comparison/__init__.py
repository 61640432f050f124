"""Comparison of fusions: candidates for one node of a graph, trained alike, with paired statistics and a report.

How one network is trained lives in `training` and `runs`. The metrics and their intervals are those of `evaluation`.
"""
