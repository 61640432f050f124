"""Recorded numbers of released code, computed again by our components: `python -m fusionkit.testing.golden`."""

from fusionkit.testing.golden.check import Check, Row, check

__all__ = ["Check", "Row", "check"]
