"""Weights of authors' code: mapping of names, conversion of tensors, and verification against recorded results.

Name mappings are declared by the components' plugins. Files of our own weights are read in `network`.
"""
