"""Readers: one input of a case, from a file."""
