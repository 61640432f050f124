"""The prediction for a case of which nothing is known: the class frequencies or the mean value in training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.data.loading import Cohort
from fusionkit.errors import UserError
from fusionkit.planning.plan import PlannedHead


class TrainingPrior:
    """The prior of each head from the training cases of a run.

    `counts` of the classes were made when the run was trained; labels and values come from the targets of the cases
    `learnt` in its own data, which `cohort` opens when they are first needed.
    """

    def __init__(self, counts: Mapping[str, Mapping[str, int]], learnt: Collection[str],
                 cohort: Callable[[], Cohort]) -> None:
        self.counts = counts
        self.learnt = set(learnt)
        self.cohort = cohort

    def __call__(self, head: PlannedHead) -> Floats | None:
        """The prior (K,), None if no training target is available."""
        counts = self.counts.get(head.name, {})
        numbers = np.array([counts.get(name, 0) for name in head.names], dtype=np.float64)
        if head.declared_task.cells == "class" and numbers.any():
            shares: Floats = numbers / numbers.sum()
            return shares
        return self._of_targets(head)

    def _of_targets(self, head: PlannedHead) -> Floats | None:
        try:
            cohort = self.cohort()
        except UserError:
            return None
        target = cohort.targets[head.name]
        rows = [row for row, name in enumerate(cohort.ids) if name in self.learnt and target.present[row]]
        task = head.declared_task
        if not rows or task.cells == "class":
            return None
        if task.keys:
            return task.method.prior(np.asarray(target.values[rows], dtype=np.float64), head.names)
        values = np.asarray(target.values[rows], dtype=np.float64).reshape(len(rows), -1)
        if task.cells == "label":
            values = np.where(values < 0, np.nan, values)
        known = ~np.isnan(values)
        if not known.any(axis=0).all():
            return None
        mean: Floats = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
        return mean
