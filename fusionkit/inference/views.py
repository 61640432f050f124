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
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.motions import Joined, Placed, joined, moved, placed, placed_by
from fusionkit.errors import Diagnostic, UserError
from fusionkit.inference.head_result import SPREAD as SPREAD
from fusionkit.planning.plan import Plan

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
    """A batch with the inputs `names` moved alike; `labelled` are those whose values are labels.

    An array moves about the middle of the first one whose files tell where it is, if that lies in it, else its own.
    """
    inputs = dict(batch.inputs)
    there = [name for name in names if name in inputs and name not in batch.valid]
    grids = [{name: grid for name in there if (grid := _grid(batch, name, row)) is not None}
             for row in range(len(batch))]
    for name in inputs:
        if name in there:
            values = inputs[name]
            places = [_placed(name, _whole(values), known) for known in grids]
            inputs[name] = moved(values, [motion] * len(values), places, values.flatten(2).amin(2),
                                 by_label=name in labelled)
    return replace(batch, inputs=inputs)


def _whole(values: Tensor) -> list[int]:
    return [1] * (5 - values.dim()) + list(values.shape[2:])


def _grid(batch: Batch, name: str, row: int) -> Grid | None:
    """Where the array of a case is, None where the files do not tell."""
    affine = batch.grids[name][row] if name in batch.grids else None
    if affine is None or not bool(affine.isfinite().all()):
        return None
    depth, height, width = _whole(batch.inputs[name])
    return Grid(affine.numpy(), (depth, height, width))


def _placed(name: str, sizes: Sequence[int], known: Mapping[str, Grid]) -> Placed:
    """Where an array is; one whose file does not tell lies where the first one does if that has its size."""
    lead = next(iter(known.values()), None)
    if lead is None or (name not in known and list(lead.shape) != sizes):
        return placed(sizes, [1.0] * 3)
    own = known.get(name, lead)
    return placed_by(own, lead if own.holds(lead.middle) else own)


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
