"""One volume or picture of a NRRD, MHA or MHD file, in closest canonical orientation.

Source: Yaniv et al. 2018, SimpleITK image-analysis notebooks, doi:10.1007/s10278-017-0037-8.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from fusionkit import reading
from fusionkit.api import Reader
from fusionkit.reading import Facts, ReadError
from numpy.typing import NDArray


class NrrdOptions(reading.IntensityOptions):
    """Options of `read: itk`."""


def shape(options: NrrdOptions) -> reading.Sizes | None:
    """Channels, which the file tells, and the size; pictures have no depth."""
    return None if options.size is None else (None, *options.size)


def examine(path: Path, options: NrrdOptions) -> tuple[NDArray[np.float32], Facts]:
    """The voxels, channels first: (c, d, h, w), from inferior, posterior and left, or (c, h, w) of a picture."""
    itk: Any = import_module("SimpleITK")  # without types
    try:
        header = itk.ImageFileReader()
        header.SetFileName(str(path))
        header.ReadImageInformation()
        if np.prod(header.GetSize(), dtype=object) * header.GetNumberOfComponents() > reading.MAX_VALUES:
            raise ReadError("too-large", f"it claims {list(header.GetSize())} voxels", fix="crop or resample it")
        image = header.Execute()
        image = itk.DICOMOrient(image, "RAS") if image.GetDimension() == 3 else image
        voxels = itk.GetArrayFromImage(image).astype(np.float32)
    except RuntimeError as error:
        raise ReadError("not-nrrd", "SimpleITK cannot read it", str(error).strip().rpartition("\n")[2],
                        "copy it again, or convert it to NRRD or MHA") from None
    several = image.GetNumberOfComponentsPerPixel() > 1
    voxels = np.ascontiguousarray(np.moveaxis(voxels, -1, 0) if several else voxels[None])
    labels = reading.labels_of(voxels) if options.as_stored else ()
    return reading.intensities(voxels, Facts(values=reading.spread(voxels), grid=_grid(image), labels=labels), options)


def _grid(image: Any) -> reading.Grid | None:
    """Where the voxels are: the columns of ITK's direction are those of i, j, k, in LPS. None of a picture."""
    if image.GetDimension() != 3:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return reading.Grid.of_file(affine, image.GetSize()[::-1], world="LPS")


def advise(options: NrrdOptions, files: list[Facts]) -> list[reading.Advice]:
    """Warnings about the files of one input taken together."""
    return [*reading.spacings(files, options.size is not None), *reading.ranges(files), *reading.constant(files)]


def sample(folder: Path) -> Path:
    """A volume of 3 x 5 x 7 voxels of 2 mm."""
    itk: Any = import_module("SimpleITK")
    image = itk.GetImageFromArray(np.linspace(-1, 1, 105, dtype=np.float32).reshape(3, 5, 7))
    image.SetSpacing((2.0, 2.0, 2.0))
    itk.WriteImage(image, str(folder / "volume.nrrd"))
    return folder / "volume.nrrd"


component = Reader("itk", NrrdOptions, examine, category="volume", needs=("SimpleITK",), shape=shape, advise=advise,
                   sample=sample)
