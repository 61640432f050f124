"""Monte Carlo dropout: the spread of random passes measures the uncertainty.

Source: Gal, Ghahramani 2016, Dropout as a Bayesian Approximation, arXiv 1506.02142, eq. 6 (the mean of passes). The
measures are those of `spread.py` for one network: the parts between networks are 0.
"""
# Axes: none.

from __future__ import annotations

from fusionkit_plugins.blocks.spread import gather
from pydantic import Field

from fusionkit.api import Config, Prediction, Runner, Uncertainty


class MCDropoutConfig(Config):
    """Options of `uncertainty.mc_dropout`."""

    samples: int = Field(30, ge=2, le=100_000, description="Random passes for each case.")
    per_class: bool = Field(False, description="Also the variance of every class or label, as variance_1 ...")


class MCDropout:
    """Takes `samples` random passes of one network.

    A network without dropout gives the plain result, with variance and mutual information zero.
    """

    def __init__(self, config: MCDropoutConfig) -> None:
        self.config = config

    def predict(self, run: Runner) -> Prediction:
        """The mean of the passes for each head, with the measures that `spread.py` names."""
        return gather(run, 1, self.config.samples, self.config.per_class)


component = Uncertainty("mc_dropout", MCDropoutConfig, MCDropout, category="sampling", paper="arXiv:1506.02142")
