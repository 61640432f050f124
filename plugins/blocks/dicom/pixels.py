"""The pixels of DICOM files: decoded, and rescaled to the units of the header."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.elements import shown, tag_of, whole_of
from fusionkit_plugins.blocks.dicom.headers import Slice, open_dataset, quiet
from fusionkit_plugins.blocks.dicom.values import AIR_HU, Plane, ValueRules, is_inverted, plane_of
from fusionkit_plugins.blocks.dicom.voi import shown_values
from numpy.typing import NDArray

from fusionkit.reading import MAX_VALUES, Frames, ReadError, frame_places, is_decoder_failure

_EXTRA = 'python -m pip install "fusionkit[dicom]"'
# 12-bit lossy JPEG: its only free decoder is under the GPL, so it is in none of our extras.
_JPEG_12_BIT = ("1.2.840.10008.1.2.4.51", "python -m pip install pylibjpeg pylibjpeg-libjpeg (licence: GPL-3)")

_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99")
_WORDS = {8: np.dtype("u1"), 16: np.dtype("<u2")}

_DOUBTS = (("for-processing", "PresentationIntentType", "FOR PROCESSING"),
           ("burned-in-annotation", "BurnedInAnnotation", "YES"))


@dataclass(frozen=True, slots=True)
class Pixels:
    """The values of a series or of a picture with facts about them: `bits` per value, after applying a palette.

    `in_tissue` counts padded pixels whose value would be a tissue of a CT; `range` are the values that the least and
    the greatest stored value stand for. `remarks` are those of `Facts`.
    """

    values: NDArray[np.float32]
    range: tuple[float, float]
    bits: int = 0
    in_tissue: int = 0
    remarks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PictureRules:
    """How a picture is shown: by which values of interest, on which side, and which part of it; see the options."""

    voi: str | int = "none"
    side: str | None = None
    region: bool = False
    frames: Frames | None = None


def read_stack(stack: list[Slice], rules: ValueRules) -> Pixels:
    """The planes of a stack, each with its own slope and intercept: HU for CT. Padding becomes air, or 0.

    Shapes: values (D, H, W).
    Raises: `ReadError` (dicom-too-large, dicom-no-pixels, dicom-no-decoder, dicom-truncated, dicom-undecodable).
    """
    if len(stack) * stack[0].rows * stack[0].columns > MAX_VALUES:
        message = f"its headers claim {len(stack)} slices of {stack[0].rows} x {stack[0].columns} pixels"
        raise ReadError("dicom-too-large", message, f"more than {MAX_VALUES} values are not read",
                        "check the headers; crop the series")
    volume = np.empty((len(stack), stack[0].rows, stack[0].columns), dtype=np.float32)
    places: dict[Any, list[int]] = {}
    for index, item in enumerate(stack):
        places.setdefault(item.path, []).append(index)
    in_tissue, ranges = 0, []
    for indices in places.values():
        stored, dataset = decode(stack[indices[0]])
        for index in indices:
            item, frame = stack[index], stack[index].frame
            plane = plane_of(stored if frame is None or stored.ndim == 2 else stored[frame], dataset, item, rules)
            if rules.in_hounsfield(item):
                in_tissue += plane.in_tissue
            volume[index] = _cleaned(plane, item, rules)
            ranges.append(plane.range)
    whole = min(low for low, _ in ranges), max(high for _, high in ranges)
    return Pixels(volume, whole, max(item.bits for item in stack), in_tissue)


def _cleaned(plane: Plane, item: Slice, rules: ValueRules) -> NDArray[np.float32]:
    """The values with padding replaced: by air in a CT, by 0 elsewhere."""
    in_hounsfield = rules.in_hounsfield(item)
    if plane.padded is not None:
        # In a CT with unknown units, the smallest value is the best estimate of air.
        rest = plane.values[~plane.padded] if item.modality == "CT" and not in_hounsfield else None
        least = float(rest.min()) if rest is not None and rest.size else 0.0
        plane.values[plane.padded] = AIR_HU if in_hounsfield else least
    if in_hounsfield and rules.clean:
        np.maximum(plane.values, np.float32(AIR_HU), out=plane.values)
    return plane.values


def read_picture(item: Slice, rules: ValueRules, how: PictureRules) -> Pixels:
    """One radiograph or photograph, bright where the object is dense or lit; MONOCHROME1 is inverted.

    Padding, such as what a collimator covers, becomes 0.
    Shapes: values (1, H, W) grey, (3, H, W) colour.
    Raises: `ReadError` as `read_stack`, and dicom-no-voi, dicom-unknown-voi, dicom-no-laterality, dicom-no-region.
    """
    stored, dataset = decode(item)
    made = _shown_frames(stored, dataset, item, rules, how)
    values = made.values
    if how.region:
        left, top, right, bottom = _region(dataset, item)
        values = values[:, top:bottom + 1, left:right + 1]
    if how.side is not None and _side(dataset, item) != how.side:
        values = values[:, :, ::-1]
    remarks = [(code, "") for code, keyword, text in _DOUBTS if shown(dataset, keyword).upper() == text]
    return replace(made, values=np.ascontiguousarray(values), remarks=tuple(remarks))


def _shown_frames(stored: NDArray[Any], dataset: Any, item: Slice, rules: ValueRules, how: PictureRules) -> Pixels:
    """The picture, or the chosen frames of several as channels."""
    if item.frames < 2 or how.frames is None:
        return _shown(stored, dataset, item, rules, how.voi)
    found = [_shown(stored[place], dataset, item, rules, how.voi) for place in frame_places(how.frames, item.frames)]
    values = [made.values for made in found]
    return replace(found[0], values=np.mean(values, axis=0) if how.frames == "mean" else np.concatenate(values))


def _side(dataset: Any, item: Slice) -> str:
    for keyword in ("ImageLaterality", "Laterality"):
        found = shown(dataset, keyword).upper()
        if found in ("L", "R"):
            return {"L": "left", "R": "right"}[found]
    raise ReadError("dicom-no-laterality", f"{item.name} does not say which side it shows",
                    "neither ImageLaterality nor Laterality is L or R", "correct the header, or remove 'laterality'")


def _region(dataset: Any, item: Slice) -> tuple[int, int, int, int]:
    """Columns and rows of the first region of an ultrasound: left, top, right, bottom, all inside."""
    try:
        first = dataset.SequenceOfUltrasoundRegions[0]
        left, top, right, bottom = (int(first[keyword].value) for keyword in (
            "RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1"))
    except Exception:  # pydicom converts values on first access, which may fail in many ways
        left, top, right, bottom = 1, 1, 0, 0
    if not (0 <= left <= right < item.columns and 0 <= top <= bottom < item.rows):
        raise ReadError("dicom-no-region", f"{item.name} has no region of ultrasound that lies in it", None,
                        "remove 'region'; the whole picture is then read, with its text")
    return left, top, right, bottom


def _shown(stored: NDArray[Any], dataset: Any, item: Slice, rules: ValueRules, voi: str | int) -> Pixels:
    bits = item.bits
    if item.photometric == "PALETTE COLOR":
        with quiet:
            stored = _pydicom_pixels().apply_color_lut(stored, dataset)
        bits = 8 * stored.dtype.itemsize
    if voi != "none" and stored.ndim == 3:
        raise ReadError("dicom-no-voi", f"{item.name} is a colour image, which has no values of interest", None,
                        "write 'voi: none'")
    if stored.ndim == 3:
        colours = np.ascontiguousarray(np.moveaxis(stored, -1, 0), dtype=np.float32)
        return Pixels(colours, (0.0, float(2**bits - 1)), bits)
    inverted = is_inverted(dataset, item)
    if voi != "none":  # the values of interest of MONOCHROME1 are those before it is inverted
        plane = plane_of(stored, dataset, item, rules)
        values = shown_values(plane, dataset, item, voi)
        values = 1 - values if inverted else values
        if plane.padded is not None:
            values[plane.padded] = 0
        return Pixels(values[None], (0.0, 1.0), bits)
    plane = plane_of(stored, dataset, item, rules, inverted=inverted)
    in_tissue = plane.in_tissue if rules.in_hounsfield(item) else 0
    return Pixels(_cleaned(plane, item, rules)[None], plane.range, bits, in_tissue)


def decode(item: Slice) -> tuple[NDArray[Any], Any]:
    """The stored values of a file, (H, W), or (F, H, W) for several frames, and its dataset.

    Raises: `ReadError` as `read_stack`.
    """
    with quiet:
        dataset = item.dataset or open_dataset(item.path, pixels=True)
        return _decoded(item, dataset), dataset


def _pydicom_pixels() -> Any:
    """pydicom's own decoding module, imported on first use; its names are not exported for type checkers."""
    return import_module("pydicom.pixels")


def _decoded(item: Slice, dataset: Any) -> NDArray[Any]:
    name = repr(item.path.name)
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        fix = "copy the file from its source again"
        raise ReadError("dicom-no-pixels", f"{name} has the header of an image, but no pixels", None, fix)
    syntax = dataset.file_meta.TransferSyntaxUID
    plain = _plain(item, dataset, str(syntax))
    if plain is not None:
        return plain
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


def _plain(item: Slice, dataset: Any, syntax: str) -> NDArray[Any] | None:
    """The values of one grey plane that lies uncompressed in its file; None for any other, or one of another length.

    pydicom checks each header several times, which takes as long as all the rest of reading such a series.
    """
    kind = _WORDS.get(whole_of(item.path, dataset, "BitsAllocated", 0))
    if syntax not in _UNCOMPRESSED or kind is None or item.colours != 1 or item.frames > 1 or item.frame is not None:
        return None
    element = dataset.get_item(tag_of("PixelData"))
    content = None if element is None else element.value
    count = item.rows * item.columns
    unused = 8 * kind.itemsize - item.bits
    if not isinstance(content, bytes) or not 0 <= len(content) - count * kind.itemsize <= 1 or not count or not (
            0 <= unused < 8 * kind.itemsize) or whole_of(item.path, dataset, "HighBit", -1) != item.bits - 1:
        return None
    if whole_of(item.path, dataset, "PixelRepresentation", 0) == 1:
        kind = np.dtype(kind.str.replace("u", "i"))
    stored = np.frombuffer(content, kind, count).reshape(item.rows, item.columns)
    # Shifted up and down, bits above the highest become its sign.
    return (stored << unused) >> unused if unused else stored


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
