"""The `nifti` reader: one NIfTI volume in closest canonical orientation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fusionkit.data.label_maps import INTERPOLATE, Interpolation, labels_of, resize_as
from fusionkit.data.readers.advice import Advice, constant, label_maps, ranges, spacings
from fusionkit.data.readers.facts import Facts, spread
from fusionkit.data.readers.reader import MAX_VALUES, FileOptions, ReadError, Sizes, VolumeSize, Window, file_size_fix
from fusionkit.data.transforms import window

# Axes: c channels (the fourth axis of the file, or one), z d: inferior to superior, y h: posterior to anterior,
# x w: left to right. nibabel's canonical array is (x, y, z[, c]).


class NiftiOptions(FileOptions):
    """Options of the reader `nifti`."""

    window: Window | None = Field(None, description="Two values that become 0 and 1; values outside are clipped.")
    size: VolumeSize | None = Field(
        None, description="Depth, height and width that every volume is resized to; without it volumes keep their own."
    )
    interpolate: Interpolation = Field("auto", description=INTERPOLATE)
    fill_nan: float | None = Field(
        None, allow_inf_nan=False, description="The value that replaces NaN; without it NaN is refused."
    )


def shape(options: NiftiOptions) -> Sizes | None:
    """Channels, which are known only from the file, and the size."""
    return (None, *(options.size or (None, None, None)))


def size_fix(name: str, options: NiftiOptions, expected: Sizes, met: Sizes) -> str:
    """What to do if an input has unexpected sizes."""
    return file_size_fix(name, expected, met)


def advise(options: NiftiOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    return [*spacings(files, options.size is not None), *label_maps(options, files), *ranges(files), *constant(files)]


def read(path: Path, options: NiftiOptions) -> NDArray[np.float32]:
    """Only the array of `examine`."""
    return examine(path, options)[0]


def examine(path: Path, options: NiftiOptions) -> tuple[NDArray[np.float32], Facts]:
    """The volume, scaled by slope and intercept of its header, in closest canonical (RAS+) orientation.

    Shapes: (c, d, h, w): c is 1, or the fourth axis of a 4D file; d runs from inferior to superior, h from
    posterior to anterior, w from left to right.

    Raises: `ReadError` with `missing-package`, `not-nifti`, `wrong-rank`, `not-numeric`, `too-large` or
    `broken-nifti`.
    """
    volume = np.ascontiguousarray(_canonical(path).T)
    volume = volume[None] if volume.ndim == 3 else volume
    if options.fill_nan is not None:
        volume = np.nan_to_num(volume, nan=options.fill_nan, posinf=np.inf, neginf=-np.inf)
    facts = Facts(values=spread(volume), spacing=_spacing(path),
                  labels=labels_of(volume) if options.window is None else ())
    if options.window is not None:
        volume = window(volume, *options.window)
    return resize_as(volume, options.size, options.interpolate, facts.labels), facts


def _spacing(path: Path) -> tuple[float, ...]:
    """The voxel spacing along (d, h, w) in mm from the header; empty if it has no orientation."""
    nibabel: Any = import_module("nibabel")  # only partly typed
    image = nibabel.load(path)
    axes = nibabel.io_orientation(image.affine)[:, 0]
    if not np.isfinite(axes).all():
        return ()
    factor = {"meter": 1000.0, "micron": 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
    sizes = dict(zip(axes.astype(int).tolist(), nibabel.affines.voxel_sizes(image.affine) * factor, strict=True))
    return tuple(float(f"{sizes[axis]:.6g}") for axis in (2, 1, 0))


def _canonical(path: Path) -> NDArray[np.float32]:
    try:
        nibabel: Any = import_module("nibabel")  # only partly typed
    except ImportError:
        raise ReadError("missing-package", "reading NIfTI needs the package nibabel",
                        fix='install "fusionkit[nifti]"') from None
    try:
        image = nibabel.load(path)
    except Exception as problem:  # nibabel, gzip and zlib raise many kinds for other or damaged files
        raise ReadError("not-nifti", "it cannot be opened as NIfTI", " ".join(str(problem).split()),
                        "convert it to .nii or .nii.gz, or copy the file again") from None
    _refuse(image, nibabel)
    try:
        with np.errstate(all="ignore"):  # overflows become infinite and are refused as such
            return np.asarray(nibabel.as_closest_canonical(image).dataobj, dtype=np.float32)
    except Exception as problem:  # as above
        raise ReadError("broken-nifti", "the voxels of the volume cannot be read", " ".join(str(problem).split()),
                        "copy or convert the file again; it is cut off or damaged") from None


def _refuse(image: Any, nibabel: Any) -> None:
    if not isinstance(image, nibabel.Nifti1Image | nibabel.Nifti1Pair):
        raise ReadError("not-nifti", f"it is a {type(image).__name__}, not a NIfTI file",
                        fix="convert it to .nii or .nii.gz")
    shape = tuple(int(length) for length in image.shape)
    if len(shape) not in (3, 4):
        raise ReadError("wrong-rank", f"the volume has {len(shape)} axes: {list(shape)}",
                        "three axes are a volume; a fourth one is the channels",
                        "save one volume, or a 4D file with the channels on the fourth axis")
    if image.get_data_dtype().kind not in "biuf":
        raise ReadError("not-numeric", f"the voxels are {image.get_data_dtype()}, not numbers",
                        fix="save a volume of plain numbers")
    if int(np.prod(shape, dtype=object)) > MAX_VALUES:
        raise ReadError("too-large", f"the header claims a volume of {list(shape)}",
                        f"more than {MAX_VALUES} values are not read", "check the file; crop or resample the volume")
