"""Boxes drawn on the slices of a series, as PASCAL VOC files: one for each slice, named by its SOPInstanceUID."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from fusionkit_plugins.blocks.masks.labels import Wanted, chosen
from fusionkit_plugins.blocks.masks.share import Share

from fusionkit.reading import Facts, ReadError

_MOST_BYTES = 1 << 20
_SIDES = ("xmin", "xmax", "ymin", "ymax")
_Drawn = tuple[Path, str, tuple[int, int, int, int]]
"""The file of a box, the name of what is in it, and its sides."""


def read_slice_boxes(folder: Path, wanted: Wanted, image: Facts | None) -> Share:
    """The pixels in any box of some names, on the grid of the image; the sides of a box belong to it.

    Raises: `ReadError` with `no-boxes`, `broken-box`, `unknown-label`, `box-unknown-slice`.
    """
    if image is None or image.grid is None or not image.slices:
        raise ReadError("box-unknown-slice", "its boxes are drawn on slices that are named by their SOPInstanceUID",
                        "the image is no DICOM series, or its slices were resampled",
                        "read the series with 'read: dicom', without 'gaps: resample' and 'tilt: resample'")
    files = sorted(folder.glob("*.xml"))
    if not files:
        raise ReadError("no-boxes", "it holds no .xml file", None,
                        "let 'box' name the folder with the PASCAL VOC files of the case")
    drawn = [box for file in files for box in _boxes(file)]
    names = dict(enumerate(sorted({name for _, name, _ in drawn})))
    kept = {names[number] for number in chosen(wanted, names)} if wanted is not None else set(names.values())
    places = {uid: number for number, uid in enumerate(image.slices)}
    strange = sorted({file.stem for file, _, _ in drawn if file.stem not in places})
    if strange:
        raise ReadError(
            "box-unknown-slice", f"{len(strange)} of its {len(files)} files belong to no slice of the series",
            f"for example {strange[0]}; a file is named by the SOPInstanceUID of its slice",
            "take the boxes of this series, or choose the series that they were drawn on")
    mask = np.zeros(image.grid.shape, dtype=np.float32)
    for file, name, (left, right, top, bottom) in drawn:
        if name in kept:
            mask[places[file.stem], max(0, top):max(0, bottom + 1), max(0, left):max(0, right + 1)] = 1
    return Share(mask, image.grid, image.frame_of_reference)


def _boxes(file: Path) -> list[_Drawn]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has {file.stat().st_size:,} bytes")
        text = file.read_bytes()
        if b"<!" in text.replace(b"<!--", b""):
            raise ValueError("it declares a document type")
        found = []
        for item in ElementTree.fromstring(text).iter("object"):  # noqa: S314 -- without declarations
            left, right, top, bottom = (round(float(item.findtext(f"bndbox/{side}") or "")) for side in _SIDES)
            found.append((file, (item.findtext("name") or "").strip(), (left, right, top, bottom)))
        return found
    except (ValueError, OverflowError, ElementTree.ParseError) as problem:
        raise ReadError("broken-box", f"{file.name!r} is no PASCAL VOC file", str(problem),
                        "it holds an 'annotation' with an 'object', its 'name' and a 'bndbox' of xmin, ymin, xmax and "
                        "ymax") from None
