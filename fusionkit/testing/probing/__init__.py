"""What a component is tried on: options from its options class, sizes from its rule, and runs on these.

Whether what a run gives is right is judged in `checks`. Random graphs have strategies of their own, in `random_graphs`.
"""
