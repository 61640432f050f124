"""Weights that others trained: files of tensors, the folders they come in, and the recipe beside them.

What of a graph starts from them is known to `planning`; how a recipe differs from a data file is told by `runs`.
Checkpoints of authors' code under other names are converted by `conversion`.
"""
