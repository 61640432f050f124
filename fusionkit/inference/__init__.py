"""A network on new cases: one pass, samples of what is random, and ensembles.

What predictions are worth is measured in `evaluation`. Uncertainty methods are plugins; they are run from here.
"""
