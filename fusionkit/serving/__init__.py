"""A trained network over HTTP: a request holds one case, the answer is what `predict` says of it.

Which network answers is told by an `Engine`; those of runs and of exported folders are made in `interface`. Nothing
here knows of a command line, and nothing of a case is logged or kept.
"""
