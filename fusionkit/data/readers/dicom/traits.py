"""What the header of a DICOM file says of its numbers: the kind of quantity, and how far apart samples lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionkit.data.readers.dicom.headers import find_files, open_dataset, quiet
from fusionkit.data.readers.facts import Facts

_PROJECTIONS = frozenset({"CR", "DX", "RG", "RF", "XA"})
"""Modalities of radiographs: which of them an image calls itself depends on the detector."""


def described(path: Path) -> Facts:
    """From the first file of a folder, or the one file; the modality, and the unit of the values.

    `spacing` is the thickness of a slice, where it is given, then the distances between rows and between columns.
    """
    with quiet:
        dataset = open_dataset(find_files(path)[0], pixels=False)
        modality = "radiograph" if _text(dataset, "Modality") in _PROJECTIONS else _text(dataset, "Modality")
        unit = _unit(modality, dataset)
        thickness, plane = _numbers(dataset, "SliceThickness"), _numbers(dataset, "PixelSpacing")
    return Facts(modality=modality, units=unit, spacing=(*thickness, *plane) if plane else ())


def _unit(modality: str, dataset: Any) -> str:
    """The unit that the header names; CT is in HU unless it says otherwise, PS3.3 C.8.2.1."""
    if modality == "PT":
        return _text(dataset, "Units")
    named = _text(dataset, "RescaleType")
    if modality == "CT" and named in ("", "HU", "US"):
        return "HU"
    return "" if named == "US" else named


def _text(dataset: Any, keyword: str) -> str:
    try:
        return str(getattr(dataset, keyword, None) or "").strip()
    except Exception:  # pydicom converts a value when it is first read; the file was read without it
        return ""


def _numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    try:
        value = getattr(dataset, keyword, None)
        return () if value is None else tuple(float(part) for part in (value if keyword == "PixelSpacing" else [value]))
    except Exception:  # as above
        return ()
