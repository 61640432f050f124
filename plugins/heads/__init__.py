"""Heads: turn features into a result."""
