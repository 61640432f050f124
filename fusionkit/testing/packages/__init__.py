"""Checks an installed package of plugins: entry point, hooks, catalogue, graphs, imports, and its components.

The checks of one component are in `checks`. Packages are found by name in `distributions`, which is as light as the
commands that need it.
"""

from fusionkit.testing.packages.check import check_package

__all__ = ["check_package"]
