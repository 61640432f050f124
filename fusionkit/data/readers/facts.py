"""Metadata of a file: cached with the array, and compared over the cases of a cohort."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

_SAMPLE = 1 << 16  # values used for a percentile; a volume has millions


@dataclass(frozen=True, slots=True)
class Facts:
    """The metadata of one file; what a format does not provide is empty.

    `values` are the minimum, the 99th percentile of the absolute values and the maximum before `window`, `outcome` the
    minimum and maximum of the reader's array. `bits` are the used bits of a stored value. `units` is the meaning of a
    value. `labels` are the values of a label map. `landmarks` are those of each channel for the
    standard scale of MR. `remarks` are further codes that a reader uses for its own advice,
    each with a detail.
    Units: `values` as in the file; `spacing` in mm, (d, h, w). `sizes` are those along these axes before resizing.
    """

    values: tuple[float, float, float] = (0.0, 0.0, 0.0)
    outcome: tuple[float, float] = (0.0, 0.0)
    digest: str = ""
    spacing: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()
    orientation: str = ""
    modality: str = ""
    units: str = ""
    bits: int = 0
    palette: str = ""
    labels: tuple[float, ...] = ()
    landmarks: tuple[tuple[float, ...], ...] = ()
    remarks: tuple[tuple[str, str], ...] = ()

    @property
    def meaning(self) -> str:
        """The meaning of the values, if known: the modality and the unit."""
        return ", ".join(word for word in (self.modality, self.units) if word)

    @property
    def extent(self) -> tuple[float, ...] | None:
        """The size of the array along (d, h, w) in mm, None where the file does not tell."""
        if len(self.spacing) != 3 or len(self.sizes) != 3:
            return None
        return tuple(step * size for step, size in zip(self.spacing, self.sizes, strict=True))

    def remark(self, code: str) -> str | None:
        """The detail of a remark, None if the file has none with this code."""
        return dict(self.remarks).get(code)

    def of_outcome(self, array: NDArray[np.float32]) -> Facts:
        """The same metadata with that of the array that the network gets."""
        digest = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        return replace(self, outcome=(low, high), digest=digest)

    def as_json(self) -> dict[str, Any]:
        """The metadata as plain data."""
        return asdict(self)

    @staticmethod
    def from_json(plain: Any) -> Facts | None:
        """The metadata from plain data, None if that is something else."""
        try:
            return TypeAdapter(Facts).validate_python(plain)
        except ValidationError:
            return None


def spread(values: NDArray[Any]) -> tuple[float, float, float]:
    """The minimum, the 99th percentile of absolute values (of a sample of large arrays), and the maximum."""
    flat = values.reshape(-1)
    sample = np.abs(flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64))
    sample = sample[np.isfinite(sample)]  # files with other values are refused after reading
    if not sample.size:
        return 0.0, 0.0, 0.0
    return float(flat.min()), float(np.percentile(sample, 99)), float(flat.max())
