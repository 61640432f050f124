"""Masks in NRRD, MHA and MHD files, read by SimpleITK; layers and names of segments as 3D Slicer writes them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.masks.labels import Wanted, chosen, of_label_map
from fusionkit_plugins.blocks.masks.share import Share

from fusionkit.reading import MAX_VALUES, Grid, ReadError, first_bytes

_HEADER = 1 << 16
_DATA_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data\s?file:)\s*(.+?)\s*$", re.M | re.I)
_SEGMENT = re.compile(r"Segment(\d+)_Name")


def is_itk(start: bytes) -> bool:
    """Whether a file begins as NRRD or MHA/MHD do."""
    return start.startswith(b"NRRD") or bool(re.match(rb"\s*(ObjectType|NDims|Comment)\s*=", start))


def read_itk(path: Path, wanted: Wanted) -> Share:
    """The mask of some labels on the grid of the file.

    Raises: `ReadError` with `missing-package`, `data-file-outside`, `broken-mask`, `wrong-rank`, `too-large`,
    `unknown-label`, `several-labels`, `not-labels`.
    """
    try:
        itk: Any = import_module("SimpleITK")
    except ImportError:
        raise ReadError("missing-package", "reading NRRD and MHA needs the package SimpleITK",
                        fix='install "fusionkit[itk]"') from None
    _refuse_data_elsewhere(path)
    reader = itk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if len(size) == 3 and int(np.prod(size, dtype=object)) * reader.GetNumberOfComponents() <= MAX_VALUES:
            image = reader.Execute()
    except RuntimeError as problem:
        raise ReadError("broken-mask", "it cannot be read", " ".join(str(problem).split()),
                        "write it again with the tool that made it") from None
    if len(size) != 3:
        raise ReadError("wrong-rank", f"it has {len(size)} axes: {list(size)}", None, "save one volume")
    if int(np.prod(size, dtype=object)) * reader.GetNumberOfComponents() > MAX_VALUES:
        raise ReadError("too-large", f"its header claims {' x '.join(map(str, size))} voxels",
                        f"more than {MAX_VALUES:,} values are not read", "check the file")
    values = np.asarray(itk.GetArrayFromImage(image), dtype=np.float32)
    layers = values if values.ndim == 4 else values[..., None]
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    grid = Grid.of_file(affine, layers.shape[:3], world="LPS")
    told = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    share = _of_segments(layers, grid, wanted, told)
    nrrd = told.get("ITK_InputFilterName", "").startswith("Nrrd")
    untold = nrrd and not told.get("NRRD_space")
    return Share(share.values, share.grid, remarks=(("space-untold", ""),)) if untold else share


def _of_segments(layers: Any, grid: Grid, wanted: Wanted, told: dict[str, str]) -> Share:
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


def _refuse_data_elsewhere(path: Path) -> None:
    """The voxels of a header alone must lie in its folder."""
    found = _DATA_FILE.search(first_bytes(path, _HEADER))
    name = found[1].decode(errors="replace") if found else "LOCAL"
    if name.upper() not in ("LOCAL",) and (Path(name).name != name or name.upper().startswith("LIST")):
        raise ReadError("data-file-outside", f"its voxels are in {name!r}",
                        "they are read from a file beside the header alone", "keep header and voxels in one file")
