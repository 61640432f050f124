"""One class of several: probabilities that sum to 1, and the class of the largest one as the prediction."""
# Axes: N cases, M cases with a target, K classes.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.probability_calibration import calibration_curve, loess_curve

from fusionkit.api import Bools, Config, Floats, Task, TaskMethod


class Multiclass(TaskMethod):
    """Targets are class numbers. Figures are those of the second of two classes, or over all classes."""

    def of(self, names: Sequence[str]) -> str:
        """The second of two classes."""
        return names[1] if len(names) == 2 else names[0] if len(names) == 1 else "all classes"

    def counts(self, targets: Any, weights: Floats, names: Sequence[str]) -> dict[str, float]:
        """The cases of each class."""
        return dict(zip(names, np.bincount(targets, weights, len(names)).tolist(), strict=True))

    def predicted(self, values: Floats, names: Sequence[str]) -> list[str] | None:
        """The class of the largest probability, the first of equals."""
        return [names[place] for place in values.argmax(1)]

    def told_one(self, target: Any, names: Sequence[str]) -> str:
        """The name of the class."""
        return names[int(target)]

    def smooth(self, score: Floats, truth: Bools, points: Floats) -> Floats | None:
        """Logistic regression on a restricted cubic spline of the log odds, as in `metric.ici`."""
        return calibration_curve(score, truth, points)

    def smooth_others(self, score: Floats, truth: Bools, points: Floats) -> dict[str, Floats]:
        """Loess, as in `metric.ici` with `curve: loess`."""
        found = loess_curve(score, truth, points)
        return {} if found is None else {"loess": found}

    def example(self, names: Sequence[str], cases: int, generator: Any) -> Any:
        """Classes in turn, so that each occurs."""
        return np.arange(cases) % len(names)

    def guess(self, targets: Any, names: Sequence[str], skill: float, generator: Any) -> Floats:
        """The true class, mixed with random probabilities."""
        noise = generator.random((len(targets), len(names)))
        chances = skill * np.eye(len(names))[np.asarray(targets, dtype=np.int64)]
        chances = chances + (1 - skill) * noise / noise.sum(axis=1, keepdims=True)
        shares: Floats = chances / chances.sum(axis=1, keepdims=True)
        return shares


component = Task(
    "multiclass", Config, Multiclass, category="classification", results="classes", cells="class", main="auroc",
    shown=("auroc", "balanced_accuracy"), stratified=True,
)
