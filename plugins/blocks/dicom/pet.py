"""What the header of a PET slice says of dose, decay and times: texts, which are judged only where SUV is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fusionkit_plugins.blocks.dicom.elements import shown, tag_of

_OF_THE_SLICE = (
    "Units", "SUVType", "CorrectedImage", "DecayCorrection", "PatientWeight", "Manufacturer", "TimezoneOffsetFromUTC",
    "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "DecayFactor", "ActualFrameDuration")
_OF_THE_DRUG = ("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartDateTime",
                "RadiopharmaceuticalStartTime")
_PRIVATE = {"PhilipsSUV": (0x7053, 0x00, "Philips PET Private Group"),
            "PhilipsActivity": (0x7053, 0x09, "Philips PET Private Group"),
            "GEScanDateTime": (0x0009, 0x0D, "GEMS_PETD_01")}
"""Private elements by a name of ours: group, number in the block, and who reserves the block."""


def pet_texts(dataset: Any, places: Sequence[Any]) -> Mapping[str, str]:
    """The texts of the elements by keyword; `places` are the functional groups of the frame, if there are any."""
    found = {keyword: shown(dataset, keyword) for keyword in _OF_THE_SLICE}
    drug = _first_item(dataset, "RadiopharmaceuticalInformationSequence")
    if drug is not None:
        found |= {keyword: shown(drug, keyword) for keyword in _OF_THE_DRUG}
        nuclide = _first_item(drug, "RadionuclideCodeSequence")
        if nuclide is not None:
            found["Radionuclide"] = f"{shown(nuclide, 'CodeValue')} {shown(nuclide, 'CodeMeaning')}"
    found |= {name: _private(dataset, *place) for name, place in _PRIVATE.items()}
    for place in places:
        unit = _first_item(place, "MeasurementUnitsCodeSequence")
        if unit is not None and tag_of("RealWorldValueSlope") in place:
            found |= {keyword: shown(place, keyword) for keyword in ("RealWorldValueSlope", "RealWorldValueIntercept")}
            found["RealWorldUnit"] = shown(unit, "CodeValue")
    return {keyword: text for keyword, text in found.items() if text}


def _first_item(dataset: Any, keyword: str) -> Any:
    try:
        return next(iter(dataset[tag_of(keyword)].value), None) if tag_of(keyword) in dataset else None
    except Exception:  # as in `shown`
        return None


def _private(dataset: Any, group: int, number: int, creator: str) -> str:
    """A private element in the block of its creator; where none says whose it is, in the first block."""
    try:
        blocks = [block for block in range(0x10, 0x100) if (group, block << 8 | number) in dataset]
        owned = [block for block in blocks if (group, block) in dataset
                 and str(dataset[group, block].value).strip().lower() == creator.lower()]
        for block in owned or blocks:
            value = dataset[group, block << 8 | number].value
            return value.decode("ascii").strip("\0 ") if isinstance(value, bytes) else str(value).strip()
    except Exception:  # as in `shown`
        return ""
    return ""
