"""Running a network on cases: a single pass, Monte Carlo samples, and ensembles.

Predictions are evaluated in `evaluation`. Uncertainty methods are plugins; they are run from here.
"""
