"""PET in SUV by body weight, g/ml: activity per ml by dose per gram of the patient.

Source: DICOM PS3.3 C.8.9; the vendor-neutral rule of QIBA for the time to which a series is corrected, as Boellaard et
al. state it, doi:10.1007/s00259-014-2961-x. A wrong time is the usual fault: decay makes it up to a third of the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from fusionkit_plugins.blocks.dicom.headers import Slice
from fusionkit_plugins.blocks.dicom.values import ValueRules

from fusionkit.reading import ReadError

SUV = "SUVbw"
"""The unit that facts then state."""
_F18_SECONDS = 6586.2
_F18 = ("C-111A1", "77004003", "18^Fluor", "Fluorine-18", "F-18")
_LEAST_DOSE, _WEIGHTS, _HALF_LIVES, _CHECKED_SECONDS = 1e6, (2.0, 400.0), 5, 60.0
_Texts = Mapping[str, str]
Remarks = tuple[tuple[str, str], ...]


def in_suv(stack: list[Slice], series: Sequence[Slice], weight: str | None, rules: ValueRules
           ) -> tuple[list[Slice], Remarks]:
    """The slices of a stack with slopes that give SUV, and remarks: the factor, and what is doubtful.

    `series` are all slices of the series: beds are corrected to the first. `weight` in kg wins over the header's.
    Raises: `ReadError` with a code that begins with `suv-`.
    """
    if stack[0].modality != "PT":
        raise ReadError("suv-not-pet", f"is of modality {stack[0].modality or 'none'}, and 'unit: suv' is for PET",
                        None, "remove 'unit', or choose the PET series")
    if "Enhanced" in stack[0].kind:
        return [_by_real_world(item) for item in stack], ()
    factor, doubts = suv_factor([item.pet for item in series], weight)
    scaled = []
    for item in stack:
        slope, intercept = (item.slope, item.intercept) if item.rescaled else (rules.slope, rules.intercept)
        scaled.append(replace(item, slope=slope * factor, intercept=intercept * factor, rescaled=True, units=SUV))
    return scaled, (("suv-factor", repr(factor)), *((doubt, "") for doubt in doubts))


def _by_real_world(item: Slice) -> Slice:
    slope, intercept = _number(item.pet, "RealWorldValueSlope"), _number(item.pet, "RealWorldValueIntercept")
    if item.pet.get("RealWorldUnit") != "{SUVbw}g/ml" or slope is None:
        raise ReadError("suv-enhanced", f"{item.name} is a {item.kind} without a mapping to SUV",
                        "only a RealWorldValueMapping with the unit {SUVbw}g/ml says its factor",
                        "convert the series to SUV with the tool of the scanner, or use its unenhanced form")
    return replace(item, slope=slope, intercept=intercept or 0.0, rescaled=True, units=SUV)


def suv_factor(series: Sequence[_Texts], weight: str | None = None) -> tuple[float, list[str]]:
    """What values in the units of the header are multiplied by, and codes of warnings.

    Raises: `ReadError` with a code that begins with `suv-`.
    """
    head = series[0]
    units = head.get("Units", "").upper()
    if units == "GML":
        kind = head.get("SUVType", "BW").upper()
        if kind != "BW":
            raise ReadError("suv-other-type", f"holds SUV of type {kind}, not by body weight",
                            "LBM, BSA and IBW divide by other sizes of the patient",
                            "export it by body weight, or read all series without 'unit'")
        return 1.0, []
    activity = 1.0
    if units == "CNTS":
        ready, activity = (_number(head, name) or 0.0 for name in ("PhilipsSUV", "PhilipsActivity"))
        if ready > 0:
            return ready, []
    if units not in ("BQML", "CNTS") or activity <= 0:
        raise ReadError("suv-units", f"has the Units {units or 'none'}, which cannot be converted to SUV",
                        "counts need the private factors of Philips (7053,xx00) or (7053,xx09)" if units == "CNTS" else
                        "BQML, GML, and CNTS of Philips can", "export the series in Bq/ml")
    _check_corrections(head)
    per_gram = activity * _weight(head, weight) * 1000
    dose = _dose(head)
    half_life = _half_life(head)
    if head.get("DecayCorrection", "").upper() == "ADMIN":
        return per_gram / dose, []
    reference = _reference(series)
    wait, doubts = _wait(head, reference, half_life)
    doubts += ["suv-reference-time"] if _contradicted(series, reference, half_life) else []
    return per_gram / (dose * 2 ** (-wait / half_life)), doubts


def _check_corrections(head: _Texts) -> None:
    made = {word.strip().upper() for word in head.get("CorrectedImage", "").split("\\")}
    decay = head.get("DecayCorrection", "").upper()
    if not {"ATTN", "DECY"} <= made or decay not in ("START", "ADMIN"):
        missing = [*sorted({"ATTN", "DECY"} - made), *([] if decay in ("START", "ADMIN") else
                                                       [f"DecayCorrection is {decay or 'missing'}"])]
        raise ReadError("suv-not-corrected", "is not corrected for attenuation and decay", ", ".join(missing),
                        "choose the corrected reconstruction of the scan, for example by 'choose'")


def _weight(head: _Texts, given: str | None) -> float:
    text = (given or "").strip() or head.get("PatientWeight", "")
    kilograms = _float(text.replace(",", ".") if given else text)
    if text and kilograms is None:
        raise ReadError("suv-weight", f"has a weight that is no number: {text!r}", None, "correct it, in kg")
    if not kilograms:
        raise ReadError("suv-no-weight", "does not say the weight of the patient",
                        "PatientWeight is missing or 0, and no other weight is assumed",
                        "name a column of the table with the weight in kg: 'weight: COLUMN'")
    if not _WEIGHTS[0] <= kilograms <= _WEIGHTS[1]:
        raise ReadError("suv-weight", f"has a weight of {kilograms:g} kg", "2 to 400 kg are taken; it may be in grams",
                        "name a column of the table with the weight in kg: 'weight: COLUMN'")
    return kilograms


def _dose(head: _Texts) -> float:
    dose = _number(head, "RadionuclideTotalDose")
    if dose is None or dose < _LEAST_DOSE:
        why = ("RadionuclideTotalDose is missing" if dose is None else "RadionuclideTotalDose is 0" if dose == 0 else
               f"RadionuclideTotalDose is {dose:g}, which may be in MBq; it is not corrected by a guess")
        raise ReadError("suv-dose", "does not say the injected dose in Bq", why,
                        "correct the header, or leave the case out")
    return dose


def _half_life(head: _Texts) -> float:
    found = _number(head, "RadionuclideHalfLife")
    if found:
        return found
    nuclide = head.get("Radionuclide", "")
    if any(word in nuclide for word in _F18):
        return _F18_SECONDS
    raise ReadError("suv-half-life", "does not say the half-life of its nuclide",
                    f"the nuclide is {nuclide.strip() or 'not named'}; only that of F-18 is known without it",
                    "write RadionuclideHalfLife into the header, in seconds")


def _reference(series: Sequence[_Texts]) -> datetime:
    """The time to which the series is corrected: its own, unless a later one than that of its first image."""
    known = [moment for texts in series if (moment := _acquired(texts)) is not None]
    if not known:
        raise _no_times("no slice has an AcquisitionTime")
    first, head = min(known), series[0]
    own = _moment(head.get("SeriesDate", ""), head.get("SeriesTime", ""))
    if own is not None and own <= first:
        return own
    if "GE" in head.get("Manufacturer", "").upper():
        return _full(head.get("GEScanDateTime", ""), _offset(head.get("TimezoneOffsetFromUTC", ""))) or first
    return first


def _acquired(texts: _Texts) -> datetime | None:
    return _moment(texts.get("AcquisitionDate") or texts.get("SeriesDate", ""), texts.get("AcquisitionTime", ""))


def _wait(head: _Texts, reference: datetime, half_life: float) -> tuple[float, list[str]]:
    """Seconds from the injection to the reference, and a warning where only the time of day can be used."""
    injected = _full(head.get("RadiopharmaceuticalStartDateTime", ""), _offset(head.get("TimezoneOffsetFromUTC", "")))
    longest, doubts = _HALF_LIVES * half_life, []
    if injected is not None:
        wait = (reference - injected).total_seconds()
        if 0 <= wait <= longest:
            return wait, []
        doubts = ["suv-dates"]
    clock = _time(head.get("RadiopharmaceuticalStartTime", "")) if injected is None else timedelta(
        hours=injected.hour, minutes=injected.minute, seconds=injected.second)
    if clock is None:
        raise _no_times("there is neither RadiopharmaceuticalStartDateTime nor RadiopharmaceuticalStartTime")
    at = datetime(reference.year, reference.month, reference.day) + clock
    at -= timedelta(days=1) if at > reference else timedelta()
    wait = (reference - at).total_seconds()
    if wait > longest:
        raise _no_times(f"the injection at {clock} is {wait / 3600:.1f} hours before the scan at {reference:%H:%M:%S}")
    return wait, doubts


def _no_times(why: str) -> ReadError:
    return ReadError("suv-times", "has times of injection and scan that do not fit", why,
                     "correct the header from the protocol of the scan, or leave the case out")


def _contradicted(series: Sequence[_Texts], reference: datetime, half_life: float) -> bool:
    """Whether the decay factor of a slice says that another time was the reference."""
    rate = math.log(2) / half_life
    for texts in series:
        factor, duration = _number(texts, "DecayFactor"), _number(texts, "ActualFrameDuration")
        acquired = _acquired(texts)
        if not factor or not duration or factor < 0 or duration < 0 or acquired is None:
            continue
        through = rate * duration / 1000
        mean = through / -math.expm1(-through)
        if abs((acquired - reference).total_seconds() - math.log(factor / mean) / rate) > _CHECKED_SECONDS:
            return True
    return False


def _number(texts: _Texts, keyword: str) -> float | None:
    return _float(texts.get(keyword, ""))


def _float(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _time(text: str) -> timedelta | None:
    """The time of day of `HHMMSS.FFFFFF`, also with colons, of which the end may be missing."""
    whole, _, part = text.strip().replace(":", "").partition(".")
    if not whole.isdigit() or len(whole) not in (2, 4, 6) or (part and not part.isdigit()):
        return None
    whole = whole.ljust(6, "0")
    return timedelta(hours=int(whole[:2]), minutes=int(whole[2:4]),
                     seconds=int(whole[4:]) + float(f"0.{part or 0}"))


def _moment(date: str, time: str) -> datetime | None:
    clock, day = _time(time), date.strip().replace(".", "")
    if clock is None or len(day) != 8 or not day.isdigit():
        return None
    try:
        return datetime(int(day[:4]), int(day[4:6]), int(day[6:])) + clock
    except ValueError:
        return None


def _offset(text: str) -> timedelta | None:
    """An offset from UTC such as `-0330`."""
    if len(text) != 5 or text[0] not in "+-" or not text[1:].isdigit():
        return None
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:]))
    return -offset if text[0] == "-" else offset


def _full(text: str, local: timedelta | None) -> datetime | None:
    """A date with time, `YYYYMMDDHHMMSS.FFFFFF+ZZZZ`, in the zone of the file where both are known."""
    text = text.strip()
    zone = _offset(text[-5:]) if len(text) > 13 else None
    moment = _moment(text[:8], text[8: -5] if zone is not None else text[8:])
    return moment if moment is None or zone is None or local is None else moment + (local - zone)
