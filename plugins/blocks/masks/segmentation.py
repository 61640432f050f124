"""DICOM Segmentation objects, read by highdicom: BINARY, FRACTIONAL and LABELMAP.

A frame lies where its position says; the order of frames, instance numbers and slices without a frame mean nothing.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.headers import quiet
from fusionkit_plugins.blocks.masks.labels import Wanted, chosen
from fusionkit_plugins.blocks.masks.share import Share

from fusionkit.reading import Grid, ReadError


def read_segmentation(path: Path, dataset: Any, wanted: Wanted) -> Share:
    """The mask of some segments on the grid of the object, which may hold some slices of its image only.

    `dataset` is what pydicom read. Of segments that overlap the largest share of a voxel counts.
    Raises: `ReadError` with `missing-package`, `unknown-label`, `several-labels`, `seg-not-a-volume`.
    """
    try:
        highdicom: Any = import_module("highdicom")
    except ImportError:
        raise ReadError("missing-package", "reading DICOM SEG needs the package highdicom",
                        fix='install "fusionkit[seg]"') from None
    with quiet:
        try:
            found = highdicom.seg.Segmentation.from_dataset(dataset, copy=False)
            names = {int(number): str(found.get_segment_description(number).segment_label)
                     for number in found.segment_numbers if int(number)}
        except Exception as problem:  # highdicom passes on all errors of a broken file
            raise _not_a_volume(path, problem) from None
        numbers = chosen(wanted, names)
        try:
            volume = found.get_volume(segment_numbers=numbers, combine_segments=False)
        except Exception as problem:  # as above
            raise _not_a_volume(path, problem) from None
    values = np.asarray(volume.array, dtype=np.float32)
    if values.ndim == 4:
        values = values.max(axis=3)
    affine = np.asarray(volume.affine, dtype=np.float64)[:, [2, 1, 0, 3]]
    return Share(values, Grid.of_file(affine, values.shape, world="LPS"), str(getattr(
        dataset, "FrameOfReferenceUID", "") or ""))


def _not_a_volume(path: Path, problem: Exception) -> ReadError:
    said = " ".join(str(problem).split()) or type(problem).__name__
    return ReadError("seg-not-a-volume", f"{path.name!r} cannot be read as a volume", said,
                     "write it again on the slices of its image, or convert it to NIfTI")
