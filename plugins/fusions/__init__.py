"""Fusions: combine several inputs into one, or exchange information between them. One component per file."""
