"""Pictures that Pillow reads at 8 bits or not at all: TIFF by tifffile, 16-bit colours of PNG by SimpleITK."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.reading import MAX_VALUES, ReadError

# Axes: p pages, c channels, h w of a page.
_MINISWHITE, _PALETTE = 0, 3
_DEPTHS = {"uint8": 255, "uint16": 65535, "bool": 1}


def tiff_pages(path: Path, most: int | None) -> tuple[NDArray[np.float32], int | None, int] | None:
    """The first `most` pages of a TIFF, or all, the largest stored value of its type, and how many pages it has.

    Pages of which black is the largest value are inverted, transparency is left out. None where tifffile or a codec is
    not installed, or for palettes, which Pillow reads. Shapes: (p, c, h, w).
    Raises: `ReadError` with `pages-differ` or `too-large`; what tifffile raises for a damaged file.
    """
    try:
        tifffile: Any = import_module("tifffile")
    except ImportError:
        return None
    with tifffile.TiffFile(path) as file:
        first = file.pages[0]
        if first.photometric == _PALETTE or first.ndim not in (2, 3):
            return None
        pages = list(file.pages)[:most]
        other = next((page for page in pages if (page.shape, page.dtype, page.photometric) != (
            first.shape, first.dtype, first.photometric)), None)
        if other is not None:
            raise ReadError("pages-differ", f"its pages have different sizes: {list(first.shape)} and "
                            f"{list(other.shape)}", "the pages of a volume are alike", "read one page: remove 'pages'")
        if len(pages) * int(np.prod(first.shape, dtype=object)) > MAX_VALUES:
            raise ReadError("too-large", f"it claims {len(pages)} pages of {list(first.shape)}",
                            f"more than {MAX_VALUES:,} values are not read", "save it at a smaller size")
        try:
            stored = np.stack([page.asarray() for page in pages])
        except ValueError as problem:
            if "imagecodecs" in str(problem):
                return None
            raise
        count = len(file.pages)
    depth = _DEPTHS.get(str(stored.dtype))
    values = stored.astype(np.float32)
    if first.ndim == 2:
        values = values[:, None]
    elif "S" in first.axes:
        values = np.moveaxis(values, 1 + first.axes.index("S"), 1)
        values = values[:, : values.shape[1] - len(first.extrasamples)]
    if first.photometric == _MINISWHITE and depth is not None:
        values = depth - values
    return np.ascontiguousarray(values), depth, count


def deep_png(path: Path) -> NDArray[np.float32] | None:
    """The colours of a PNG at 16 bits, without transparency: (c, h, w). None where SimpleITK is not installed."""
    try:
        itk: Any = import_module("SimpleITK")
    except ImportError:
        return None
    reader = itk.ImageFileReader()
    reader.SetImageIO("PNGImageIO")
    reader.SetFileName(str(path))
    values = itk.GetArrayFromImage(reader.Execute())
    return np.ascontiguousarray(values[..., :3].transpose(2, 0, 1), dtype=np.float32)
