"""Masks: NIfTI, DICOM SEG and RTSTRUCT, NRRD, MHA and .seg.nrrd, as one channel of what they cover of each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.headers import find_files, open_dataset
from fusionkit_plugins.blocks.masks.itk_volume import is_itk, read_mask
from fusionkit_plugins.blocks.masks.labels import of_label_map
from fusionkit_plugins.blocks.masks.segmentation import read_segmentation
from fusionkit_plugins.blocks.masks.share import Share
from fusionkit_plugins.blocks.masks.slice_boxes import read_slice_boxes
from fusionkit_plugins.blocks.masks.structures import read_structures
from fusionkit_plugins.readers import nifti
from numpy.typing import NDArray
from pydantic import Field

from fusionkit.api import Reader
from fusionkit.reading import (
    LABEL,
    Advice,
    Facts,
    FileOptions,
    Labels,
    ReadError,
    Sizes,
    count,
    first_bytes,
    misplaced,
    remarked,
    spread,
)

_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # and those of label maps
_EMPTY = "mask-empty"


class MaskOptions(FileOptions):
    """Options of the reader `mask`."""

    label: Labels | None = Field(None, description=LABEL)


def shape(options: MaskOptions) -> Sizes:
    """One channel, and the size."""
    return (1, *(options.size or (None, None, None)))


def examine(path: Path, options: MaskOptions) -> tuple[NDArray[np.float32], Facts]:
    """The mask of a file that has voxels of its own; as `onto` for others, which are refused."""
    return _read(path, options, None)


def onto(path: Path, options: MaskOptions, image: Facts) -> tuple[NDArray[np.float32], Facts]:
    """The mask of a file on the grid that it has, or on that of its image.

    Shapes: (1, d, h, w): 1 inside, 0 outside; of a FRACTIONAL segmentation, or a map of probabilities, what is between.
    Raises: `ReadError` with `unknown-label`, `several-labels`, `not-labels`, `not-a-mask`, and those of each format.
    """
    return _read(path, options, image)


def _read(path: Path, options: MaskOptions, image: Facts | None) -> tuple[NDArray[np.float32], Facts]:
    share = _share(path, options, image)
    values = share.values[None]
    binary = bool(np.isin(values, (0, 1)).all())
    remarks = (*share.remarks, *([] if values.any() else [(_EMPTY, "")]))
    return values, Facts(values=spread(values), grid=share.grid, frame_of_reference=share.frame_of_reference,
                         labels=(0.0, 1.0) if binary else (), fill=(0.0,), remarks=remarks)


def _share(path: Path, options: MaskOptions, image: Facts | None) -> Share:
    if path.is_dir():
        if any(path.glob("*.xml")):
            return read_slice_boxes(path, options.label, image)
        files = find_files(path)
        if len(files) > 1:
            raise ReadError("not-a-mask", f"it is a folder of {len(files)} files", None,
                            "let 'path' name the file of the mask")
        path = files[0]
    start = first_bytes(path)
    if start[128:132] == b"DICM":
        return _of_dicom(path, options, image)
    if is_itk(start):
        return read_mask(path, options.label)
    if start.startswith(b"\x1f\x8b") or start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0":
        values, facts = nifti.examine(path, nifti.NiftiOptions(path=options.path, orient="keep"))
        if len(values) > 1:
            raise ReadError("wrong-rank", f"it has {len(values)} volumes", None, "save one volume of labels")
        return of_label_map(values[0], facts.grid, options.label)
    raise misplaced(path, "not-a-mask", "a mask") or ReadError(
        "not-a-mask", "it is none of the files that masks are read from", None,
        "give NIfTI, DICOM SEG, RTSTRUCT, NRRD or MHA")


def _of_dicom(path: Path, options: MaskOptions, image: Facts | None) -> Share:
    dataset = open_dataset(path, pixels=True)
    kind = getattr(dataset, "SOPClassUID", "")
    if kind == _STRUCTURES:
        return read_structures(path, dataset, options.label, image)
    if kind in _SEGMENTATIONS:
        return read_segmentation(path, dataset, options.label)
    raise ReadError("not-a-mask", f"it is a {getattr(kind, 'name', '') or 'DICOM object of unknown class'}", None,
                    "give a DICOM SEG or an RTSTRUCT")


def advise(options: Any, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about masks, also about those of `roi`, whose remarks are beside those of the image."""
    found = []
    for remark, advice in _WARNINGS.items():
        if cases := remarked(files, remark):
            total = sum(int(files[place].remark(remark) or 0) for place in cases)
            found.append(replace(advice, message=f"{count(cases, files)} have {advice.message.format(total)}",
                                 cases=cases))
    return found


_WARNINGS = {
    "contour-between-slices": Advice(
        "contour-between-slices", "contours between slices, {} in all", (),
        "they are more than a tenth of a step from the slice that they are put on",
        "check that they were drawn on this series, and not on a thinner one"),
    "contour-gaps": Advice(
        "contour-gaps", "contours that leave out slices, {} in all", (),
        "nothing is invented there: the mask has holes", "interpolate the contours with the tool that made them"),
    "contours-outside": Advice(
        "contours-outside", "contours beyond the slices of the volume, {} in all", (), "they were left out",
        "check that the whole series is there"),
    "open-contours": Advice(
        "open-contours", "contours that are points or open lines, {} in all", (), "they hold no voxel",
        "choose regions of closed contours by 'label'"),
    "space-untold": Advice(
        "no-geometry", "masks whose header names no world", (), "NRRD without 'space' is read as LPS",
        "write 'space: left-posterior-superior' into the header if that is right"),
    _EMPTY: Advice("empty-mask", "an empty mask", (), None, "check the file and 'label', if the case should have one"),
}
"""By the remark of a file, with the number of what is remarked where it has one."""


def sample(folder: Path) -> Path:
    """A mask of 3 x 5 x 7 voxels of 2 mm."""
    nibabel: Any = import_module("nibabel")
    voxels = np.zeros((3, 5, 7), dtype=np.uint8)
    voxels[1, 1:4, 2:5] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / "mask.nii")
    return folder / "mask.nii"


component = Reader("mask", MaskOptions, examine, category="volume", shape=shape, advise=advise, folders=True,
                   onto=onto, sample=sample)
