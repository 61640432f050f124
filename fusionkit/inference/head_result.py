"""What one head says of each case, as arrays: without torch, so that an exported network gives it too."""
# Axes: N cases, K columns of a head.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fusionkit.arrays import Bools, Floats
from fusionkit.components.task import Task
from fusionkit.components.training_outcomes import SurvivalCurves, TrainingOutcomes
from fusionkit.evaluation.calibration import Calibrated

SPREAD = "view_spread"
"""The measure that says how far the views of a case differ: the mean standard deviation of its results over them."""


class ResultHead(Protocol):
    """What results need to know of a head: that of a plan, or of an exported network."""

    @property
    def name(self) -> str:
        """The name of its node."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those of its columns: classes, labels or values."""

    @property
    def task(self) -> str:
        """The word of its task, such as multiclass."""

    @property
    def declared_task(self) -> Task:
        """The task."""


@dataclass(frozen=True)
class HeadResult:
    """One head's results for every case.

    Shapes: `values` (N, K) as decoded; each of `measures` (N,); `valid` (N,), False where all inputs of the
    head were missing; `targets` (N,) or (N, K), `known` (N,), True where there is a target.
    `calibrated` has the calibrated values, if there is a calibration. `details` are further numbers (N,) of the head's
    module, where one network alone gave the results; NaN where unknown. `curves` are those of survival, likewise;
    `training` is what the run keeps of its training cases. `thresholds`, (N, K) of labels or (N, 1) of the
    second of two classes, are the probabilities from which a case is positive; None for more than 0.5, or the largest.
    """

    head: ResultHead
    values: Floats
    measures: Mapping[str, Floats]
    valid: Bools
    targets: Floats
    known: Bools
    calibrated: Calibrated | None = None
    details: Mapping[str, Floats] = field(default_factory=dict)
    curves: SurvivalCurves | None = None
    training: TrainingOutcomes | None = None
    thresholds: Floats | None = None
