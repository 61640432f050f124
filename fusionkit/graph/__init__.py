"""A graph as written in the file: inputs, nodes and what they read, in execution order.

Ids and options are looked up in `planning`. Shapes are not known here.
"""
