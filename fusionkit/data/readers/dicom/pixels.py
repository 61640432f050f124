"""The pixels of DICOM files: decoded, and rescaled to the units of the header."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.readers.dicom.headers import Slice, open_dataset, quiet
from fusionkit.data.readers.reader import MAX_VALUES, ReadError, is_decoder_failure

_EXTRA = 'python -m pip install "fusionkit[dicom]"'
# 12-bit lossy JPEG: its only free decoder is under the GPL, so it is in none of our extras.
_JPEG_12_BIT = ("1.2.840.10008.1.2.4.51", "python -m pip install pylibjpeg pylibjpeg-libjpeg (licence: GPL-3)")


def read_stack(stack: list[Slice]) -> NDArray[np.float32]:
    """The planes of a stack, each with its own slope and intercept: HU for CT.

    Shapes: (D, H, W).
    Raises: `ReadError` (dicom-too-large, dicom-no-pixels, dicom-no-decoder, dicom-truncated, dicom-undecodable).
    """
    if len(stack) * stack[0].rows * stack[0].columns > MAX_VALUES:
        message = f"its headers claim {len(stack)} slices of {stack[0].rows} x {stack[0].columns} pixels"
        raise ReadError("dicom-too-large", message, f"more than {MAX_VALUES} values are not read")
    volume = np.empty((len(stack), stack[0].rows, stack[0].columns), dtype=np.float32)
    places: dict[Any, list[int]] = {}
    for index, item in enumerate(stack):
        places.setdefault(item.path, []).append(index)
    for indices in places.values():
        stored = decode(stack[indices[0]])
        for index in indices:
            frame = stack[index].frame
            plane = stored if frame is None or stored.ndim == 2 else stored[frame]
            volume[index] = plane
            rescale(volume[index], stack[index])
    return volume


def rescale(values: NDArray[np.float32], item: Slice) -> None:
    """Convert stored values to the header's units, in place."""
    if item.slope != 1.0:
        values *= np.float32(item.slope)
    if item.intercept != 0.0:
        values += np.float32(item.intercept)


def read_picture(item: Slice) -> NDArray[np.float32]:
    """One radiograph or photograph, bright where the object is dense or lit; MONOCHROME1 is inverted.

    Shapes: (1, H, W) grey, (3, H, W) colour.
    Raises: `ReadError` as `read_stack`.
    """
    with quiet:
        dataset = item.dataset or open_dataset(item.path, pixels=True)
        stored = _decoded(item, dataset)
        if item.photometric == "PALETTE COLOR":
            stored = _pydicom_pixels().apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        return np.ascontiguousarray(np.moveaxis(stored, -1, 0), dtype=np.float32)
    values = stored.astype(np.float32)[None]
    if item.photometric == "MONOCHROME1":
        signed = int(dataset.get("PixelRepresentation", 0))
        # The smallest and the largest stored value add up to 2^bits - 1, or to -1 for signed values.
        values = np.float32(-1 if signed else 2 ** int(dataset.BitsStored) - 1) - values
    rescale(values, item)
    return values


def decode(item: Slice) -> NDArray[Any]:
    """The stored values of a file: (H, W), or (F, H, W) for several frames.

    Raises: `ReadError` as `read_stack`.
    """
    with quiet:
        return _decoded(item, item.dataset or open_dataset(item.path, pixels=True))


def _pydicom_pixels() -> Any:
    """pydicom's own decoding module, imported on first use; its names are not exported for type checkers."""
    return import_module("pydicom.pixels")


def _decoded(item: Slice, dataset: Any) -> NDArray[Any]:
    name = repr(item.path.name)
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        fix = "copy the file from its source again"
        raise ReadError("dicom-no-pixels", f"{name} has the header of an image, but no pixels", None, fix)
    syntax = dataset.file_meta.TransferSyntaxUID
    _check_decoder(name, syntax)
    try:
        stored: NDArray[Any] = _pydicom_pixels().pixel_array(dataset)
    except BaseException as error:  # every decoder raises its own exceptions for a broken stream
        if not is_decoder_failure(error):
            raise
        if not syntax.is_compressed:
            fix = "copy the file from its source again"
            raise ReadError("dicom-truncated", f"{name} has broken pixel data", str(error), fix) from error
        fix = _JPEG_12_BIT[1] if syntax == _JPEG_12_BIT[0] else f"copy it again, or add decoders: {_EXTRA}"
        why = " ".join(str(error).split())
        raise ReadError("dicom-undecodable", f"{name} cannot be decoded ({syntax.name})", why, fix) from error
    return stored


def _check_decoder(name: str, syntax: Any) -> None:
    """Refuse a transfer syntax that no installed decoder supports, with what to install."""
    try:
        decoder = _pydicom_pixels().get_decoder(syntax)
    except NotImplementedError as error:
        message = f"{name} is in a transfer syntax that is not supported: {getattr(syntax, 'name', syntax)}"
        raise ReadError("dicom-no-decoder", message, None, "write it again in a common syntax") from error
    if not decoder.is_available:
        fix = _JPEG_12_BIT[1] if syntax == _JPEG_12_BIT[0] else _EXTRA
        raise ReadError("dicom-no-decoder", f"no decoder for {name} is installed: {syntax.name}", None, fix)
