"""Deep ensemble: networks trained from different initial weights, and their disagreement.

Source: Lakshminarayanan, Pritzel, Blundell 2017, Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles, arXiv 1612.01474, section 2.4 (all members see all data; the mixture is uniform). The measures are those of
`spread.py` for one pass of each network: the parts within networks are 0. Adversarial training, optional in the paper,
and its variance output for regression are not part of it.
"""
# Axes: none.

from __future__ import annotations

from fusionkit_plugins.blocks.spread import gather
from pydantic import Field, PositiveInt

from fusionkit.api import Config, Prediction, Runner, Uncertainty


class DeepEnsembleConfig(Config):
    """Options of `uncertainty.deep_ensemble`."""

    members: PositiveInt = Field(
        5, le=1000, description="Networks; `fusionkit train` trains as many, each from its own seed.")
    per_class: bool = Field(False, description="Also the variance of every class or label, as variance_1 ...")


class DeepEnsemble:
    """Takes one pass of each member with all randomness off; one member gives the plain result with variance 0."""

    def __init__(self, config: DeepEnsembleConfig) -> None:
        self.config = config

    def predict(self, run: Runner) -> Prediction:
        """The mean of the members for each head, with the measures that `spread.py` names."""
        return gather(run, self.config.members, 1, self.config.per_class)


component = Uncertainty("deep_ensemble", DeepEnsembleConfig, DeepEnsemble, category="ensemble",
                        paper="arXiv:1612.01474")
