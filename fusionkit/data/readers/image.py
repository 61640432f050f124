"""The `image` reader: one PNG or JPEG picture, 8 or 16 bit, scaled to 0..1 by its bit depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fusionkit.data.readers.advice import Advice, constant
from fusionkit.data.readers.facts import Facts, spread
from fusionkit.data.readers.reader import FileOptions, PlaneSize, ReadError, Sizes, file_size_fix
from fusionkit.data.transforms import resize

_FORMATS = ("PNG", "JPEG")
_MAX_PIXELS = 1 << 27
_DAMAGED = "copy or export the file again; it is cut off or damaged"


class ImageOptions(FileOptions):
    """Options of the reader `image`."""

    size: PlaneSize | None = Field(
        None, description="Height and width that every picture is resized to; without it pictures keep their own."
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1 converts colour to grey, 3 repeats grey three times; without it each keeps its own."
    )


def shape(options: ImageOptions) -> Sizes | None:
    """Channels, height, width; None if known only from the file."""
    return (options.channels, *(options.size or (None, None)))


def size_fix(name: str, options: ImageOptions, expected: Sizes, met: Sizes) -> str:
    """What to do if an input has unexpected sizes; the number of channels is an option too."""
    more = [f"'channels: {expected[0] or met[0]}'"] if expected[0] != met[0] else []
    return file_size_fix(name, expected, met, *more)


def advise(options: ImageOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    return constant(files)


def read(path: Path, options: ImageOptions) -> NDArray[np.float32]:
    """Only the array of `examine`."""
    return examine(path, options)[0]


def examine(path: Path, options: ImageOptions) -> tuple[NDArray[np.float32], Facts]:
    """The picture, rotated by its EXIF orientation; transparency is dropped.

    Shapes: (c, h, w), c is 1 for grey and 3 for colour. Units: 0..1. Pillow gives 16-bit colour at 8 bits.

    Raises: `ReadError` with `not-an-image` or `broken-image`.
    """
    array = _decode(path)
    if options.channels == 1 and array.shape[0] == 3:
        # The luma of ITU-R BT.601, as Pillow's own conversion to grey.
        array = np.tensordot(np.array([0.299, 0.587, 0.114], dtype=np.float32), array, axes=1)[None]
    if options.channels == 3 and array.shape[0] == 1:
        array = np.repeat(array, 3, axis=0)
    facts = Facts(values=spread(array))
    return resize(array, options.size) if options.size else np.ascontiguousarray(array), facts


def _decode(path: Path) -> NDArray[np.float32]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise ReadError("broken-image", f"it claims {picture.width} x {picture.height} pixels",
                                why=f"more than {_MAX_PIXELS} are not read", fix="save it at a smaller size")
            picture.load()
            return _scaled(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        raise _unidentified(path) from None
    except ReadError:
        raise
    except Exception as problem:  # decoders raise almost anything for damaged files
        raise ReadError("broken-image", "the picture cannot be decoded", str(problem) or type(problem).__name__,
                        _DAMAGED) from None


def _scaled(picture: Any) -> NDArray[np.float32]:
    if picture.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        return (np.asarray(picture).astype(np.float32) / np.float32(65535))[None]
    if picture.mode in ("1", "L", "LA"):
        return (np.asarray(picture.convert("L"), dtype=np.float32) / np.float32(255))[None]
    colour = np.asarray(picture.convert("RGB"), dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(colour.transpose(2, 0, 1))


def _unidentified(path: Path) -> ReadError:
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        return ReadError("broken-image", "the picture cannot be decoded", "its header is damaged", _DAMAGED)
    return ReadError("not-an-image", "it is not a PNG or JPEG picture",
                     f"the file starts with {start!r}" if start else "the file is empty",
                     "export it as PNG or JPEG; other kinds have their own readers (dicom, nifti, numpy)")
