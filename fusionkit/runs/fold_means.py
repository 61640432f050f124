"""The mean of what the networks of several folds say, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fusionkit.components.training_outcomes import TrainingOutcomes, mean_curves
from fusionkit.inference.details import pooled
from fusionkit.inference.head_result import HeadResult


def mean_of(parts: Sequence[Mapping[str, HeadResult]]) -> dict[str, HeadResult]:
    """The combined results of networks of several folds: the mean of their values, and of each of their measures."""
    heads = {}
    for name, first in parts[0].items():
        every = [part[name] for part in parts]
        heads[name] = replace(
            first, values=np.mean([each.values for each in every], axis=0), calibrated=None,
            details=pooled(first.head.declared_task, [each.details for each in every],
                           [each.values for each in every], first.head.names),
            curves=mean_curves([each.curves for each in every]), training=_every([each.training for each in every]),
            measures={key: np.mean([each.measures[key] for each in every], axis=0) for key in first.measures})
    return heads


def _every(parts: Sequence[TrainingOutcomes | None]) -> TrainingOutcomes | None:
    """What the runs of all folds keep, which counts alike; None if one keeps nothing."""
    there = [part for part in parts if part is not None]
    if len(there) < len(parts):
        return None
    return TrainingOutcomes(tuple(record for part in there for record in part.records))
