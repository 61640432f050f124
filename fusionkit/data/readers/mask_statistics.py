"""The reader `mask_statistics`: what is measured of an image inside a mask, as numbers of the case like a table's."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fusionkit.data.geometry.grid import Grid
from fusionkit.data.geometry.region import bounds
from fusionkit.data.geometry.roi_options import LABEL, Labels
from fusionkit.data.readers.columns_options import ColumnsOptions
from fusionkit.data.readers.reader import ReadError

_NAMED = ("volume", "mean", "sd", "min", "max", "extent")
_PERCENTILE = re.compile(r"p(100|\d{1,2})")
_EXTENTS = ("extent_d", "extent_h", "extent_w")
_ML = 1000.0  # cubic mm
IN_MM = frozenset({"volume", *_EXTENTS})
"""What needs to know where voxels are."""


def _known(name: str) -> str:
    if name not in _NAMED and not _PERCENTILE.fullmatch(name):
        raise ValueError(f"{name!r} is none of {', '.join(_NAMED)}, or a percentile such as p10")
    return name


class MaskStatisticsOptions(BaseModel):
    """Options of the reader `mask_statistics`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: str = Field(min_length=1, description="The input whose file is measured, in the units of the file.")
    mask: str = Field(min_length=1, examples=["{id}"], description="Path of the mask of a case; {column} is filled in.")
    label: Labels | None = Field(None, description=LABEL)
    values: tuple[Annotated[str, AfterValidator(_known)], ...] = Field(
        ("volume", "mean", "sd"), min_length=1, description="What is measured, in this order: `volume` in ml, `mean`, "
        "`sd` (of the population), `min`, `max`, percentiles such as `p10`, and `extent`, the size of the box around "
        "the mask in mm along depth, height and width, which is three numbers.")
    fill: Literal["refuse", "mean", "median", "indicator"] = Field(
        "refuse", description="As for the reader `columns`; an empty mask has a volume of 0 and no mean.")
    standardise: bool = Field(
        True, description="Whether numbers are standardised by mean and standard deviation of the training cases.")

    @property
    def measured(self) -> tuple[str, ...]:
        """The single numbers."""
        return tuple(dict.fromkeys(name for value in self.values for name in (
            _EXTENTS if value == "extent" else (value,))))

    def as_columns(self, name: str) -> ColumnsOptions:
        """The options of an input of columns that reads the numbers of input `name`."""
        return ColumnsOptions.model_validate({
            "numeric": tuple(f"{name}.{value}" for value in self.measured), "fill": self.fill,
            "standardise": self.standardise})


def measure(values: NDArray[np.float32], inside: NDArray[np.bool_], grid: Grid | None, names: tuple[str, ...]
            ) -> list[float | None]:
    """The numbers of one case; those of an empty mask that cannot be known are None.

    Shapes: `values` and `inside` (d, h, w). Percentiles are interpolated linearly.
    Raises: `ReadError` (no-geometry) for what is in mm, without a grid.
    """
    if grid is None and IN_MM & set(names):
        raise ReadError("no-geometry", f"it does not tell where its voxels are, as {sorted(IN_MM & set(names))[0]!r} "
                        "needs", None, "remove it from 'values', or give the files as NIfTI or DICOM")
    chosen = values[inside].astype(np.float64)
    found: dict[str, float] = {}
    if grid is not None:
        found["volume"] = len(chosen) * abs(float(np.linalg.det(grid.affine[:3, :3]))) / _ML
        size = bounds(inside)[1] if chosen.size else [0, 0, 0]
        found |= dict(zip(_EXTENTS, (step * count for step, count in zip(grid.spacing, size, strict=True)),
                          strict=True))
    if chosen.size:
        found |= {"mean": float(chosen.mean()), "sd": float(chosen.std()), "min": float(chosen.min()),
                  "max": float(chosen.max())}
        found |= {name: float(np.percentile(chosen, float(name[1:]))) for name in names if _PERCENTILE.fullmatch(name)}
    return [found.get(name) for name in names]
