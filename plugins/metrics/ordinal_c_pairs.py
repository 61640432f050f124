"""Mean over all pairs of grades of the AUROC of the expected grade between the two: each pair counts alike."""
# Axes: N cases, R columns of weights.

from __future__ import annotations

from itertools import combinations

import numpy as np
from fusionkit_plugins.blocks.grades import expected_grade

from fusionkit.api import Config, Floats, Metric, Outcomes, pairs_in_order


class OrdinalCPairs:
    """How frequent the grades are changes nothing; a resample that lacks a grade which others have has no value."""

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All grades: (N, R) to (R,)."""
        # Equal distributions may differ in the last bit of their mean.
        score = np.round(expected_grade(outcomes.predictions), 12)
        true, found = outcomes.targets, []
        for low, high in combinations(np.unique(true).tolist(), 2):
            both = (true == low) | (true == high)
            found.append(pairs_in_order(score[both], true[both] == high, weights[both]))
        return np.mean(found, axis=0) if found else np.full(weights.shape[1], np.nan)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """That there is no pair, or which grades are in none."""
        present = np.unique(outcomes.targets).astype(int).tolist()
        if len(present) < 2:
            return "all cases have one grade"
        missing = [repr(name) for place, name in enumerate(outcomes.classes) if place not in present]
        return f"without {', '.join(missing)}, which no case has" if missing else None


component = Metric(
    "ordinal_c_pairs", Config, OrdinalCPairs, category="discrimination", label="ordinal C, mean of pairs of grades",
    tasks=("ordinal",), better="higher", place=315,
)
