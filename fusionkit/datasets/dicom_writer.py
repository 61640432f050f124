"""Writes CT and PET series as DICOM: one file per slice, exact geometry, any orientation, four transfer syntaxes.

For synthetic cohorts and tests. The stored value has 12 of 16 bits: HU + 1024, so HU outside -1024..3071 is clipped, or
hundredths of SUV, so that 40.95 is the most.
Source: DICOM PS3.3 C.7.6.2 (image plane), PS3.5 A.4 (encapsulated pixel data).
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Syntax = Literal["explicit", "rle", "jpeg2000", "jpegls"]
SYNTAXES: dict[Syntax, str] = {
    "explicit": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
    "jpegls": "1.2.840.10008.1.2.4.80",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)

_LARGEST = 4095
# Placeholders in the header, each as long as its replacement, so that one header serves all slices of a series.
_INSTANCE = "2.25." + "9" * 39
_POSITION = ("12345.6789012345", "23456.7890123456", "34567.8901234567")
_NUMBER = "1234567890"


@dataclass(frozen=True, slots=True)
class Modality:
    """What a series is of: DICOM's name and class, the scale of stored values, and the elements that tell the unit."""

    name: str
    sop_class: str
    intercept: int
    slope: float
    elements: Mapping[str, Any]


CT = Modality("CT", "1.2.840.10008.5.1.4.1.1.2", -1024, 1, {"RescaleType": "HU"})
PET = Modality("PT", "1.2.840.10008.5.1.4.1.1.128", 0, 0.01, {
    "Units": "GML", "SUVType": "BW", "CorrectedImage": ["ATTN", "DECY"], "DecayCorrection": "START"})


@dataclass(frozen=True, slots=True)
class Geometry:
    """The position and orientation of a volume in the patient.

    Units: `spacing` is mm between voxel centres along depth, height, width; `position` is the centre of voxel
    (0, 0, 0) in mm, x to the patient's left, y to the back, z to the head; `orientation` is the unit vector along
    which columns advance, then the one along which rows advance. Depth advances along their cross product, or
    against it when its spacing is negative.
    """

    spacing: tuple[float, float, float] = (2.5, 1.5, 1.5)
    orientation: tuple[float, ...] = AXIAL
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def normal(self) -> NDArray[np.float64]:
        """The unit vector along which slices advance."""
        return np.cross(self.orientation[:3], self.orientation[3:])

    def slice_positions(self, depth: int) -> NDArray[np.float64]:
        """The centre of the first voxel of each slice, in mm: (D, 3)."""
        places: NDArray[np.float64] = self.position + np.arange(depth)[:, None] * self.spacing[0] * self.normal()
        return places


def uid(*parts: object) -> str:
    """A unique identifier that depends on the parts only, always 44 characters (PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{10**38 + int.from_bytes(digest[:16], 'big') % 10**38}"


def can_write(syntax: Syntax) -> bool:
    """Whether this installation can encode a transfer syntax."""
    return syntax == "explicit" or bool(_encoder(syntax).is_available)


def _encoder(syntax: Syntax) -> Any:
    return import_module("pydicom.pixels").get_encoder(SYNTAXES[syntax])


def write_series(
    folder: Path,
    volume: NDArray[Any],
    geometry: Geometry | None = None,
    *,
    modality: Modality = CT,
    seed: object = 0,
    syntax: Syntax = "explicit",
    shuffled: bool = True,
    reversed_numbers: bool = True,
    patient: Mapping[str, str] | None = None,
) -> None:
    """Write a volume as a series with one file per slice.

    By default, file names are shuffled and instance numbers run against the positions, so that only a reader that
    sorts by position recovers the volume. `patient` has DICOM keywords such as `PatientID`. JPEG 2000
    needs slices of at least 32 pixels per side. Series of one `seed` and several modalities share study and frame of
    reference.
    Shapes: volume (D, H, W). Units: HU, or SUV for PET.
    """
    geometry = geometry or Geometry()
    depth = len(volume)
    own_seed = seed if modality is CT else f"{seed} {modality.name}"
    order = np.random.default_rng(int(uid(own_seed, "order")[5:])).permutation(depth) if shuffled else np.arange(depth)
    dataset = _dataset(volume, geometry, modality, SYNTAXES[syntax])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(seed, "study"), uid(own_seed, "series")
    dataset.FrameOfReferenceUID = uid(seed, "frame of reference")
    header = _header(dataset, patient or {})
    positions = geometry.slice_positions(depth)
    stored = np.clip(np.rint((volume - modality.intercept) / modality.slope), 0, _LARGEST).astype("<u2")
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(depth):
        number = depth - index if reversed_numbers else index + 1
        own = _slice_header(header, uid(own_seed, index), number, positions[index])
        (folder / f"IM{order[index]:05d}.dcm").write_bytes(own + _pixel_element(stored[index], syntax))


def _header(dataset: Any, patient: Mapping[str, str]) -> bytes:
    """Everything before the pixels, encoded once; the slice's own values are fillers."""
    for keyword, value in patient.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _dataset(volume: NDArray[Any], geometry: Geometry, modality: Modality, syntax: str) -> Any:
    datasets: Any = import_module("pydicom.dataset")
    meta = datasets.FileMetaDataset()
    meta.MediaStorageSOPClassUID = modality.sop_class
    meta.MediaStorageSOPInstanceUID = _INSTANCE
    meta.TransferSyntaxUID = syntax
    dataset = datasets.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = modality.sop_class, _INSTANCE
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.Manufacturer, dataset.SeriesDescription = modality.name, "fusionkit", "phantom"
    dataset.PatientName = dataset.PatientID = dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.SliceThickness = f"{abs(geometry.spacing[0]):.6g}"
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", "1", _NUMBER
    dataset.ImagePositionPatient = list(_POSITION)
    dataset.ImageOrientationPatient = [_decimal(value) for value in geometry.orientation]
    dataset.PixelSpacing = [f"{step:.6g}" for step in geometry.spacing[1:]]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = volume.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope = str(modality.intercept), f"{modality.slope:g}"
    for keyword, value in modality.elements.items():
        setattr(dataset, keyword, value)
    return dataset


def _decimal(value: float) -> str:
    """A number as a decimal string of exactly 16 characters, the longest that DICOM allows."""
    return f"{value:.12f}"[:16].rjust(16)


def _slice_header(header: bytes, instance: str, number: int, position: NDArray[np.float64]) -> bytes:
    """The header with the fillers replaced by one slice's own values."""
    changes = {
        _INSTANCE: instance,
        _NUMBER: f"{number:<10d}",
        "\\".join(_POSITION): "\\".join(_decimal(float(value)) for value in position),
    }
    for filler, value in changes.items():
        assert len(filler) == len(value) and filler.encode() in header, f"{filler!r}, {value!r}: please report"
        header = header.replace(filler.encode(), value.encode())
    return header


def _pixel_element(plane: NDArray[np.uint16], syntax: Syntax) -> bytes:
    """The element (7FE0,0010) of one slice: raw words, or one encoded frame."""
    tag = struct.pack("<HH", 0x7FE0, 0x0010)
    if syntax == "explicit":
        return tag + b"OW\0\0" + struct.pack("<I", plane.nbytes) + plane.tobytes()
    from pydicom.encaps import encapsulate

    frame = _encoder(syntax).encode(
        plane,
        rows=plane.shape[0],
        columns=plane.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
    )
    delimiter = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return tag + b"OB\0\0" + struct.pack("<I", 0xFFFFFFFF) + encapsulate([frame]) + delimiter
