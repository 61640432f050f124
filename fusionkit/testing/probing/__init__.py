"""Chooses what a component is tested with: options from its options class, sizes from its rule, and runs on these.

Results of the runs are checked in `checks`. The strategies of random graphs are in `random_graphs`.
"""
