"""Pictures that Pillow reads at 8 bits or not at all: TIFF by tifffile, 16-bit colours of PNG by SimpleITK."""

from __future__ import annotations

import math
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.reading import MAX_VALUES, ReadError

# Axes: p pages, c channels, h w of a page.
_MINISWHITE, _PALETTE = 0, 3
_DESCRIPTION = 270  # the tag of a TIFF
_OME_MM = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 1e-3, "\xb5m": 1e-3, "\u03bcm": 1e-3, "\xc2\xb5m": 1e-3,
           "nm": 1e-6}
"""The mm of a unit of OME, whose micro sign may have been read as two letters."""
_DEPTHS = {"uint8": 255, "uint16": 65535, "bool": 1}


def as_grey(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """The luma of ITU-R BT.601, as Pillow's own conversion to grey: (3, ...) to (1, ...)."""
    return np.tensordot(np.array([0.299, 0.587, 0.114], dtype=np.float32), colours, axes=1)[None]


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


def ome_pixel(path: Path) -> tuple[float, float]:
    """The height and the width of a pixel in mm, by the OME description of a TIFF.

    Raises: `ReadError` (no-geometry) for a file without one, or with a unit that is no length.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            found = str(getattr(picture, "tag_v2", {}).get(_DESCRIPTION, ""))
    except (OSError, ValueError, SyntaxError):
        found = ""
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", found)
    stated = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', pixels[0])) if pixels else {}
    try:
        sides = [float(stated[f"PhysicalSize{axis}"]) * _OME_MM[stated.get(f"PhysicalSize{axis}Unit", "um")]
                 for axis in "YX"]
    except (KeyError, ValueError):
        sides = [0.0]
    if not all(0 < side < math.inf for side in sides):
        raise ReadError("no-geometry", "it has no OME description with the size of a pixel",
                        "'spacing_from: ome' reads PhysicalSizeX and PhysicalSizeY of a TIFF",
                        "remove 'spacing_from', or save the picture as OME-TIFF")
    return sides[0], sides[1]


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
