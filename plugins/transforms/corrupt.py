"""Corrupted cells: a share of the cells of a table is taken from other training cases, each from one of its own.

Source: Bahri et al. 2022, SCARF, arXiv 2106.15147.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pydantic import Field

from fusionkit.api import Draws, TableRow, Transform, TransformConfig, TransformMethod


class CorruptConfig(TransformConfig):
    """Options of `transform.corrupt`."""

    share: float = Field(0.1, ge=0, le=1, description="Probability of each cell.")


class Corrupt(TransformMethod):
    """Every value is one that training cases have, but not with these others."""

    config: CorruptConfig

    def change(self, random: Draws, row: TableRow, other: Callable[[float], TableRow]) -> TableRow:
        """The row with cells of others."""
        values, known = row.values.copy(), row.known.copy()
        for cell in row.cells:
            decides, which = random.numbers(2)
            if decides < self.config.share:
                places, given = list(cell.places), other(float(which))
                values[places], known[places] = given.values[places], given.known[places]
        return replace(row, values=values, known=known)


component = Transform("corrupt", CorruptConfig, Corrupt, acts="cells", short="share", category="cells",
                      paper="arXiv:2106.15147")
