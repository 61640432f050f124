"""Jitter: measurements of a table moved by nearly normal noise, in standard deviations of the training cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from pydantic import Field, NonNegativeFloat

from fusionkit.api import Draws, TableRow, Transform, TransformConfig, TransformMethod


class JitterConfig(TransformConfig):
    """Options of `transform.jitter`."""

    sd: NonNegativeFloat = Field(0.05, description="Standard deviation of the noise, in those of the column.")


class Jitter(TransformMethod):
    """Categories, blank cells and numbers of at most ten values, such as stages, stay as they are.

    The noise is the sum of four uniform numbers, at most 3.46 standard deviations.
    """

    config: JitterConfig

    def change(self, random: Draws, row: TableRow, other: Callable[[float], TableRow]) -> TableRow:
        """The row with other measurements."""
        values = row.values.copy()
        for cell in row.cells:
            bell = (float(random.numbers(4).sum()) - 2) * math.sqrt(3)
            if row.known[cell.places[0]]:
                values[cell.places[0]] += bell * self.config.sd * cell.deviation
        return replace(row, values=values)


component = Transform("jitter", JitterConfig, Jitter, acts="cells", short="sd", category="cells")
