"""Which rows of the list of runs are new, changed or gone since the page last asked."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fusionkit.records.run_folders import RunRow


class RunChanges:
    """Counts the states of the list: each answer has the number of its state, from which the next one goes on."""

    def __init__(self) -> None:
        # A studio that was started later counts on from higher numbers: a page from before gets every row again.
        self._number = int(time.time() * 1000)
        self._first = self._number
        self._rows: dict[str, tuple[RunRow, int]] = {}
        self._gone: dict[str, int] = {}

    def noted(self, rows: Iterable[RunRow]) -> int:
        """The number of the state with these rows."""
        found = {row.path: row for row in rows}
        new = {path: row for path, row in found.items() if path not in self._rows or self._rows[path][0] != row}
        gone = self._rows.keys() - found.keys()
        if new or gone:
            self._number += 1
            self._rows |= {path: (row, self._number) for path, row in new.items()}
            for path in gone:
                del self._rows[path]
            self._gone = {path: number for path, number in self._gone.items() if path not in found} | dict.fromkeys(
                gone, self._number)
        return self._number

    def since(self, number: int) -> tuple[list[RunRow], list[str]]:
        """The rows that are new or changed since a state, and the paths of those that are gone.

        A number that this count never gave stands for an empty list.
        """
        if not self._first <= number <= self._number:
            number = 0
        return ([row for row, changed in self._rows.values() if changed > number],
                sorted(path for path, left in self._gone.items() if left > number))
