"""Ensemble Monte Carlo dropout: random passes of each of several networks.

Source: Dhar et al. 2025, Multimodal Fusion Learning with Dual Attention for Medical Imaging, WACV, arXiv 2412.01248,
the procedure of its uncertainty. The measures are those of `spread.py`, which splits them into parts within
and between networks.

Paper and authors' code: the code averages the passes of its first network only, ignores the samples of the
others, takes the heads in separate passes and computes no measure. Here the mean is over all networks, all heads come
from one pass.
"""
# Axes: none.

from __future__ import annotations

from fusionkit_plugins.blocks.spread import gather
from pydantic import Field, PositiveInt

from fusionkit.api import Config, Prediction, Runner, Uncertainty


class MCEnsembleConfig(Config):
    """Options of `uncertainty.mc_ensemble`."""

    members: PositiveInt = Field(
        5, le=1000, description="Networks; `fusionkit train` trains as many, each from its own seed.")
    samples: PositiveInt = Field(
        30, le=100_000, description="Random passes of each member; 1 is one pass with all randomness off.")
    per_class: bool = Field(False, description="Also the variance of every class or label, as variance_1 ...")


class MCEnsemble:
    """Takes `samples` random passes of each of `members` networks.

    One member equals `uncertainty.mc_dropout`, one sample `uncertainty.deep_ensemble`.
    """

    def __init__(self, config: MCEnsembleConfig) -> None:
        self.config = config

    def predict(self, run: Runner) -> Prediction:
        """The mean of all passes for each head, with the measures that `spread.py` names."""
        return gather(run, self.config.members, self.config.samples, self.config.per_class)


component = Uncertainty("mc_ensemble", MCEnsembleConfig, MCEnsemble, category="ensemble", paper="arXiv:2412.01248")
