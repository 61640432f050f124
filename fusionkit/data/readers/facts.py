"""Metadata of a file: cached with the array, and compared over the cases of a cohort."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator, TypeAdapter, ValidationError

from fusionkit.data.geometry.grid import Grid

_GridOrNone = Annotated[Grid | None, PlainValidator(lambda plain: None if plain is None else Grid.from_json(plain))]
_SAMPLE = 1 << 16  # values used for a percentile; a volume has millions


@dataclass(frozen=True, slots=True)
class Facts:
    """The metadata of one file; what a format does not provide is empty, or None.

    `values` are the minimum, the 99th percentile of the absolute values and the maximum before `window`, `outcome` the
    minimum and maximum of the reader's array. `bits` are the used bits of a stored value. `units` is the meaning of a
    value. `labels` are the values of a label map. `landmarks` are those of each channel for the standard scale of MR,
    of the files of a bag one after another. `remarks` are further codes that a reader uses for its own advice, each
    with a detail. `grid` is that of the volume in the file, `outcome_grid` that of the array that the network gets.
    `pixel` is the size of a pixel of a picture along (h, w), which has no grid. `frame_of_reference` is the same for
    files whose places are comparable. `fill` is the value of each channel for voxels beyond the edge, empty for the
    smallest of the array. `slices` are the UIDs of the slices of a series along d, where `roi` has boxes drawn on them.
    `positions` are those of the items of a bag, empty where they have none; `item_grids` are the grids of its items,
    one for all slices of a volume, and none where no file tells.
    Units: `values` as in the file, `fill` as in the reader's array; `pixel` in mm.
    """

    values: tuple[float, float, float] = (0.0, 0.0, 0.0)
    outcome: tuple[float, float] = (0.0, 0.0)
    digest: str = ""
    grid: _GridOrNone = None
    outcome_grid: _GridOrNone = None
    pixel: tuple[float, ...] = ()
    fill: tuple[float, ...] = ()
    frame_of_reference: str = ""
    modality: str = ""
    units: str = ""
    bits: int = 0
    palette: str = ""
    labels: tuple[float, ...] = ()
    landmarks: tuple[tuple[float, ...], ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()
    slices: tuple[str, ...] = ()
    positions: tuple[float, ...] = ()
    item_grids: tuple[_GridOrNone, ...] = ()

    @property
    def meaning(self) -> str:
        """The meaning of the values, if known: the modality and the unit."""
        return ", ".join(word for word in (self.modality, self.units) if word)

    @property
    def spacing(self) -> tuple[float, ...]:
        """The distance of samples in the file in mm, to six digits: along (d, h, w), or (h, w) of a picture."""
        steps = self.pixel if self.grid is None else self.grid.spacing
        return tuple(float(f"{step:.6g}") for step in steps)

    @property
    def orientation(self) -> str:
        """The directions of width, height and depth of the volume in the file, as `LPS`; empty without a grid."""
        return "" if self.grid is None else self.grid.code

    def remark(self, code: str) -> str | None:
        """The detail of a remark, None if the file has none with this code."""
        return dict(self.remarks).get(code)

    def of_outcome(self, array: NDArray[np.float32]) -> Facts:
        """The same metadata with that of the array that the network gets."""
        digest = hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        return replace(self, outcome=(low, high), digest=digest)

    def as_json(self) -> dict[str, Any]:
        """The metadata as plain data."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["item_grids"] = [None if grid is None else grid.as_json() for grid in self.item_grids]
        return plain | {name: value.as_json() for name, value in plain.items() if isinstance(value, Grid)}

    @staticmethod
    def from_json(plain: Any) -> Facts | None:
        """The metadata from plain data, None if that is something else."""
        try:
            return TypeAdapter(Facts).validate_python(plain)
        except ValidationError:
            return None


def spread(values: NDArray[Any]) -> tuple[float, float, float]:
    """The minimum, the 99th percentile of absolute values (of a sample of large arrays), and the maximum."""
    flat = values.reshape(-1)
    sample = np.abs(flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64))
    sample = sample[np.isfinite(sample)]  # files with other values are refused after reading
    if not sample.size:
        return 0.0, 0.0, 0.0
    return float(flat.min()), float(np.percentile(sample, 99)), float(flat.max())
