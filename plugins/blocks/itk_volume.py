"""Volumes of NRRD and MHA files as the readers of both give them, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.itk_files import is_mha, is_nrrd, read_itk
from fusionkit_plugins.blocks.volume_files import VolumeFileOptions, advise_volumes
from numpy.typing import NDArray

from fusionkit.reading import (
    Advice,
    Facts,
    ReadError,
    Sizes,
    count,
    first_bytes,
    intensities,
    labels_of,
    misplaced,
    remarked,
    spread,
)


def shape(options: VolumeFileOptions) -> Sizes | None:
    """Channels, which are known only from the file or from several windows, and the size."""
    return None if options.size is None else (options.window_channels, *options.size)


@dataclass(frozen=True)
class Format:
    """How a format is told by the first bytes of a file, its name in messages, and the codes of refusals."""

    fits: Callable[[bytes], bool]
    name: str
    other: str
    broken: str


NRRD = Format(is_nrrd, "an NRRD volume", "not-nrrd", "broken-nrrd")
MHA = Format(is_mha, "an MHA or MHD volume", "not-mha", "broken-mha")


def examine_itk(path: Path, options: VolumeFileOptions, kind: Format) -> tuple[NDArray[np.float32], Facts]:
    """One volume, its axes to the right, the front and the top unless `orient` says otherwise.

    Shapes: (c, d, h, w), or (c, h, w) of a picture; c are the numbers of a voxel.
    Raises: `ReadError` as `read_itk`, and with the code of another file.
    """
    start = first_bytes(path)
    if not kind.fits(start):
        raise misplaced(path, kind.other, kind.name) or ReadError(
            kind.other, f"it is not {kind.name}", f"the file starts with {start[:8]!r}", "convert it, or copy it again")
    image = read_itk(path, kind.broken, turned=None if options.orient == "keep" else "RAS", pictures=True)
    values = np.ascontiguousarray(np.moveaxis(image.values, -1, 0), dtype=np.float32)
    if options.fill_nan is not None:
        values = np.nan_to_num(values, nan=options.fill_nan, posinf=np.inf, neginf=-np.inf)
    labels = labels_of(values) if options.as_stored else ()
    untold = (("no-geometry", ""),) if image.untold and image.grid is not None else ()
    return intensities(values, Facts(values=spread(values), grid=image.grid, labels=labels, remarks=untold), options)


def advise(options: VolumeFileOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    found = []
    if cases := remarked(files, "no-geometry"):
        found.append(Advice("no-geometry", f"{count(cases, files)} name no space, and are taken as LPS", cases,
                            "an NRRD without 'space' does not say where its axes point",
                            "write 'space: left-posterior-superior' with the tool that made them, if it is"))
    return [*found, *advise_volumes(options, files)]


def write_sample(path: Path) -> Path:
    """A volume of 3 x 5 x 7 voxels of 2 mm."""
    itk: Any = import_module("SimpleITK")
    image = itk.GetImageFromArray(np.linspace(-1, 1, 105, dtype=np.float32).reshape(3, 5, 7))
    image.SetSpacing((2.0, 2.0, 2.0))
    itk.WriteImage(image, str(path))
    return path
