"""DICOM files of tests, element by element: what `fusionkit.datasets.dicom_writer` never writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
RADIOGRAPH = "1.2.840.10008.5.1.4.1.1.1.1"
PET = "1.2.840.10008.5.1.4.1.1.128"


def dataset(stored: NDArray[Any], modality: str = "CT", kind: str = CT, **values: Any) -> Dataset:
    """One image of stored values with their sign, (H, W) or (frames, H, W); an element that is None is not written."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = kind
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = modality, "1.2.3.4.5", 2
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = stored.shape[-2:]
    made.BitsAllocated = made.BitsStored = 8 * stored.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(stored.dtype.kind == "i")
    made.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    for keyword, value in values.items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def ct(stored: NDArray[Any], place: float = 0.0, **values: Any) -> Dataset:
    """One axial CT slice, `place` mm towards the head."""
    return dataset(stored, **{"ImagePositionPatient": [0, 0, place], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                              "PixelSpacing": [1, 1], "RescaleSlope": 1, "RescaleIntercept": -1024, **values})


def save(made: Dataset, path: Path) -> Path:
    """Writes a file, and the folders on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, stored: NDArray[Any], step: float = 2.0, **values: Any) -> Path:
    """An axial CT series of (D, H, W) stored values; a value that is a function is called with the slice's number."""
    for number, plane in enumerate(stored):
        own = {keyword: value(number) if callable(value) else value for keyword, value in values.items()}
        save(ct(plane, step * number, **own), folder / f"{number:02d}.dcm")
    return folder
