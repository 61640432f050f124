"""Verifies components against recorded results of authors' code: `fusionkit weights verify`.

The recordings are files of the tests or of the user. Names are mapped in `conversion.name_mapping`.
"""

from fusionkit.conversion.verification.check import EntryComparison, FixtureCheck, check

__all__ = ["EntryComparison", "FixtureCheck", "check"]
