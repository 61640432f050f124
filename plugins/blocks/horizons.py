"""What heads of survival share: the option `horizons`, and what follows from a curve that is known at some times.

Contains no component.
"""
# Axes: N cases, K times.

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from fusionkit_plugins.blocks.options import check_names
from pydantic import Field, model_validator

from fusionkit.api import Floats, ReadoutConfig

Between = Literal["hazard", "density"]


class HorizonsConfig(ReadoutConfig):
    """The options of every head of survival."""

    horizons: list[Annotated[int | float, Field(gt=0)]] = Field(
        min_length=1, description="Times at which the probability of survival is told, in the unit of the data; they "
                                  "lie before the last event of the training cases.", examples=[[12, 24, 60]])

    @model_validator(mode="after")
    def _rising(self) -> Self:
        check_names("horizons", [str(horizon) for horizon in self.horizons], "time")
        if list(self.horizons) != sorted(self.horizons):
            raise ValueError("'horizons' must rise: write the earliest first")
        return self


def median_and_mean(times: Floats, survival: Floats, between: Between = "hazard") -> tuple[Floats, Floats]:
    """The median time, NaN where it is not reached, and the mean time until the last of rising `times`.

    *Shapes*: (K,) and survival at these (N, K) give two of (N,). `between` them the hazard is constant, or the density.
    """
    edges = np.array([0.0, *times])
    whole = np.column_stack([np.ones(len(survival)), survival])
    lengths = np.diff(edges) * np.ones_like(survival)
    half = (whole[:, 1:] <= 0.5).argmax(1)
    rows = np.arange(len(survival))
    if between == "density":
        lived = (whole[:, :-1] + whole[:, 1:]) / 2 * lengths
        fall = np.maximum(whole[rows, half] - whole[rows, half + 1], 1e-300)
        median = edges[half] + (whole[rows, half] - 0.5) / fall * lengths[rows, half]
    else:
        # A probability of 0 has no logarithm: beyond this, nobody is left.
        log = np.log(np.clip(whole, 1e-30, 1.0))
        rates = (log[:, :-1] - log[:, 1:]) / np.diff(edges)
        lived = np.exp(log[:, :-1]) * np.divide(-np.expm1(-rates * lengths), rates, out=lengths, where=rates > 1e-12)
        median = edges[half] + (log[rows, half] - np.log(0.5)) / np.maximum(rates[rows, half], 1e-300)
    return np.where(survival[:, -1] <= 0.5, median, np.nan), lived.sum(axis=1)
