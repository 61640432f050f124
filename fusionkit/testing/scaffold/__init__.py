"""Creates a plugin package: `generate` fills in the files of `templates/` and writes them.

Whether the result follows the contract is checked in `packages`. The published component is the author's.
"""
