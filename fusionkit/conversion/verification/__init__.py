"""Recorded numbers of released code, computed again by our components: `fusionkit weights verify`.

The recordings are files of the tests or of the user. Names are mapped by `conversion.name_mapping`.
"""

from fusionkit.conversion.verification.check import Check, Row, check

__all__ = ["Check", "Row", "check"]
