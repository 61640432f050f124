"""Blank cells: a share of the cells of a table becomes what a blank cell becomes, so that none is relied on alone.

With `exact` it is the masking of TIP, Du et al. 2024, arXiv 2407.07582: round(share n) distinct columns, drawn evenly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pydantic import Field

from fusionkit.api import Draws, TableRow, Transform, TransformConfig, TransformMethod


class BlankConfig(TransformConfig):
    """Options of `transform.blank`."""

    share: float = Field(0.05, ge=0, le=1, description="Probability of each cell; with 'exact' the share of the "
                                                       "columns.")
    exact: bool = Field(False, description="True: in every case as many distinct columns, rounded; False: each cell is "
                                           "drawn by itself.")


class Blank(TransformMethod):
    """A number becomes the mean or median that fills it, a category none; components that ask see that it is blank."""

    config: BlankConfig

    def change(self, random: Draws, row: TableRow, other: Callable[[float], TableRow]) -> TableRow:
        """The row with fewer cells."""
        values, known = row.values.copy(), row.known.copy()
        drawn = [(random.between(0, 1), cell.blank, cell) for cell in row.cells]
        able = [(decides, blank, cell) for decides, blank, cell in drawn if blank is not None]
        if self.config.exact:
            # The smallest of as many numbers, whose places are any set of columns equally often.
            able = sorted(able, key=lambda each: each[0])[: round(self.config.share * len(able))]
        for decides, blank, cell in able:
            if self.config.exact or decides < self.config.share:
                values[list(cell.places)] = blank
                # What says that a number was blank is itself known.
                known[list(cell.places[:-1] if cell.marked else cell.places)] = False
        return replace(row, values=values, known=known)


component = Transform("blank", BlankConfig, Blank, acts="cells", short="share", category="cells")
