"""Numbers in the unit of the target."""
# Axes: N cases, M cases with a target, K values.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusionkit.api import Config, Floats, Task, TaskMethod


class Regression(TaskMethod):
    """Targets are numbers, NaN for one that is not known. Figures are means over the outputs."""

    def of(self, names: Sequence[str]) -> str:
        """The only output, or the mean of several."""
        return names[0] if len(names) == 1 else "mean of outputs"

    def told_one(self, target: Any, names: Sequence[str]) -> str:
        """The numbers."""
        return " ".join("?" if np.isnan(value) else f"{value:.6g}" for value in np.atleast_1d(target))

    def pooled(self, details: Mapping[str, Floats], values: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """Of standard deviations that of the mixture, the mean variance and the variance of the means; else means."""
        found = {}
        for key, every in details.items():
            name, _, word = key.rpartition(":")
            place = list(names).index(name) if name else 0
            found[key] = (np.sqrt((every**2).mean(axis=0) + values[:, :, place].var(axis=0)) if word == "sd"
                          else every.mean(axis=0))
        return found

    def example(self, names: Sequence[str], cases: int, generator: Any) -> Any:
        """Normal numbers."""
        return generator.normal(size=(cases, len(names)))

    def guess(self, targets: Any, names: Sequence[str], skill: float, generator: Any) -> Floats:
        """The true numbers, mixed with random ones."""
        mixed: Floats = skill * targets + (1 - skill) * 3 * (generator.random(targets.shape) - 0.5)
        return mixed


component = Task(
    "regression", Config, Regression, category="regression", results="values", cells="number", main="mae",
    shown=("mae", "r2"),
)
