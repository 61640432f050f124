"""Test-time augmentation: a case is predicted in several views, and the mean of these is its prediction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fusionkit.components.protocols import HeadPrediction, Prediction
from fusionkit.components.transform import Motion
from fusionkit.data.batch import Batch
from fusionkit.data.motions import Joined, joined, moved, placed
from fusionkit.errors import Diagnostic, UserError
from fusionkit.planning.plan import Plan

SPREAD = "view_spread"
"""The measure that says how far the views of a case differ: the mean standard deviation of its results over them."""
_DEGREES = 10.0


def _turned(degrees: float) -> Motion:
    angle = np.deg2rad(degrees)
    return Motion(linear=np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]))


def _flipped(axis: int) -> Motion:
    return Motion(linear=np.diag([-1.0 if place == axis else 1.0 for place in range(3)]))


VIEWS: Mapping[str, Sequence[Motion]] = {
    "rotate": (_turned(_DEGREES), _turned(-_DEGREES)), "lr": (_flipped(0),), "ap": (_flipped(1),), "si": (_flipped(2),)}
"""Views by name, besides the case as it is: turned by 10 degrees either way in the axial plane, or mirrored left for
right, front for back (the rows of a picture), top for bottom. Nothing is drawn."""
MIRRORING = "lr"
"""The view that swaps the sides of the body."""


def named_views(text: str | None) -> tuple[str, ...]:
    """The names in `rotate,lr`, in the order of `VIEWS`.

    Raises: UserError with `bad-argument`.
    """
    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if name not in VIEWS:
            raise UserError(Diagnostic("bad-argument", f"--tta has no view {name!r}",
                                       fix=f"name some of {', '.join(VIEWS)}, with commas between"))
    return tuple(name for name in VIEWS if name in names)


def moving_inputs(plan: Plan) -> list[str]:
    """The inputs of a network that are one image or one volume of a case, which alone have views.

    Raises: UserError with `no-views` if there are none.
    """
    names = [value.name for value in plan.inputs if value.shape.layout in ("image", "volume")]
    if not names:
        raise UserError(Diagnostic("no-views", f"{plan.name!r} reads no image and no volume, so a case has one view",
                                   fix="leave --tta out"))
    return names


def seen_as(batch: Batch, motion: Joined, names: Collection[str], labelled: Collection[str]) -> Batch:
    """A batch with the inputs `names` moved about their middles; `labelled` are those whose values are labels."""
    inputs = dict(batch.inputs)
    for name in names:
        if name in inputs and name not in batch.valid:
            values = inputs[name]
            places = [placed(_whole(values), _spacing(batch, name, row)) for row in range(len(values))]
            inputs[name] = moved(values, [motion] * len(values), places, values.flatten(2).amin(2),
                                 by_label=name in labelled)
    return replace(batch, inputs=inputs)


def _whole(values: Tensor) -> list[int]:
    return [1] * (5 - values.dim()) + list(values.shape[2:])


def _spacing(batch: Batch, name: str, row: int) -> list[float]:
    """The distance of voxels along d, h, w in mm; 1 where the files do not tell."""
    grid = batch.grids[name][row] if name in batch.grids else None
    if grid is None or not bool(grid.isfinite().all()):
        return [1.0] * 3
    found: list[float] = torch.linalg.vector_norm(grid[:3, :3], dim=0).tolist()
    return found


def motions_of(names: Sequence[str]) -> list[Joined]:
    """The motion of each view, the first of which moves nothing."""
    return [joined(()), *(joined([motion]) for name in names for motion in VIEWS[name])]


def mean_of_views(found: Sequence[Prediction]) -> Prediction:
    """The mean of the results and measures of several views, and how far they differ."""
    made = {}
    for name, first in found[0].items():
        values = torch.stack([each[name].values.float() for each in found])
        measures = {key: torch.stack([each[name].measures[key].float() for each in found]).mean(0)
                    for key in first.measures}
        made[name] = HeadPrediction(values.mean(0), measures | {SPREAD: values.std(0, correction=0).mean(-1)})
    return made
