"""One of several grades that have an order, the worst last: a probability of each, and the middle one as prediction."""
# Axes: N cases, M cases with a target, K grades.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.grades import expected_grade
from fusionkit_plugins.tasks.multiclass import Multiclass

from fusionkit.api import Config, Floats, Task, median_class


class Ordinal(Multiclass):
    """Targets are grades from 0. The prediction is the median: the number of k with P(grade > k) above one half.

    All of multiclass is there too: figures of each grade against the others, temperature, prediction sets.
    """

    def of(self, names: Sequence[str]) -> str:
        """What figures over all grades are called."""
        return names[1] if len(names) == 2 else "all grades"

    def predicted(self, values: Floats, names: Sequence[str]) -> list[str] | None:
        """The median grade."""
        return [names[place] for place in median_class(values)]

    def details(self, values: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """The expected grade, from 0; from 1 where the grades are called 1, 2 and so on."""
        start = 1 if list(names) == [str(number) for number in range(1, len(names) + 1)] else 0
        return {"expected": expected_grade(values) + start}

    def pooled(self, details: Mapping[str, Floats], values: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """The means."""
        return {key: every.mean(axis=0) for key, every in details.items()}

    def guess(self, targets: Any, names: Sequence[str], skill: float, generator: Any) -> Floats:
        """A distribution around the true grade, or around another one."""
        middle = skill * np.asarray(targets) + (1 - skill) * generator.uniform(0, len(names) - 1, len(targets))
        weights = np.exp(-2.0 * (np.arange(len(names)) - middle[:, None]) ** 2)
        # A perfect guess is certain.
        weights = np.where(skill == 1, np.eye(len(names))[np.asarray(targets, dtype=np.int64)], weights)
        shares: Floats = weights / weights.sum(axis=1, keepdims=True)
        return shares


component = Task(
    "ordinal", Config, Ordinal, category="classification", results="classes", cells="class", main="ordinal_c",
    shown=("ordinal_c", "qwk"), stratified=True, ordered=True,
)
