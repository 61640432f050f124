"""Blank cells: a share of the cells of a table becomes what a blank cell becomes, so that none is relied on alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pydantic import Field

from fusionkit.api import Draws, TableRow, Transform, TransformConfig, TransformMethod


class BlankConfig(TransformConfig):
    """Options of `transform.blank`."""

    share: float = Field(0.05, ge=0, le=1, description="Probability of each cell.")


class Blank(TransformMethod):
    """A number becomes the mean or median that fills it, a category none; components that ask see that it is blank."""

    config: BlankConfig

    def change(self, random: Draws, row: TableRow, other: Callable[[float], TableRow]) -> TableRow:
        """The row with fewer cells."""
        values, known = row.values.copy(), row.known.copy()
        for cell in row.cells:
            if random.between(0, 1) < self.config.share and cell.blank is not None:
                values[list(cell.places)] = cell.blank
                # What says that a number was blank is itself known.
                known[list(cell.places[:-1] if cell.marked else cell.places)] = False
        return replace(row, values=values, known=known)


component = Transform("blank", BlankConfig, Blank, acts="cells", short="share", category="cells")
