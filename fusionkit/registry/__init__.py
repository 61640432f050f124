"""Which components and graphs are installed, read from catalogues without importing any component.

Components are declared in `components`. Options are checked in `planning`.
"""
