"""DICOM: a series folder as one volume in HU, or a single file as one picture.

Slices are sorted by their position along the normal and rescaled each by its own slope and intercept. A folder that
is not one volume is refused with the reason; docs/dicom.md lists what is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from fusionkit.data.readers.advice import Advice, constant
from fusionkit.data.readers.dicom.headers import find_files, read_slices
from fusionkit.data.readers.dicom.pixels import read_picture, read_stack
from fusionkit.data.readers.dicom.series import check_image, choose_series, ordered
from fusionkit.data.readers.dicom.traits import described
from fusionkit.data.readers.facts import Facts, spread
from fusionkit.data.readers.reader import Bounded, FileOptions, ReadError, Sizes, Window, file_size_fix
from fusionkit.data.transforms import resize, window

# Up to this size a folder is read in one pass; above it, headers are read first, and then the chosen series' pixels.
_READ_ONCE_BYTES = 128 << 20


class DicomOptions(FileOptions):
    """Options of `read: dicom`."""

    form: Literal["volume", "image"] = Field(
        "volume", description="A `volume` from the slices of one series, or an `image` from a single file."
    )
    series: str | int | None = Field(
        None, description="Which series of the folder, by UID, number or description; needed if there are several."
    )
    window: Window | None = Field(
        None, description="Lowest and highest value (HU for CT), scaled to 0 and 1; outside values are clipped."
    )
    size: Annotated[tuple[PositiveInt, ...], Bounded] | None = Field(
        None, description="Size to resample to: [depth, height, width] of a volume, [height, width] of an image."
    )
    tilt: Literal["refuse", "keep"] = Field(
        "refuse", description="What to do with a stack from a tilted gantry: `keep` uses the sheared stack unchanged."
    )

    @field_validator("size")
    @classmethod
    def _size_fits(cls, size: tuple[int, ...] | None, found: ValidationInfo) -> tuple[int, ...] | None:
        form = found.data.get("form", "volume")
        axes = {"volume": 3, "image": 2}[form]
        if size is not None and len(size) != axes:
            raise ValueError(f"the size of {'a volume' if axes == 3 else 'an image'} is {axes} numbers")
        return size


def shape(options: DicomOptions) -> Sizes:
    """The sizes that follow from the options: (1, D, H, W) of a volume, (C, H, W) of an image."""
    if options.form == "volume":
        return (1, *(options.size or (None, None, None)))
    return (None, *(options.size or (None, None)))


def size_fix(name: str, options: DicomOptions, expected: Sizes, met: Sizes) -> str:
    """What to do if an input has unexpected sizes."""
    return file_size_fix(name, expected, met)


def advise(options: DicomOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    return constant(files)


def read(path: Path, options: DicomOptions) -> NDArray[np.float32]:
    """Only the array of `examine`."""
    return examine(path, options)[0]


def examine(path: Path, options: DicomOptions) -> tuple[NDArray[np.float32], Facts]:
    """The volume of a series folder (or of one file), or the picture of a file.

    Shapes: (1, D, H, W) with D along the slice normal; (1, H, W) or (3, H, W) for `form: image`.
    Units: those after slope and intercept of the header (HU for CT); 0..1 with a window.
    Raises: `ReadError`; its codes start with `dicom-` and are listed on docs/dicom.md.
    """
    files = find_files(path)
    keep = sum(file.stat().st_size for file in files) <= _READ_ONCE_BYTES
    slices = [item for file in files for item in read_slices(file, keep)]
    if options.form == "volume":
        chosen = choose_series(slices, None if options.series is None else str(options.series))
        values = read_stack(ordered(chosen, options.tilt == "keep"))[None]
    else:
        if len(slices) != 1:
            fix = "let 'path' name one file, or read the series with 'form: volume'"
            raise ReadError("dicom-not-one-image", f"contains {len(slices)} planes, not one picture", None, fix)
        check_image(slices[0])
        if slices[0].frames > 1:
            message = f"{slices[0].name} contains {slices[0].frames} frames, not one picture"
            raise ReadError("dicom-multiframe", message, None, "write the frame to use to a separate file")
        values = read_picture(slices[0])
    facts = replace(described(path), values=spread(values))
    if options.window is not None:
        values = window(values, *options.window)
    return values if options.size is None else resize(values, options.size), facts
