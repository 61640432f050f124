"""Poisson deviance: how far counts are from those predicted, 0 for none (McCullagh and Nelder 1989, section 2.3)."""

import numpy as np
from fusionkit.api import Config, Metric, ratio


class Deviance:
    """The mean of 2 (y log(y / m) - y + m), y the count and m the predicted one."""

    def __init__(self, config):
        pass

    def of_column(self, column, weights):
        """One column: (M, R) to (R,)."""
        count, mean = np.maximum(column.truth, 1e-12), np.maximum(column.predicted, 1e-12)
        return ratio(2 * (count * np.log(count / mean) - count + mean) @ weights, weights.sum(axis=0))


component = Metric("poisson_deviance", Config, Deviance, tasks=("rate",), better="lower", label="deviance")
