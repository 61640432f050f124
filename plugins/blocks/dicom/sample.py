"""A small CT series, by which the conformance kit tries the reader."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

_SHAPE = (5, 7)


def write_series(folder: Path) -> None:
    """Three slices of 5 x 7 pixels, 2 mm apart, in HU."""
    pydicom: Any = import_module("pydicom")  # only partly typed
    uid = import_module("pydicom.uid")
    folder.mkdir()
    series, study = uid.generate_uid(), uid.generate_uid()
    for number in range(3):
        made: Any = pydicom.Dataset()
        made.file_meta = pydicom.dataset.FileMetaDataset()
        made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = uid.CTImageStorage
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = uid.generate_uid()
        made.SeriesInstanceUID, made.StudyInstanceUID, made.Modality = series, study, "CT"
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.InstanceNumber = [0.5, 0.5], number + 1
        made.Rows, made.Columns = _SHAPE
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated = made.BitsStored = 16
        made.HighBit, made.PixelRepresentation = 15, 1
        made.RescaleSlope, made.RescaleIntercept = 1, -1024
        made.PixelData = np.arange(35, dtype=np.int16).reshape(_SHAPE).tobytes()
        made.save_as(folder / f"{number}.dcm", enforce_file_format=True)
