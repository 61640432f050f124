"""Volumes and pictures of NRRD, MHA and MHD files, read by SimpleITK, with the place of their voxels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.reading import MAX_VALUES, Grid, ReadError, first_bytes

_HEADER = 1 << 16
_DATA_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data\s?file:)\s*(.+?)\s*$", re.M | re.I)
_RATIO = 1100
"""No compression of these formats makes data smaller than by this factor: that of deflate is 1032."""


@dataclass(frozen=True)
class ItkImage:
    """What a file holds. Shapes: `values` (d, h, w, k) or (h, w, k), k numbers of each voxel.

    `grid` is None of a picture, `told` are the entries of the header, and `untold` says that an NRRD names no space.
    """

    values: NDArray[Any]
    grid: Grid | None
    told: Mapping[str, str]
    untold: bool


def is_nrrd(start: bytes) -> bool:
    """Whether a file begins as NRRD does."""
    return start.startswith(b"NRRD")


def is_mha(start: bytes) -> bool:
    """Whether a file begins as MHA and MHD do."""
    return bool(re.match(rb"\s*(ObjectType|NDims|Comment)\s*=", start))


def read_itk(path: Path, broken: str, *, turned: str | None = None, pictures: bool = False) -> ItkImage:
    """The image of a file, with axes to three directions, such as RAS, where `turned` says so.

    Raises: `ReadError` with `missing-package`, `data-file-outside`, `wrong-rank`, `too-large`, or the code `broken`.
    """
    try:
        itk: Any = import_module("SimpleITK")  # without types
    except ImportError:
        raise ReadError("missing-package", "reading NRRD and MHA needs the package SimpleITK",
                        fix='install "fusionkit[nrrd]"') from None
    data = _data_file(path)
    reader = itk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _refuse_size(reader, data, pictures)
        image = reader.Execute()
        if turned is not None and image.GetDimension() == 3:
            image = itk.DICOMOrient(image, turned)
    except RuntimeError as problem:
        raise ReadError(broken, "it cannot be read", str(problem).strip().rpartition("\n")[2],
                        "copy it again, or write it again with the tool that made it") from None
    values = itk.GetArrayFromImage(image)
    values = values if values.ndim > image.GetDimension() else values[..., None]
    told = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    nrrd = told.get("ITK_InputFilterName", "").startswith("Nrrd")
    return ItkImage(values, _grid(image), told, nrrd and not told.get("NRRD_space"))


def _grid(image: Any) -> Grid | None:
    """Where the voxels are: the columns of ITK's direction are those of i, j, k, in LPS. None of a picture."""
    if image.GetDimension() != 3:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Grid.of_file(affine, image.GetSize()[::-1], world="LPS")


def _refuse_size(reader: Any, data: Path, pictures: bool) -> None:
    """Sizes that the header claims are compared with the file before memory is taken."""
    size = [int(length) for length in reader.GetSize()]
    if len(size) != 3 and not (pictures and len(size) == 2):
        raise ReadError("wrong-rank", f"it has {len(size)} axes: {size}", None, "save one volume")
    count = int(np.prod(size, dtype=object)) * reader.GetNumberOfComponents()
    claimed, there = " x ".join(map(str, size)), data.stat().st_size
    if count > MAX_VALUES:
        raise ReadError("too-large", f"its header claims {claimed} voxels",
                        f"more than {MAX_VALUES:,} values are not read", "check the file")
    if count > _RATIO * there:
        raise ReadError("too-large", f"its header claims {claimed} voxels",
                        f"{data.name!r} has {there:,} bytes, in which they cannot be", "copy the file again")


def _data_file(path: Path) -> Path:
    """The file with the voxels: this one, or one beside it. Raises: `ReadError` with `data-file-outside`."""
    found = _DATA_FILE.search(first_bytes(path, _HEADER))
    name = found[1].decode(errors="replace") if found else "LOCAL"
    if name.upper() == "LOCAL":
        return path
    outside = Path(name).name != name or name.upper().startswith("LIST") or not name.isprintable()
    beside = path if outside else path.parent / name
    # A header that is a link itself, as in a checkout of git-annex, has data that are one too.
    if outside or (not path.is_symlink() and beside.resolve().parent != path.resolve().parent):
        raise ReadError("data-file-outside", f"its voxels are in {name!r}",
                        "they are read from a file beside the header alone", "keep header and voxels in one file")
    if not beside.is_file():
        raise ReadError("missing-data-file", f"its voxels should be in {name!r}, which is not beside it",
                        fix=f"copy {name!r} there, or keep header and voxels in one file")
    return beside
