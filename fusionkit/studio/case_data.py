"""What a case of a run looks like: the cells of its tables, and slices of its images and volumes.

Data are read where the run says, by its own readers, as `evaluate RUN` does.
"""

from __future__ import annotations

import base64
import math
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import DataError, Diagnostic
from fusionkit.interface.contact_sheet import drawable
from fusionkit.interface.planes import CUTS, PLANES, SIDES, upright, upright_place
from fusionkit.registry.lookup import Registry
from fusionkit.runs.folder import RUN, cohort_of, open_run
from fusionkit.runs.setup import cache_for

if TYPE_CHECKING:
    from fusionkit.data.cohort import Cohort
    from fusionkit.data.dataset import CaseDataset

_VALUES, _MOST_HEADER = "values.npy", 4096
_MOST_RUNS, _MOST_CELLS, _MOST_SIDE = 3, 200, 2048


@dataclass(frozen=True)
class _Opened:
    cohort: Cohort
    dataset: CaseDataset


@dataclass(frozen=True)
class _Picture:
    """An image or volume of a case: (C, D, H, W) or (C, H, W), and where it is."""

    values: NDArray[np.float32]
    grid: Any


class CaseData:
    """Cases of the runs that were looked at last; the array that was shown last is kept."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._opened: OrderedDict[tuple[str, int], _Opened] = OrderedDict()
        self._shown: tuple[tuple[str, str, str], _Picture] | None = None

    def case(self, folder: str, case: str) -> dict[str, Any]:
        """The inputs of a case by name: `kind`, whether it is `present`, the cells of a table, the sizes of a picture.

        `folder` is that of one training. Raises: GraphError or DataError where the run or its data cannot be read.
        """
        opened, row = self._found(folder, case)
        cohort, shown = opened.cohort, drawable(opened.cohort)
        inputs: dict[str, Any] = {}
        for name, size in cohort.sizes.items():
            about: dict[str, Any] = {"present": bool(cohort.present(name)[row]), "kind": "other",
                                     "size": list(size[1:])}
            if name in cohort.columns:
                values, options = cohort.columns[name], cohort.description.inputs[name].options
                numbers = [None if np.isnan(cell) else float(cell) for cell in values.numeric[row]]
                words = values.categorical[row] if values.categorical else ()
                about |= {"kind": "table", "cells": [*zip(options.numeric, numbers, strict=False),
                                                     *zip(options.categorical, words, strict=False)][:_MOST_CELLS]}
            elif name in shown and about["present"]:
                about["kind"] = "volume" if shown[name] == 3 and size[2] > 1 else "image"
            inputs[name] = about
        return {"inputs": inputs}

    def slices(self, given: dict[str, Any]) -> dict[str, Any]:
        """The planes of an input of a case through the voxel `at` of the upright volume, as bytes of grey or colour.

        Without `at` they go through `peak`, a voxel of the array as the network has it, or through the middle. `low`
        and `high` are the values that become black and white; without them the 1st and 99.5th percentile do.
        `heat` is the file of a map of `explain`, whose slices are then given too.
        Raises: GraphError or DataError.
        """
        picture = self._picture(given["folder"], given["case"], given["input"])
        flat = picture.values.ndim == 3 or picture.values.shape[1] == 1
        heat = _heat(given.get("heat"), picture.values.shape[1:])
        low, high = given.get("low"), given.get("high")
        if low is None or high is None:
            ends = np.percentile(picture.values, (1, 99.5))
            low, high = float(ends[0]), float(ends[1])
        high = high if high > low else low + 1.0
        if flat:
            values = picture.values if picture.values.ndim == 3 else picture.values[:, 0]
            colours = values.transpose(1, 2, 0) if len(values) == 3 else values[0]
            return {"low": low, "high": high, "at": [], "sizes": [],
                    "planes": [_encoded("", colours, (1.0, 1.0), low, high)],
                    "heat": None if heat is None else [_encoded("", heat.reshape(heat.shape[-2:]), (1.0, 1.0), 0, 255)]}
        volume, steps = upright(picture.values[0], picture.grid)
        at = _inside(given, picture, volume.shape)
        names = PLANES if picture.grid is not None else CUTS
        hot = None if heat is None else upright(heat, picture.grid)[0]
        return {"low": low, "high": high, "at": at, "sizes": list(volume.shape), "channels": len(picture.values),
                "planes": _cuts(volume, names, at, steps=steps, ends=(low, high)),
                "heat": None if hot is None else _cuts(hot, names, at, steps=steps, ends=(0, 255))}

    def _found(self, folder: str, case: str) -> tuple[_Opened, int]:
        place = Path(folder)
        stamp = (place / RUN).stat().st_mtime_ns if (place / RUN).is_file() else 0
        opened = self._opened.get((folder, stamp))
        if opened is None:
            run = open_run(place, self.registry)
            cohort = cohort_of(run, None, require_targets=False)
            opened = _Opened(cohort, cohort.dataset(cohort.rows, run.preprocessing, cache_for(run.data)))
            self._opened[folder, stamp] = opened
            while len(self._opened) > _MOST_RUNS:
                self._opened.popitem(last=False)
        self._opened.move_to_end((folder, stamp))
        if case not in opened.cohort.ids:
            raise DataError(Diagnostic("unknown-case", f"the data have no case {case!r} any more"))
        return opened, opened.cohort.ids.index(case)

    def _picture(self, folder: str, case: str, name: str) -> _Picture:
        key = (folder, case, name)
        if self._shown is not None and self._shown[0] == key:
            return self._shown[1]
        opened, row = self._found(folder, case)
        if name not in drawable(opened.cohort):
            raise DataError(Diagnostic("bad-argument", f"{name!r} is no image or volume of a case"))
        grids = opened.dataset.grids.get(name)
        picture = _Picture(opened.dataset[row]["inputs"][name].numpy(), grids[row] if grids is not None else None)
        self._shown = (key, picture)
        return picture


def _inside(given: dict[str, Any], picture: _Picture, shape: tuple[int, ...]) -> list[int]:
    """The voxel that the planes go through."""
    at, peak = given.get("at"), given.get("peak")
    if not isinstance(at, list) or len(at) != len(shape):
        at = [size // 2 for size in shape]
        if isinstance(peak, list) and len(peak) == len(shape):
            at = upright_place([int(each) for each in peak], picture.values.shape[1:], picture.grid)
    return [min(max(int(place), 0), size - 1) for place, size in zip(at, shape, strict=True)]


def _cuts(volume: NDArray[np.float32], names: Sequence[str], at: Sequence[int], *, steps: Sequence[float],
          ends: tuple[float, float]) -> list[dict[str, Any]]:
    """The three planes of an upright volume through a voxel."""
    cuts = (volume[at[0]], volume[:, at[1]], volume[:, :, at[2]])
    return [_encoded(name, cut, (steps[side[0]], steps[side[1]]), *ends)
            for name, cut, side in zip(names, cuts, SIDES, strict=True)]


def _heat(path: str | None, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """The map of a file of `explain`, None where there is none of that shape."""
    if path is None:
        return None
    try:
        with zipfile.ZipFile(path) as packed:
            if packed.getinfo(_VALUES).file_size > math.prod(shape) + _MOST_HEADER:
                return None
        with np.load(path, allow_pickle=False) as found:
            values: NDArray[np.float32] = found[_VALUES.removesuffix(".npy")].astype(np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return values if values.shape == shape else None


def _encoded(name: str, values: NDArray[np.float32], steps: tuple[float, float], low: float, high: float
             ) -> dict[str, Any]:
    """A plane as bytes, (h, w) or (h, w, 3), thinned out where it is larger than a screen."""
    thin = [max(1, -(-size // _MOST_SIDE)) for size in values.shape[:2]]
    shown = values[::thin[0], ::thin[1]]
    grey = np.nan_to_num(np.clip((shown - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)
    return {"name": name, "high": grey.shape[0], "wide": grey.shape[1], "colours": grey.ndim == 3,
            "steps": [steps[0] * thin[0], steps[1] * thin[1]],
            "bytes": base64.b64encode(np.ascontiguousarray(grey).tobytes()).decode()}
