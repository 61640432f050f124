"""YAML text to a tree in which every value keeps its place, and back; options checked against their classes.

What the values mean is known to `graph` and `data`. Nothing from a file is executed.
"""
