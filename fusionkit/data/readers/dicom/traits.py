"""Metadata in the header of a DICOM file: the kind of quantity, and the sample spacing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusionkit.data.readers.dicom.headers import find_files, open_dataset, quiet
from fusionkit.data.readers.facts import Facts

_PROJECTIONS = frozenset({"CR", "DX", "RG", "RF", "XA"})
"""Modalities of radiographs, which depend on the detector only."""


def described(path: Path) -> Facts:
    """The modality and the unit of the values, from the first file of a folder or from a single file.

    `spacing` is the slice thickness, if given, then the distances between rows and between columns.
    """
    with quiet:
        dataset = open_dataset(find_files(path)[0], pixels=False)
        modality = "radiograph" if _text(dataset, "Modality") in _PROJECTIONS else _text(dataset, "Modality")
        unit = _unit(modality, dataset)
        thickness, plane = _numbers(dataset, "SliceThickness"), _numbers(dataset, "PixelSpacing")
    return Facts(modality=modality, units=unit, spacing=(*thickness, *plane) if plane else ())


def _unit(modality: str, dataset: Any) -> str:
    """The unit in the header; CT is in HU unless stated otherwise, PS3.3 C.8.2.1."""
    if modality == "PT":
        return _text(dataset, "Units")
    named = _text(dataset, "RescaleType")
    if modality == "CT" and named in ("", "HU", "US"):
        return "HU"
    return "" if named == "US" else named


def _text(dataset: Any, keyword: str) -> str:
    try:
        return str(getattr(dataset, keyword, None) or "").strip()
    except Exception:  # pydicom converts values on first access, which may fail although the file was read
        return ""


def _numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    try:
        value = getattr(dataset, keyword, None)
        return () if value is None else tuple(float(part) for part in (value if keyword == "PixelSpacing" else [value]))
    except Exception:  # as above
        return ()
