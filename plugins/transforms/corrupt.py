"""Corrupted cells: a share of the cells of a table is taken from other training cases, each from one of its own.

Source: Bahri et al. 2022, SCARF, arXiv 2106.15147, section 3: with `exact` its floor(share n) distinct columns, drawn
evenly. Theirs changes nothing where that is 0; here one column then, or the second view would be the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pydantic import Field

from fusionkit.api import Cell, Draws, TableRow, Transform, TransformConfig, TransformMethod


class CorruptConfig(TransformConfig):
    """Options of `transform.corrupt`."""

    share: float = Field(0.1, ge=0, le=1, description="Probability of each cell; with 'exact' the share of "
                                                      "the columns.")
    exact: bool = Field(False, description="True: in every case as many distinct columns, rounded down, but at least "
                                           "one; False: each cell is drawn by itself.")


class Corrupt(TransformMethod):
    """Every value is one that training cases have, but not with these others."""

    config: CorruptConfig

    def change(self, random: Draws, row: TableRow, other: Callable[[float], TableRow]) -> TableRow:
        """The row with cells of others."""
        values, known = row.values.copy(), row.known.copy()
        for cell, which in self._drawn(random, row.cells):
            places, given = list(cell.places), other(which)
            values[places], known[places] = given.values[places], given.known[places]
        return replace(row, values=values, known=known)

    def _drawn(self, random: Draws, cells: Sequence[Cell]) -> Iterator[tuple[Cell, float]]:
        """The cells that are taken, each with the number of the case that it is taken from."""
        share = self.config.share
        drawn = [(float(decides), float(which), cell) for cell in cells for decides, which in [random.numbers(2)]]
        if self.config.exact:
            # The smallest of as many numbers, whose places are any set of columns equally often.
            count = max(1, math.floor(share * len(drawn) + 1e-9)) if share else 0
            drawn = sorted(drawn, key=lambda each: each[0])[:count]
        yield from ((cell, which) for decides, which, cell in drawn if self.config.exact or decides < share)


component = Transform("corrupt", CorruptConfig, Corrupt, acts="cells", short="share", category="cells",
                      paper="arXiv:2106.15147")
