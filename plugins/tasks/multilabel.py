"""Labels that are present or not, each by itself: a probability of each, of which single ones may be unknown."""
# Axes: N cases, M cases with a target, K labels.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.probability_calibration import calibration_curve, loess_curve

from fusionkit.api import Bools, Config, Floats, Task, TaskMethod


class Multilabel(TaskMethod):
    """Targets are 1, 0 and NaN for a label that is not known. Figures are means over the labels."""

    def of(self, names: Sequence[str]) -> str:
        """The only label, or the mean of several."""
        return names[0] if len(names) == 1 else "mean of labels"

    def counts(self, targets: Any, weights: Floats, names: Sequence[str]) -> dict[str, float]:
        """The cases with each label."""
        return dict(zip(names, np.nansum(targets * weights[:, None], axis=0).tolist(), strict=True))

    def predicted(self, values: Floats, names: Sequence[str]) -> list[str] | None:
        """The labels of probability 0.5 and above, `{}` for none."""
        return ["|".join(name for name, chosen in zip(names, row, strict=True) if chosen) or "{}"
                for row in values >= 0.5]

    def told_one(self, target: Any, names: Sequence[str]) -> str:
        """The labels that are present; one that is not known is marked, since one that is not named is absent."""
        marks = {0.0: None, 1.0: ""}
        told = [name + mark for name, value in zip(names, np.atleast_1d(target).tolist(), strict=True)
                if (mark := marks.get(value, "?")) is not None]
        return "|".join(told) or "{}"

    def smooth(self, score: Floats, truth: Bools, points: Floats) -> Floats | None:
        """Logistic regression on a restricted cubic spline of the log odds, as in `metric.ici`."""
        return calibration_curve(score, truth, points)

    def smooth_others(self, score: Floats, truth: Bools, points: Floats) -> dict[str, Floats]:
        """Loess, as in `metric.ici` with `curve: loess`."""
        found = loess_curve(score, truth, points)
        return {} if found is None else {"loess": found}

    def example(self, names: Sequence[str], cases: int, generator: Any) -> Any:
        """Each label with a chance of one half."""
        return (generator.random((cases, len(names))) < 0.5).astype(np.float64)

    def guess(self, targets: Any, names: Sequence[str], skill: float, generator: Any) -> Floats:
        """The true labels, mixed with random numbers."""
        mixed: Floats = skill * targets + (1 - skill) * generator.random(targets.shape)
        return mixed


component = Task(
    "multilabel", Config, Multilabel, category="classification", results="labels", cells="label", main="auroc",
    shown=("auroc", "balanced_accuracy"),
)
