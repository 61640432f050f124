"""The part or the fold of every row of a cohort, and groups that are in several of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.findings import Findings
from fusionkit.data.grouped_folds import divided
from fusionkit.data.numbers import PLAIN
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Division:
    """The part of each row: `parts` by column or fraction, `folds` by number; both are empty without a split.

    `names` are those of the folds where each is a value of a column, such as a site.
    """

    parts: tuple[str, ...] = ()
    folds: NDArray[np.int64] | None = None
    fold_count: int = 0
    names: tuple[str, ...] = ()

    def rows(self, part: str) -> tuple[int, ...]:
        """The rows of a part, in the order of the table; with folds, fold 0 is tested and the others are trained."""
        if self.folds is not None:
            train, test = self.fold(0)
            return {"train": train, "test": test}.get(part, ())
        return tuple(row for row, name in enumerate(self.parts) if name == part)

    def fold(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The training and test rows of one fold."""
        assert self.folds is not None and 0 <= number < self.fold_count, f"no fold {number}; please report"
        held = self.folds == number
        return tuple(np.flatnonzero(~held).tolist()), tuple(np.flatnonzero(held).tolist())

    def told(self, number: int) -> str:
        """What a fold is called in a sentence: by its number, with the value that it leaves out."""
        return f"fold {number} ({self.names[number]!r})" if self.names else f"fold {number}"

    def sides(self, count: int) -> list[str]:
        """The part or the fold of each of `count` rows, empty without a split."""
        if self.folds is not None:
            return [self.told(fold) for fold in self.folds.tolist()]
        return list(self.parts) or [""] * count


def fold_order(name: str) -> tuple[float, str]:
    """Numbers by their value, before words by their letters."""
    number = PLAIN.read(name)
    return (np.inf if number is None else number, name)


def note_divided(split: str, group: str, groups: Sequence[str], parts: Sequence[str], table: Table, *,
                 findings: Findings) -> None:
    """Report `group-divided`: a group, such as a patient, with rows in several parts or folds."""
    for name, where in divided(groups, parts).items():
        lines = {part: ", ".join(str(table.span(row).line) for row in rows[:8]) for part, rows in where.items()}
        later = max(rows[0] for rows in where.values())
        findings.add(Diagnostic(
            "group-divided", f"{group} {name!r} is on both sides of the split: {' and '.join(where)}",
            table.span(later, split), why="; ".join(f"{part} on line {line}" for part, line in lines.items()),
            fix=f"give all rows of one {group} the same split; if they may be separated, write 'group: none' under "
                "'split'"), split)
