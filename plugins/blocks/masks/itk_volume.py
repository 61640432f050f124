"""Masks in NRRD, MHA and MHD files, read by SimpleITK; layers and names of segments as 3D Slicer writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.itk_files import is_mha, is_nrrd, read_itk
from fusionkit_plugins.blocks.masks.labels import Wanted, chosen, of_label_map
from fusionkit_plugins.blocks.masks.share import Share

from fusionkit.reading import Grid, ReadError

_SEGMENT = re.compile(r"Segment(\d+)_Name")


def is_itk(start: bytes) -> bool:
    """Whether a file begins as NRRD or MHA/MHD do."""
    return is_nrrd(start) or is_mha(start)


def read_mask(path: Path, wanted: Wanted) -> Share:
    """The mask of some labels on the grid of the file.

    Raises: `ReadError` as `read_itk` with `broken-mask`, and with `unknown-label`, `several-labels`, `not-labels`.
    """
    image = read_itk(path, "broken-mask")
    assert image.grid is not None, "a volume without a grid; please report"
    share = _of_segments(np.asarray(image.values, dtype=np.float32), image.grid, wanted, image.told)
    return Share(share.values, share.grid, remarks=(("space-untold", ""),)) if image.untold else share


def _of_segments(layers: Any, grid: Grid, wanted: Wanted, told: Mapping[str, str]) -> Share:
    segments = {int(found[1]): told[key] for key in told if (found := _SEGMENT.fullmatch(key))}
    if not segments:
        if layers.shape[3] > 1:
            raise ReadError("wrong-rank", f"each voxel has {layers.shape[3]} numbers, and none is named", None,
                            "save a mask of one number for each voxel")
        return of_label_map(layers[..., 0], grid, wanted)
    names = {number: segments[number] for number in sorted(segments)}
    # A number that is wanted is that of the label, as in other label maps, not of the segment.
    values = {number: int(told.get(f"Segment{number}_LabelValue", number + 1)) for number in names}
    if isinstance(wanted, int):
        wanted = next((names[number] for number in names if values[number] == wanted), wanted)
    made = np.zeros(layers.shape[:3], dtype=np.float32)
    for number in chosen(wanted, names):
        layer = min(int(told.get(f"Segment{number}_Layer", 0)), layers.shape[3] - 1)
        made[layers[..., layer] == values[number]] = 1
    return Share(made, grid)
