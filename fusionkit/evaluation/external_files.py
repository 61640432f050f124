"""Internal beside external as one table, and as `beside.json` and `beside.csv`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionkit.evaluation.differences import Difference
from fusionkit.evaluation.external import BesideEachOther, Figures
from fusionkit.evaluation.formatting import MetricResult
from fusionkit.files import csv_text, write_json, write_text

BESIDE = "beside"


def header(found: Sequence[BesideEachOther]) -> tuple[str, ...]:
    """The columns: one for each origin, behind each external one that of the differences."""
    if not found:
        return ("head", "figure")
    first = found[0]
    return ("head", "figure", first.internal.origin.name, *(
        text for other, _ in first.external for text in (other.origin.name, "difference")), "note")


def rows(found: Sequence[BesideEachOther]) -> list[tuple[str, ...]]:
    """Rows of text for `header`: counts, the mix of cases, and every metric with its interval."""
    return [row for each in found for row in _rows(each)]


def _rows(each: BesideEachOther) -> Iterator[tuple[str, ...]]:
    every = [each.internal, *(other for other, _ in each.external)]

    def counted(name: str, of: Sequence[object]) -> tuple[str, ...]:
        first, *others = ["" if value is None else str(value) for value in of]
        return (each.head, name, first, *(text for other in others for text in (other, "")), "")

    yield counted("cases", [part.cases for part in every])
    if any(part.patients is not None for part in every):
        yield counted("patients", [part.patients for part in every])
    for name in dict.fromkeys(name for part in every for name in part.counts):
        yield counted(f"cases: {name}", [part.counts.get(name, 0) for part in every])
    for name in dict.fromkeys(name for part in every for name, count in part.origin.absent.items() if count):
        yield counted(f"cases without {name!r}", [part.origin.absent.get(name, 0) for part in every])
    if any(part.origin.trained_on for part in every):
        yield counted("cases that were trained on", [part.origin.trained_on for part in every])
    for key in dict.fromkeys(key for part in every for key in part.values):
        yield _figure(each, key, every)


def _figure(each: BesideEachOther, key: str, every: Sequence[Figures]) -> tuple[str, ...]:
    cells, notes = [_told(each.internal, key)], []
    for other, differences in each.external:
        cells += [_told(other, key), _difference(differences.get(key))]
    for part in every:
        if key in part.values and part.values[key].note:
            notes.append(f"{part.origin.name}: {part.values[key].note}")
    label = next(part.labels[key] for part in every if key in part.labels)
    return each.head, label, *cells, "; ".join(notes)


def _told(found: Figures, key: str) -> str:
    return str(found.values[key]) if key in found.values else ""


def _difference(found: Difference | None) -> str:
    return "" if found is None or found.value is None else str(MetricResult(found.value, found.low, found.high))


def to_json(found: Sequence[BesideEachOther]) -> dict[str, Any]:
    """By head, as plain data."""
    return {each.head: each.to_json() for each in found}


def write_beside(folder: Path, found: Sequence[BesideEachOther], about: Mapping[str, Any] | None = None) -> None:
    """`beside.csv`, the table, and `beside.json`, every number."""
    write_text(folder / f"{BESIDE}.csv", csv_text([header(found), *rows(found)]))
    write_json(folder / f"{BESIDE}.json", {"fusionkit-beside": 1, **(about or {}), "heads": to_json(found)})
