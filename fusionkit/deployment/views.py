"""The views of test-time augmentation of a case for an exported network, and their mean. PyTorch moves the arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fusionkit.data.dataset import CaseDataset
from fusionkit.deployment.batches import ArrayCase, case_arrays
from fusionkit.deployment.record import ExportedInput
from fusionkit.inference.head_result import SPREAD, HeadResult
from fusionkit.runs.fold_means import mean_of

Views = tuple[ArrayCase, ...]
"""A case as it is and, where the export has views, once more in each of them."""


def views_of(cases: CaseDataset, position: int, inputs: Sequence[ExportedInput], names: Sequence[str]) -> Views:
    """One case of a dataset in its views; torch is imported where `names` has some."""
    if not names:
        return (case_arrays(cases, position),)
    from fusionkit.data.batch import collate
    from fusionkit.inference.views import motions_of, seen_as

    moving = [item.name for item in inputs if item.layout in ("image", "volume")]
    read = cases[position]
    batch, known = collate([read]), cases.known_cells(position)
    made = []
    for motion in motions_of(names):
        moved = seen_as(batch, motion, moving, cases.labelled).inputs
        arrays = {name: (moved[name][0] if name in moving else value).numpy() for name, value in read["inputs"].items()}
        made.append(ArrayCase(arrays, read["present"], known))
    return tuple(made)


def mean_over_views(found: Sequence[Mapping[str, HeadResult]]) -> dict[str, HeadResult]:
    """The mean of the results of several views, and how far they differ; curves are those of single views."""
    return {name: replace(result, curves=None, measures={
        SPREAD: np.std([each[name].values for each in found], axis=0).mean(-1)})
        for name, result in mean_of(found).items()}
