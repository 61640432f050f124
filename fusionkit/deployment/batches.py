"""Batches of cases as arrays, without torch, as an exported network takes them."""
# Axes: B batch, N tokens, c cells.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Bools
from fusionkit.data.dataset import CaseDataset
from fusionkit.deployment.record import ExportedInput

Array = NDArray[Any]
MASK = ":mask"
"""After the name of an input: that of the mask which the network takes beside it."""


@dataclass(frozen=True, slots=True)
class ArrayCase:
    """One case: each input (...), whether it is there, and which of its cells are known."""

    inputs: Mapping[str, Array]
    present: Mapping[str, bool]
    known: Mapping[str, Bools]


def case_arrays(dataset: CaseDataset, position: int) -> ArrayCase:
    """One case of a dataset; a bag has the items that are evaluated."""
    read = dataset.arrays(position)
    return ArrayCase({name: each.array for name, each in read.items()},
                     {name: each.present for name, each in read.items()}, dataset.known_cells(position))


def stacked(cases: Sequence[ArrayCase], inputs: Sequence[ExportedInput]) -> dict[str, Array]:
    """Some cases as what the network takes, by name: tokens padded to the longest case, masks under `NAME:mask`.

    Shapes: float32 (B, ...), ids int64; masks bool (B,), (B, N) or (B, c).
    """
    made: dict[str, Array] = {}
    for item in inputs:
        values = [case.inputs[item.name] for case in cases]
        there = np.array([case.present[item.name] for case in cases], dtype=np.bool_)
        array, mask = _padded(values) if item.masked else (np.stack(values), there)
        made[item.name] = array.astype(np.int64 if item.whole else np.float32, copy=False)
        if item.mask == "cells":
            mask = np.stack([case.known[item.name] for case in cases])
        if item.mask is not None:
            made[item.name + MASK] = mask if mask.ndim == 1 else mask & there[:, None]
    return made


def _padded(values: Sequence[Array]) -> tuple[Array, Bools]:
    """Tokens (n, ...) of each case as (B, N, ...) and which are real; N is at least 2, for which networks are traced.
    """
    longest = max(2, *(len(value) for value in values))
    array = np.zeros((len(values), longest, *values[0].shape[1:]), dtype=values[0].dtype)
    real = np.zeros((len(values), longest), dtype=np.bool_)
    for row, value in enumerate(values):
        array[row, :len(value)] = value
        real[row, :len(value)] = True
    return array, real
