"""Table 1: what the cases are like, by part and by outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fusionkit.reporting.run_files import NOT_RECORDED, RunFiles

_ALL, _MOST_PARTS = "all", 3
TextTable = tuple[str, list[str], list[list[str]]]
"""A heading, the names of the columns and rows of text."""


def characteristic_tables(run: RunFiles) -> list[TextTable]:
    """The columns of the cohort by part, then of each head by part and outcome; empty where none were recorded.

    Folds are alike, and two columns for each of them would be too many: their cases are told by outcome together.
    """
    columns = run.cohort.get("characteristics") or []
    if not columns:
        return []
    groups = columns[0]["groups"]
    heads = dict.fromkeys(group["head"] for group in groups)
    folds = len({group["part"] for group in groups} - {_ALL}) > _MOST_PARTS
    return [("By part" if head is None else f"By {head}" if folds else f"By part and {head}",
             *_table(columns, groups, head, folds)) for head in heads]


def _table(columns: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]], head: str | None, folds: bool
           ) -> tuple[list[str], list[list[str]]]:
    places = [place for place, group in enumerate(groups)
              if group["head"] == head and (head is None or (group["part"] == _ALL) == folds)]
    names = [groups[place]["part"] if head is None else groups[place]["outcome"] if folds else
             f"{groups[place]['part']}: {groups[place]['outcome']}" for place in places]
    rows = [["cases", *(str(groups[place]["cases"]) for place in places)]]
    for column in columns:
        rows += _rows(column, [column["groups"][place] for place in places])
    return ["", *names], rows


def _rows(column: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    name = f"{column['column']} ({column['input']})"
    if column["kind"] == "number":
        yield [f"{name}: mean (sd)", *(_mean(group) for group in groups)]
        yield [f"{name}: median (quartiles)", *(_median(group) for group in groups)]
    else:
        seen = dict.fromkeys(value for group in groups for value in group["counts"])
        for value in seen:
            yield [f"{name}: {value}, n (%)", *(_share(group["counts"].get(value, 0), group["known"])
                                                 for group in groups)]
        if any("other" in group for group in groups):
            yield [f"{name}: other, n (%)", *(_share(group.get("other", 0), group["known"]) for group in groups)]
    yield [f"{name}: missing, n (%)", *(_share(group["missing"], group["cases"]) for group in groups)]


def _mean(group: Mapping[str, Any]) -> str:
    return f"{group['mean']:.4g} ({group['sd']:.3g})" if "mean" in group else NOT_RECORDED


def _median(group: Mapping[str, Any]) -> str:
    if "median" not in group:
        return NOT_RECORDED
    low, high = group["quartiles"]
    return f"{group['median']:.4g} ({low:.4g} to {high:.4g})"


def _share(count: int, of: int) -> str:
    return f"{count} ({100 * count / of:.0f} %)" if of else f"{count}"
