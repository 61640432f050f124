"""Converts stored values: lookup tables and slopes of the header, padding, photometric interpretation.

Source: DICOM PS3.3 C.7.5.1.1.2 (padding), C.11.1 (Modality LUT), C.7.6.3.1.2 (photometric interpretation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.headers import Slice
from numpy.typing import NDArray

from fusionkit.reading import ReadError

AIR_HU = -1024.0  # the smallest HU in 12 bits; anything below is padding
_TISSUE_HU = (-900.0, 3071.0)


@dataclass(frozen=True, slots=True)
class ValueRules:
    """How stored values are converted: `slope` and `intercept` are for files whose header has neither.

    `clean` replaces padding; else the values that stand for it are rescaled like all others.
    """

    clean: bool = True
    slope: float = 1.0
    intercept: float = 0.0
    told: bool = False  # whether the data file gives slope and intercept

    def in_hounsfield(self, item: Slice) -> bool:
        """Whether the values of a slice are known to be HU."""
        return item.modality == "CT" and item.rescale_type in ("", "HU") and (item.rescaled or self.told)


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane in the units of its header; `padded` marks padding, None where there is none.

    `range` are the converted values of the smallest and the largest possible stored value.
    Shapes: `values` and `padded` (H, W).
    """

    values: NDArray[np.float32]
    padded: NDArray[np.bool_] | None
    range: tuple[float, float]

    @property
    def in_tissue(self) -> int:
        """The number of padding pixels whose value would be that of a tissue in a CT."""
        if self.padded is None:
            return 0
        met = self.values[self.padded]
        return int(np.count_nonzero((met >= _TISSUE_HU[0]) & (met <= _TISSUE_HU[1])))


def plane_of(stored: NDArray[Any], dataset: Any, item: Slice, rules: ValueRules, *, inverted: bool = False) -> Plane:
    """A plane of stored values, in the units of its header, with padding marked and not yet replaced.

    `inverted` inverts the values: the smallest and the largest possible stored value are exchanged.
    Raises: `ReadError` (dicom-bad-header) when a Modality LUT cannot be used.
    """
    padded = _padding(stored, dataset, item) if rules.clean else None
    low, high = _stored_range(dataset, item)
    if "ModalityLUTSequence" in dataset:
        signed = int(dataset.get("PixelRepresentation", 0) or 0) == 1
        first, table, bits = _modality_table(dataset, item, signed)
        places = np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)
        values, most = table[places].astype(np.float32), np.float32(2**bits - 1)
        return Plane(most - values if inverted else values, padded, (0.0, float(most)))
    slope, intercept = (item.slope, item.intercept) if item.rescaled else (rules.slope, rules.intercept)
    values = stored.astype(np.float32)
    if inverted:
        values = np.float32(low + high) - values
    if slope != 1.0:
        values *= np.float32(slope)
    if intercept != 0.0:
        values += np.float32(intercept)
    return Plane(values, padded, (low * slope + intercept, high * slope + intercept))


def is_inverted(dataset: Any, item: Slice) -> bool:
    """Whether small values are displayed bright."""
    return item.photometric == "MONOCHROME1" or str(dataset.get("PresentationLUTShape", "")) == "INVERSE"


def _stored_range(dataset: Any, item: Slice) -> tuple[float, float]:
    bits = item.bits or 16
    signed = bool(int(dataset.get("PixelRepresentation", 0) or 0))
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def _padding(stored: NDArray[Any], dataset: Any, item: Slice) -> NDArray[np.bool_] | None:
    """The mask of padding, by stored values; the element has the sign of the pixels, whatever its type."""
    value = _whole(dataset, "PixelPaddingValue")
    if value is None or stored.dtype.kind not in "iu":
        return None
    limit = _whole(dataset, "PixelPaddingRangeLimit")
    bounds = [_as_stored(number, stored.dtype, item.bits) for number in (value, value if limit is None else limit)]
    padded: NDArray[np.bool_] = (stored >= min(bounds)) & (stored <= max(bounds))
    return padded if padded.any() else None


def _as_stored(number: int, kind: np.dtype[Any], bits: int) -> int:
    """An element in the representation of the pixels: -2000 and 63536 are the same 16 bits."""
    width = kind.itemsize * 8
    if kind.kind == "u":
        return int(number % 2**width)
    for wrap in {bits or width, width}:  # a signed value may use the stored or the allocated bits
        if 2 ** (wrap - 1) <= number < 2**wrap:
            return int(number - 2**wrap)
    return number


def _whole(dataset: Any, keyword: str) -> int | None:
    """An element as an integer; an invalid one, which some writers produce, counts as missing."""
    try:
        value = dataset.get(keyword)
        if isinstance(value, bytes):
            return int.from_bytes(value[:4], "little") if value else None
        return None if value is None or value == "" else int(value)
    except Exception:  # pydicom converts values on first access, which may fail in many ways
        return None


def _modality_table(dataset: Any, item: Slice, signed: bool) -> tuple[int, NDArray[np.integer[Any]], int]:
    try:
        entry = dataset.ModalityLUTSequence[0]
    except Exception as error:  # as in _whole
        raise _bad_table(item, "Modality LUT", error) from error
    return lookup_table(entry, item, "Modality LUT", signed=signed, little=is_little(dataset))


def is_little(dataset: Any) -> bool:
    """Whether the bytes of a dataset are in little-endian order."""
    return bool(getattr(dataset, "is_little_endian", True) is not False)


def lookup_table(
    entry: Any, item: Slice, name: str, *, signed: bool, little: bool
) -> tuple[int, NDArray[np.integer[Any]], int]:
    """The first value that a table maps, its entries, and the bits of each.

    `signed` says whether the values that it maps may be negative, `little` is the order of bytes in the file.
    Raises: `ReadError` (dicom-bad-header).
    """
    try:
        count, first, bits = (int(number) for number in entry.LUTDescriptor)
        raw = entry.LUTData
        count = count or 1 << 16
        if isinstance(raw, bytes):
            narrow = len(raw) < 2 * count
            table = np.frombuffer(raw, "u1" if narrow else "<u2" if little else ">u2")
        else:
            table = np.asarray(raw if isinstance(raw, list | tuple) or hasattr(raw, "__len__") else [raw])
            if len(table) < count:  # two entries of 8 bits in a word
                table = table.astype("<u2").view("u1")
        if not 0 < count <= len(table):
            raise ValueError(f"it declares {count} entries and has {len(table)}")
        table = table[:count].astype(np.int64)
        if not 1 <= bits <= 16 or table.min() < 0 or table.max() >= 1 << 16:
            raise ValueError(f"its entries have {bits} bits, and run from {table.min()} to {table.max()}")
    except Exception as error:  # as in _whole
        raise _bad_table(item, name, error) from error
    return (first - (1 << 16) if signed and first >= 1 << 15 else first), table, bits


def _bad_table(item: Slice, name: str, error: Exception) -> ReadError:
    return ReadError("dicom-bad-header", f"{item.path.name!r} has a {name} that cannot be used",
                     " ".join(str(error).split()) or type(error).__name__,
                     "write the file again with a rescale, or leave the case out" if name.startswith("Modality") else
                     "write 'voi: none' and a 'window'")
