"""One run from start to folder: set-up of graph and data, training, prediction, evaluation, and reopening.

The loop lives in `training`, metrics in `evaluation`. Several runs compared with each other are a `comparison`.
"""
