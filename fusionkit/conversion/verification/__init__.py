"""Recorded numbers of released code, computed again by our components: `fusionkit weights verify`.

The recordings are files of the tests or of the user. Names are mapped by `conversion.name_mapping`.
"""

from fusionkit.conversion.verification.check import EntryComparison, FixtureCheck, check

__all__ = ["EntryComparison", "FixtureCheck", "check"]
