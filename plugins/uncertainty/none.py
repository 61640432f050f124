"""No uncertainty: one pass with all randomness off."""
# Axes: none.

from __future__ import annotations

from fusionkit.api import Config, HeadPrediction, Prediction, Runner, Uncertainty


class NoneConfig(Config):
    """Options of `uncertainty.none`: it has none."""


class NoUncertainty:
    """The decoded results, without measures."""

    def __init__(self, config: NoneConfig) -> None:
        pass

    def predict(self, run: Runner) -> Prediction:
        """The results of one pass."""
        return {head: HeadPrediction(values) for head, values in run.once().items()}


component = Uncertainty("none", NoneConfig, NoUncertainty, category="none")
