"""AUROC between every two classes: the mean over pairs of classes of the AUROC among their cases.

Source: Hand and Till 2001, A Simple Generalisation of the Area Under the ROC Curve for Multiple Class Classification
Problems, doi:10.1023/A:1010920819831.
"""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

from itertools import combinations

import numpy as np

from fusionkit.api import Config, Floats, Metric, Outcomes, pairs_in_order


class PairwiseAUROC:
    """It does not depend on how frequent classes are; pairs of which one class has no case are left out."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All classes: (N, R) to (R,)."""
        found = []
        for one, other in combinations(np.unique(outcomes.targets).astype(np.int64), 2):
            rows = np.isin(outcomes.targets, (one, other))
            true, own = outcomes.targets[rows] == one, weights[rows]
            found.append((pairs_in_order(outcomes.predictions[rows, one], true, own)
                          + pairs_in_order(outcomes.predictions[rows, other], ~true, own)) / 2)
        return np.mean(found, axis=0) if found else np.full(weights.shape[1], np.nan)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """How many classes have no case."""
        lost = len(outcomes.classes) - len(np.unique(outcomes.targets))
        return f"without {lost} classes that have no case" if lost else None


component = Metric(
    "ovo_auroc", Config, PairwiseAUROC, category="discrimination", label="one-against-one AUROC",
    tasks=("multiclass",), better="higher",
    paper="doi:10.1023/A:1010920819831", default=False, place=126,
)
