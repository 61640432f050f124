"""The prediction for a case of which nothing is known: the class frequencies or the mean value in training."""

from __future__ import annotations

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.data.loading import Cohort
from fusionkit.errors import UserError
from fusionkit.planning.plan import PlannedHead
from fusionkit.runs.folder import Run, cohort_of


class TrainingPrior:
    """The prior of each head from the training cases of a run.

    Classes were counted when the run was trained; labels and values come from the targets of its own data: from
    `cohort` if it is of that data, else the data are opened when first needed.
    """

    def __init__(self, run: Run, cohort: Cohort | None) -> None:
        self.run = run
        self.cohort = cohort

    def __call__(self, head: PlannedHead) -> Floats | None:
        """The prior (K,), None if no training target is available."""
        counts = self.run.preprocessing.class_counts.get(head.name, {})
        numbers = np.array([counts.get(name, 0) for name in head.names], dtype=np.float64)
        if head.task == "multiclass" and numbers.any():
            shares: Floats = numbers / numbers.sum()
            return shares
        return self._of_targets(head)

    def _of_targets(self, head: PlannedHead) -> Floats | None:
        try:
            self.cohort = self.cohort or cohort_of(self.run, require_targets=False)
        except UserError:
            return None
        learnt = set(self.run.about.get("train") or ())
        target = self.cohort.targets[head.name]
        rows = [row for row, name in enumerate(self.cohort.ids) if name in learnt and target.present[row]]
        if not rows or head.task == "multiclass":
            return None
        values = np.asarray(target.values[rows], dtype=np.float64).reshape(len(rows), -1)
        if head.task == "multilabel":
            values = np.where(values < 0, np.nan, values)
        known = ~np.isnan(values)
        if not known.any(axis=0).all():
            return None
        mean: Floats = np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)
        return mean
