"""Weights of published code: names mapped, tensors arranged, and recorded results computed again.

Which names belong to which component is declared by its plugin. Plain files of our own weights are read in `network`.
"""
