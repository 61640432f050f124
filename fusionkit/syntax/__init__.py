"""Reads YAML into a tree that keeps source locations, writes it back, and checks options against their classes.

The meaning of the values is defined in `graph` and `data`. Nothing from a file is executed.
"""
