"""Subgroups as rows of a table, as `subgroups.json` and `subgroups.csv`, and as a figure for each column and head."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.evaluation.formatting import MetricResult, figures
from fusionkit.evaluation.subgroups import GAPS, REST, Group, GroupDifference, Subgroups
from fusionkit.files import csv_text, write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("head", "group", "cases", "patients", "metric", "value", "95 % interval", "difference", "for all groups",
           "p, Holm", "note")
GAP_COLUMNS = ("head", "column", "of", "gap", "value", "95 % interval", "by chance")


def rows(found: Sequence[Subgroups]) -> list[tuple[str, ...]]:
    """Rows of text for `COLUMNS`, with the metrics of the short tables for each group."""
    made: list[tuple[str, ...]] = []
    for each in found:
        for group in each.groups:
            start = (each.head, f"{each.column}: {group.name}", str(group.cases),
                     "" if group.patients is None else str(group.patients))
            if not group.metrics:
                made.append((*start, "", "", "", "", "", "", group.note or ""))
            for key in each.shown if group.metrics else ():
                made.append((*start, each.labels[key], *_cells(group, key)))
    return made


def _cells(group: Group, key: str) -> tuple[str, ...]:
    metric, difference = group.metrics[key], group.differences.get(key)
    value = "undefined" if metric.value is None else figures(metric.value)
    notes = "; ".join(note for note in (group.note, metric.note, difference and difference.plain.note) if note)
    if difference is None or difference.plain.value is None:
        return value, metric.interval, "", "", "", notes
    plain, together = difference.plain, MetricResult(0.0, difference.low, difference.high)
    return (value, metric.interval, str(MetricResult(plain.value, plain.low, plain.high)), together.interval,
            "" if plain.holm is None else f"{plain.holm:.3f}", notes)


def gap_rows(found: Sequence[Subgroups]) -> list[tuple[str, ...]]:
    """Rows of text for `GAP_COLUMNS`."""
    return [(each.head, each.column, of, GAPS[key], figures(gap.value),
             MetricResult(gap.value, gap.low, gap.high).interval, figures(gap.by_chance))
            for each in found for of, gaps in each.gaps.items() for key, gap in gaps.items()]


def _records(found: Sequence[Subgroups]) -> Iterator[Sequence[object]]:
    yield ("head", "column", "group", "cases", "patients", "metric", "value", "low", "high", "against", "difference",
           "difference_low", "difference_high", "simultaneous_low", "simultaneous_high", "p", "p_holm", "note")
    for each in found:
        for group in each.groups:
            patients = "" if group.patients is None else group.patients
            start = (each.head, each.column, group.name, group.cases, patients)
            if not group.metrics:
                yield (*start, *[""] * 12, group.note or "")
            for key, metric in group.metrics.items():
                yield (*start, key, *map(_number, (metric.value, metric.low, metric.high)),
                       *_difference(each, group.differences.get(key)),
                       "; ".join(note for note in (group.note, metric.note) if note))


def _difference(each: Subgroups, found: GroupDifference | None) -> list[object]:
    if found is None:
        return [""] * 8
    plain = found.plain
    return [each.against, *map(_number, (plain.value, plain.low, plain.high, found.low, found.high, plain.p,
                                         plain.holm))]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def to_json(found: Sequence[Subgroups]) -> dict[str, Any]:
    """By column and head, as plain data."""
    made: dict[str, dict[str, Any]] = {}
    for each in found:
        made.setdefault(each.column, {})[each.head] = each.to_json()
    return made


def write_subgroups(folder: Path, found: Sequence[Subgroups], about: Mapping[str, Any] | None = None) -> None:
    """`subgroups.json`, `subgroups.csv`, and for each head and column a figure `HEAD-by-COLUMN`, PNG and SVG."""
    from fusionkit.evaluation.plots import style

    write_text(folder / "subgroups.csv", csv_text(_records(found)))
    write_json(folder / "subgroups.json", {"fusionkit-subgroups": 1, **(about or {}), "columns": to_json(found)})
    with style.applied():
        for each in found:
            figure = group_figure(each)
            if figure is not None:
                # Names come from files: they must not lead out of the folder.
                stem = "-by-".join(re.sub(r"[^\w-]+", "_", name) for name in (each.head, each.column))
                style.save(figure, folder / stem)


def group_figure(found: Subgroups) -> Figure | None:
    """The main metric of each group with its interval; None where no group has one."""
    from fusionkit.evaluation.plots.style import PALETTE, blank, fitting, titled

    key = found.shown[0] if found.shown else ""
    told = [(group, group.metrics[key]) for group in found.groups
            if key in group.metrics and group.metrics[key].value is not None]
    if not told:
        return None
    figure = blank(5.6, 1.6 + 0.36 * len(told))
    axes = figure.add_subplot()
    for place, (group, metric) in enumerate(told):
        value = metric.value
        assert value is not None
        low, high = (value if bound is None else bound for bound in (metric.low, metric.high))
        axes.errorbar(value, place, xerr=[[max(value - low, 0)], [max(high - value, 0)]], fmt="s", markersize=5,
                      capsize=3, linewidth=1.2, color=PALETTE[0] if group.note is None else "#BBBBBB")
    axes.set_yticks(range(len(told)), [f"{fitting(group.name, 28)} ({group.cases})" for group, _ in told])
    axes.set(ylim=(len(told) - 0.5, -0.5), xlabel=f"{found.labels[key]}, 95 % interval")
    axes.set_title(titled(f"{found.labels[key]} of head {found.head} by {found.column} (cases)\n"
                          "grey: too few cases to compare"), loc="left")
    return figure


def what_differences_are(found: Sequence[Subgroups]) -> str:
    """A line that says what differences and intervals are."""
    against = sorted({each.against for each in found}, key=lambda name: name != REST)
    return (f"differences are from {' or '.join(against)}, in the same resamples of patients; intervals 'for all "
            "groups' hold together, plain ones each by itself; a gap 'by chance' is that of groups dealt out at random")
