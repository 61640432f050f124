"""The valid image files that the cases of `images` start from: small, and of as many forms as the readers take."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CT, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"


def write_all(folder: Path) -> None:
    """Write every file."""
    draw = np.random.default_rng(11)
    for name, content in (*_pictures(draw), *_arrays(draw), *_volumes(draw), *_dicom(draw)):
        (folder / name).write_bytes(content)


def _pictures(draw: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    grey, colour = draw.integers(0, 255, (9, 7), np.uint8), draw.integers(0, 255, (9, 7, 3), np.uint8)
    images = {"grey.png": Image.fromarray(grey), "colour.png": Image.fromarray(colour),
              "deep.png": Image.fromarray(grey.astype(np.uint16) * 200), "bits.png": Image.fromarray(grey > 100),
              "palette.png": Image.fromarray(colour).quantize(7), "clear.png": Image.fromarray(colour).convert("RGBA"),
              "grey.jpg": Image.fromarray(grey), "colour.jpg": Image.fromarray(colour),
              "cmyk.jpg": Image.fromarray(colour).convert("CMYK"),
              "float.tif": Image.fromarray(grey.astype(np.float32)),
              "colour.tif": Image.fromarray(colour), "grey.bmp": Image.fromarray(grey),
              "palette.gif": Image.fromarray(grey), "colour.webp": Image.fromarray(colour),
              "grey.pgm": Image.fromarray(grey)}
    for name, image in images.items():
        stream = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM"}.get(name[-3:], name.rpartition(".")[2].upper())
        image.save(stream, kind)
        yield name, stream.getvalue()
    stream = io.BytesIO()
    images["grey.png"].save(stream, "PNG", exif=_turned(images["grey.png"]))
    yield "turned.png", stream.getvalue()
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "TIFF", compression="tiff_lzw")
    yield "packed.tif", stream.getvalue()


def _turned(image: Any) -> Any:
    exif = image.getexif()
    exif[0x0112] = 6
    return exif


def _arrays(draw: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    arrays: dict[str, NDArray[Any]] = {
        "single.npy": draw.normal(size=(1, 5, 6)).astype(np.float32),
        "short.npy": draw.integers(0, 9, (5, 6), np.int16),
        "double.npy": draw.normal(size=(2, 3, 5, 4)), "nan.npy": np.full((1, 3, 3), np.nan),
        "fortran.npy": np.asfortranarray(draw.normal(size=(4, 6, 3))), "bool.npy": draw.normal(size=(1, 4, 4)) > 0}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.save(stream, array)
        yield name, stream.getvalue()
    stream = io.BytesIO()
    np.savez(stream, image=arrays["single.npy"], other=arrays["short.npy"])
    yield "two.npz", stream.getvalue()
    stream = io.BytesIO()
    np.savez_compressed(stream, image=arrays["single.npy"])
    yield "packed.npz", stream.getvalue()


def _volumes(draw: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    import nibabel

    stored = draw.integers(-50, 90, (4, 5, 3), np.int16)
    affine = np.diag([1.5, -1, 2, 1])
    scaled = nibabel.Nifti1Image(stored, affine)
    scaled.header.set_slope_inter(0.5, -3)
    colours = np.zeros((3, 4, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    images = {"plain.nii": nibabel.Nifti1Image(stored, affine), "scaled.nii": scaled,
              "four.nii": nibabel.Nifti1Image(draw.normal(size=(3, 4, 2, 2)), affine),
              "second.nii": nibabel.Nifti2Image(stored, affine), "colours.nii": nibabel.Nifti1Image(colours, affine)}
    for name, image in images.items():
        yield name, image.to_bytes()
    yield "packed.nii.gz", gzip.compress(images["plain.nii"].to_bytes(), mtime=0)


def _dicom(draw: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    from pydicom import uid

    stored = draw.integers(0, 2000, (6, 5), np.uint16)
    yield "explicit.dcm", _saved(_dataset(stored))
    yield "signed.dcm", _saved(_dataset(stored.astype(np.int16) - 900, PixelPaddingValue=-900))
    yield "implicit.dcm", _saved(_dataset(stored), uid.ImplicitVRLittleEndian)
    yield "big.dcm", _saved(_dataset(stored), uid.ExplicitVRBigEndian)
    yield "deflated.dcm", _saved(_dataset(stored), uid.DeflatedExplicitVRLittleEndian)
    yield "negative.dcm", _saved(_dataset(stored, PhotometricInterpretation="MONOCHROME1"))
    yield "frames.dcm", _saved(_frames(draw.integers(0, 2000, (3, 6, 5), np.uint16)))
    yield "labels.dcm", _saved(_dataset((stored % 3).astype(np.uint8)))
    packed = _dataset(stored)
    packed.compress(uid.RLELossless, generate_instance_uid=False)
    yield "rle.dcm", _saved(packed, uid.RLELossless)
    colour = _dataset(draw.integers(0, 255, (6, 5), np.uint8), SamplesPerPixel=3, PhotometricInterpretation="RGB",
                      PlanarConfiguration=0)
    colour.PixelData = draw.integers(0, 255, 90, np.uint8).tobytes()
    yield "colour.dcm", _saved(colour)


def _dataset(stored: NDArray[Any], **values: Any) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = values.pop("SOPClassUID", CT)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = "CT", "1.2.3.4.5", 2
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = stored.shape[-2:]
    made.BitsAllocated = made.BitsStored = 8 * stored.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(stored.dtype.kind == "i")
    made.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 3.5], [1, 0, 0, 0, 1, 0]
    made.PixelSpacing, made.RescaleSlope, made.RescaleIntercept, made.RescaleType = [1.5, 1], 1, -1024, "HU"
    made.WindowCenter, made.WindowWidth, made.SliceThickness = 40, 400, 2
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def _frames(stored: NDArray[Any]) -> Any:
    from pydicom.dataset import Dataset

    made = _dataset(stored, SOPClassUID=ENHANCED_CT, NumberOfFrames=len(stored))
    del made.ImagePositionPatient, made.ImageOrientationPatient, made.PixelSpacing
    frames = []
    for number in range(len(stored)):
        place, turn, grid = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, turn.ImageOrientationPatient = [0, 0, 2 * number], [1, 0, 0, 0, 1, 0]
        grid.PixelSpacing, grid.SliceThickness = [1, 1], 2
        frame = Dataset()
        frame.PlanePositionSequence, frame.PlaneOrientationSequence, frame.PixelMeasuresSequence = [place], [turn], [
            grid]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    return made


def _saved(made: Any, syntax: str | None = None) -> bytes:
    from pydicom import uid

    if syntax is not None:
        made.file_meta.TransferSyntaxUID = uid.UID(syntax)
    used = made.file_meta.TransferSyntaxUID
    little, implicit = used.is_little_endian, used.is_implicit_VR
    stream = io.BytesIO()
    if not little:
        made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    made.save_as(stream, enforce_file_format=True, little_endian=little, implicit_vr=implicit)
    return stream.getvalue()
