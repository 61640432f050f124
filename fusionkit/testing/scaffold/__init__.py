"""Begins a plugin package: `generate` fills in the files of `templates/` and writes them.

Whether the result holds to the contract is checked in `packages`. The component that is published is the author's.
"""
