"""Values of DICOM headers as cells of a table: which may be taken, and how each is written.

Source: DICOM PS3.5 6.2 (ages are `045Y`, `006M`, `012W` or `010D`) and PS3.15 E (elements that identify a person).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

DEFAULT_TAGS: Mapping[str, str] = {f"dicom.{name}": keyword for name, keyword in {
    "age": "PatientAge", "sex": "PatientSex", "weight": "PatientWeight", "height": "PatientSize",
    "body_part": "BodyPartExamined", "kvp": "KVP", "exposure": "Exposure", "kernel": "ConvolutionKernel",
    "thickness": "SliceThickness", "spacing": "PixelSpacing", "field_strength": "MagneticFieldStrength",
    "repetition_time": "RepetitionTime", "echo_time": "EchoTime", "flip_angle": "FlipAngle",
    "view": "ViewPosition", "laterality": "ImageLaterality"}.items()}
"""The elements that are taken where the data file names none: no name, id, date, place or station."""
_TELLS_PERSONS = re.compile("Name|ID$|IDs|UID|Date|Time$|DateTime|Birth|Address|Institution|Station|Physician|Operator|"
                            "Telephone|Accession|Comments|Occupation|Serial")
_PERSONAL_TYPES = frozenset({"PN", "DA", "DT", "UI"})
_HARMLESS = frozenset({"RepetitionTime", "EchoTime", "InversionTime", "ExposureTime"})
_TELLS_SITES = re.compile("Manufacturer|Model|Kernel|Station|Institution|Software|Serial|Protocol")
_AGE = re.compile(r"(\d{3})([DWMY])")
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_OLDEST = 89  # older persons are few enough to be known
_PAIRS = {"PixelSpacing": ("rows", "columns"), "ImagerPixelSpacing": ("rows", "columns")}


def unknown_keyword(keyword: str) -> str | None:
    """What is wrong with a keyword that DICOM does not have, with the nearest one; None for one that it has."""
    from pydicom.datadict import keyword_dict, tag_for_keyword

    if tag_for_keyword(keyword) is not None:
        return None
    near = get_close_matches(keyword, keyword_dict, 1)
    return f"DICOM has no element {keyword!r}" + (f" (did you mean {near[0]!r}?)" if near else "")


def identifies(keyword: str) -> bool:
    """Whether an element may say who or where a person is."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    personal = tag is not None and dictionary_VR(tag) in _PERSONAL_TYPES
    return personal or (keyword not in _HARMLESS and _TELLS_PERSONS.search(keyword) is not None)


def tells_sites(keyword: str) -> bool:
    """Whether an element lets a network tell scanners or hospitals apart."""
    return _TELLS_SITES.search(keyword) is not None


def columns_of(column: str, keyword: str) -> tuple[str, ...]:
    """The columns of an element: two for a spacing, else the one that is named."""
    return tuple(f"{column}.{part}" for part in _PAIRS.get(keyword, ())) or (column,)


def cells_of(keyword: str, text: str) -> tuple[tuple[str, ...], str | None]:
    """The cells of an element by its text, values parted by a backslash, and what is doubtful about it.

    Units: ages in years, those above 89 as 90; else as in the header.
    """
    parts = [part.strip() for part in text.split("\\")] if text.strip() else []
    if keyword in _PAIRS:
        names = _PAIRS[keyword]
        return (tuple(parts), None) if len(parts) == len(names) else (
            ("",) * len(names), f"it is {text!r}, not two numbers" if parts else None)
    if not parts:
        return ("",), None
    doubt = f"it has {len(parts)} values, of which the first is taken" if len(parts) > 1 else None
    if keyword.endswith("Age"):
        found = _AGE.fullmatch(parts[0])
        if found is None:
            return ("",), f"{parts[0]!r} is no age like 045Y"
        years = int(found[1]) * _YEARS[found[2]]
        return ("90" if years > _OLDEST else f"{years:.10g}",), doubt
    if keyword == "PatientSex" and parts[0].upper() not in ("M", "F", "O"):
        return ("",), f"{parts[0]!r} is none of M, F and O"
    return (parts[0].upper() if keyword == "PatientSex" else parts[0],), doubt
