"""Bundled transforms: random changes of training cases, and presets of them."""
