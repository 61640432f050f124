"""Rate: how many events a case has in a unit of exposure, from a count and the exposure, a column each."""

import numpy as np
from fusionkit.api import Config, TargetFault, Task, TaskMethod, ValueColumn


class Rate(TaskMethod):
    """Targets are counts and exposures, (N, 2); decoded values are rates, (N, 1)."""

    def judge(self, targets, blank):
        """Counts are 0 or more, exposures above 0; a case without one of them is left out."""
        wrong = {"count": targets[:, 0] < 0, "exposure": targets[:, 1] <= 0}
        return ~blank.any(axis=1), [TargetFault(f"bad-{key}", np.flatnonzero(rows).tolist(), key, "{cell} is too small",
                                                "are too small") for key, rows in wrong.items() if rows.any()]

    def measured(self, outcomes):
        """The counts, and those that the rates predict for the exposure."""
        name, (count, exposure) = outcomes.classes[0], outcomes.targets.T
        yield ValueColumn(name, np.ones(len(count), bool), count, outcomes.predictions[:, 0] * exposure)

    def example(self, names, cases, generator):
        """Poisson counts of different rates."""
        return np.stack([generator.poisson(generator.uniform(1, 9, cases)), generator.uniform(1, 5, cases)], axis=1)

    def guess(self, targets, names, skill, generator):
        """The observed rate, mixed with another."""
        other = generator.uniform(1, 3, (len(targets), len(names)))
        return skill * targets[:, :1] / targets[:, 1:] + (1 - skill) * other


component = Task("rate", Config, Rate, category="counts", results="values", main="poisson_deviance", calibrated=False,
                 cells={"count": "number", "exposure": "number"})
