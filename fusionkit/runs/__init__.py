"""One run from start to folder: graph and data set up, trained, predicted, evaluated, and opened again.

The loop lives in `training`, and metrics in `evaluation`. Several runs beside each other are a `comparison`.
"""
