"""Checks an installed package of plugins: entry point, hooks, catalogue, graphs, imports, and its components.

The checks of one component are in `checks`. Packages are found by name in `distributions`, which imports little, as
the commands that use it must start fast.
"""

from fusionkit.testing.packages.check import check_package

__all__ = ["check_package"]
