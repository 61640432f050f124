"""A graph as the file has it: inputs, nodes and what they read from, in an order in which they can run.

Ids are looked up in `planning`, with the options of their components. Shapes are not known here.
"""
