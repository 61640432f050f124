"""Which components and graphs are installed, by their catalogues, without importing one of them.

What a component is, is declared in `components`. Options are checked in `planning`.
"""
