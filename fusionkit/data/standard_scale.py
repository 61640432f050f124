"""The standard scale of Nyul: intensities without a unit, as those of MR, matched by landmarks of their distribution.

Landmarks belong to one volume; the scale is fitted to the training cases and kept with the run.
Source: Nyul, Udupa and Zhang 2000, doi:10.1109/42.836373, with the percentiles 1, 10, ..., 90, 99.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (1, *range(10, 100, 10), 99)
Landmarks = tuple[float, ...]
"""The values at `PERCENTILES`, in ascending order."""


def landmarks_of(values: NDArray[np.float32]) -> Landmarks:
    """The landmarks of the values of the foreground of one channel. *Shape*: any, not empty."""
    return tuple(float(value) for value in np.percentile(values.astype(np.float64), PERCENTILES))


def fit_scale(found: Sequence[Landmarks]) -> Landmarks:
    """The standard landmarks: the mean of those of the training volumes, each mapped to 0 to 100.

    A volume whose first and last landmark are equal says nothing; without any other the scale is even.
    """
    mapped = [(np.array(each) - each[0]) / (each[-1] - each[0]) * 100 for each in found if each[-1] > each[0]]
    scale = np.mean(mapped, axis=0) if mapped else np.linspace(0, 100, len(PERCENTILES))
    return tuple(float(value) for value in scale)


def to_scale(values: NDArray[np.float32], own: Landmarks, scale: Landmarks) -> NDArray[np.float32]:
    """The values on the standard scale: linear between landmarks, and beyond the outer ones with their slopes.

    *Shape*: kept. A volume without a spread becomes 0.
    """
    places, firsts = np.unique(np.array(own, dtype=np.float64), return_index=True)
    if len(places) < 2:
        return np.zeros_like(values, dtype=np.float32)
    goals = np.array(scale, dtype=np.float64)[firsts]
    goals[-1] = scale[-1]
    slopes = np.diff(goals) / np.diff(places)
    part = np.clip(np.searchsorted(places, values, side="right") - 1, 0, len(slopes) - 1)
    mapped: NDArray[np.float32] = (goals[part] + (values - places[part]) * slopes[part]).astype(np.float32)
    return mapped
