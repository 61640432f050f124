"""Comparison of fusions: candidates for one node of a graph, trained alike, with paired statistics and a report."""
