"""Recorded numbers of released code, computed again by our components: `fusionkit weights verify`."""

from fusionkit.conversion.verification.check import Check, Row, check

__all__ = ["Check", "Row", "check"]
