"""The rows of a run's CSV files for readers: a value with its interval in one cell, and metrics by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fusionkit.evaluation.formatting import MetricResult, figures
from fusionkit.reporting.run_files import RunFiles, named

_ENDS = {"value": ("low", "high"), "difference": ("difference_low", "difference_high"),
         "": ("simultaneous_low", "simultaneous_high")}
_VALUE, _TOGETHER = "value (95 % interval)", "interval for all groups"


@dataclass(frozen=True)
class _Column:
    """A column that is shown: its title, and where its value and bounds stand; `kind` says how its cell is written."""

    title: str
    places: tuple[int, ...]
    kind: str = "text"


def readable(run: RunFiles, names: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of text; columns without a cell are left out, and p values that are corrected beside."""
    columns = [column for column in _columns(list(names), rows)
               if any(row[place] for row in rows for place in column.places)]
    labels = {key: named(found, key) for found in run.heads.values() for key in found["metrics"]}
    return [column.title for column in columns], [[_cell(column, row, labels) for column in columns] for row in rows]


def _columns(names: list[str], rows: Sequence[Sequence[str]]) -> Iterator[_Column]:
    bounds = {bound for ends in _ENDS.values() for bound in ends}
    against = {row[names.index("against")] for row in rows} - {""} if "against" in names else set()
    for place, name in enumerate(names):
        ends = _ENDS.get(name)
        if ends and set(ends) <= set(names):
            title = _VALUE if name == "value" else f"{name} from {next(iter(against))}" if len(against) == 1 else name
            yield _Column(title, (place, *map(names.index, ends)), "interval")
        elif name == _ENDS[""][0] and _ENDS[""][1] in names:
            yield _Column(_TOGETHER, (place, names.index(_ENDS[""][1])), "bounds")
        elif name not in bounds and not (name == "p" and "p_holm" in names) and not (
                name == "against" and len(against) == 1):
            yield _Column("p (Holm)" if name == "p_holm" else name, (place,),
                          {"metric": "metric", "p_holm": "p"}.get(name, "text"))


def _cell(column: _Column, row: Sequence[str], labels: dict[str, str]) -> str:
    cells = [row[place] for place in column.places]
    if column.kind == "metric":
        return labels.get(cells[0], cells[0])
    if column.kind == "text":
        return cells[0]
    if not any(cells):
        # A difference may not be asked for; a metric without a value has none.
        return "undefined" if column.title == _VALUE else ""
    try:
        numbers = [float(cell) if cell else None for cell in cells]
    except ValueError:
        return cells[0]
    if column.kind == "p":
        return figures(float(cells[0]))
    value, low, high = numbers if column.kind == "interval" else (None, *numbers)
    told = MetricResult(value, low, high)
    return str(told) if column.kind == "interval" else told.interval
