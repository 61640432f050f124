"""What a report says of the cases of a run: counts by part, absent inputs, and the columns by part and outcome.

Only counts and statistics of at least `FEWEST` cases are kept: a mean of fewer tells what single cases have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.data.loading import Cohort
from fusionkit.data.study_columns import FEWEST
from fusionkit.evaluation.formatting import short
from fusionkit.files import sha256_of, write_json

COHORT = "cohort.json"
VERSION = 1
MOST_COLUMNS = 200
_MOST_GROUPS = 12
_ALL = "all"
_Group = tuple[str, str | None, str | None, list[int]]
"""A part, a head and one of its outcomes, or neither, and the rows."""


def write_cohort(folder: Path, cohort: Cohort, parts: Mapping[str, Sequence[int]]) -> None:
    """Write `cohort.json`; `parts` are the rows by the name of their part, empty parts are left out."""
    write_json(folder / COHORT, cohort_record(cohort, {name: rows for name, rows in parts.items() if rows}))


def fold_parts(cohort: Cohort) -> dict[str, Sequence[int]]:
    """The rows that each fold tests, by its name in tables."""
    return {cohort.division.told(number): cohort.fold(number)[1] for number in range(cohort.fold_count)}


def cohort_record(cohort: Cohort, parts: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The record as plain data."""
    description, every = cohort.description, list(cohort.rows)
    columns = _columns(cohort)
    groups = [(part, *group) for part, rows in {_ALL: every, **parts}.items() for group in _by_outcome(cohort, rows)]
    return {
        "fusionkit-cohort": VERSION,
        "files": {path.name: sha256_of(path) for path in (description.file, description.cases)},
        "table": description.cases.name,
        "cases": len(cohort),
        "patients": _patients(cohort, every),
        "patient_column": description.patient,
        "warnings": dict(Counter(warning.code for warning in cohort.warnings)),
        "parts": {name: _part(cohort, rows) for name, rows in {_ALL: every, **parts}.items()},
        "columns_left_out": max(0, len(columns) - MOST_COLUMNS),
        "characteristics": [_characteristic(column, groups) for column in columns[:MOST_COLUMNS]],
    }


def _patients(cohort: Cohort, rows: Sequence[int]) -> int | None:
    return None if cohort.description.patient is None else len({cohort.patients[row] for row in rows})


def _part(cohort: Cohort, rows: Sequence[int]) -> dict[str, Any]:
    heads = {}
    for name, target in cohort.targets.items():
        heads[name] = {"with_target": int(target.present[list(rows)].sum()),
                       "without_target": int((~target.present[list(rows)]).sum()),
                       "counts": cohort.class_counts(name, rows)}
    absent = {name: int((~cohort.present(name)[list(rows)]).sum()) for name in cohort.sizes}
    return {"cases": len(rows), "patients": _patients(cohort, rows), "heads": heads, "absent_inputs": absent,
            **cohort.description.study.told(cohort.table, cohort.ids, rows)}


def _columns(cohort: Cohort) -> list[tuple[str, str, Floats | Sequence[str]]]:
    """Every column of the table that is read: its input, its name, and its cells by row."""
    found: list[tuple[str, str, Floats | Sequence[str]]] = []
    for name, values in cohort.columns.items():
        options = cohort.description.inputs[name].options
        for place, column in enumerate(options.numeric):
            found.append((name, column, values.numeric[:, place]))
        for place, column in enumerate(options.categorical):
            found.append((name, column, [row[place] for row in values.categorical]))
    return found


def characteristics(cohort: Cohort, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Every column of the table that is read, of some rows: its input, name, kind, and statistics or counts."""
    return [{"input": source, "column": name, "kind": _kind(cells), "cases": len(rows), **_statistics(cells, rows)}
            for source, name, cells in _columns(cohort)[:MOST_COLUMNS]]


def _kind(cells: Floats | Sequence[str]) -> str:
    return "number" if isinstance(cells, np.ndarray) else "category"


def _statistics(cells: Floats | Sequence[str], rows: Sequence[int]) -> dict[str, Any]:
    return _numbers(cells[list(rows)]) if isinstance(cells, np.ndarray) else _words([cells[row] for row in rows])


def _characteristic(column: tuple[str, str, Floats | Sequence[str]], groups: Sequence[_Group]) -> dict[str, Any]:
    source, name, cells = column
    told = [{"part": part, "head": head, "outcome": outcome, "cases": len(rows),
             **_statistics(cells, rows)} for part, head, outcome, rows in groups]
    return {"input": source, "column": name, "kind": _kind(cells), "groups": told}


def _by_outcome(cohort: Cohort, rows: Sequence[int]) -> Iterator[tuple[str | None, str | None, list[int]]]:
    """All of some rows, then those of each class, label or kind of outcome of each head that has few of them."""
    yield None, None, list(rows)
    for name, target in cohort.targets.items():
        head = cohort.heads[name]
        known = [row for row in rows if target.present[row]]
        kinds = head.declared_task.method.counts
        one = np.ones(1)
        named: dict[str, list[int]] = {outcome: [] for outcome in cohort.class_counts(name, known)} if known else {}
        if not 0 < len(named) <= _MOST_GROUPS:
            continue
        for row in known:
            for outcome, count in kinds(target.values[[row]], one, head.classes).items():
                if count > 0:
                    named[outcome].append(row)
        for outcome, chosen in named.items():
            yield name, outcome, chosen


def _numbers(values: Floats) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    told: dict[str, Any] = {"known": len(known), "missing": len(values) - len(known)}
    if len(known) >= FEWEST:
        low, middle, high = np.percentile(known, (25, 50, 75))
        told |= {"mean": short(float(known.mean())), "sd": short(float(known.std(ddof=1))),
                 "median": short(float(middle)), "quartiles": [short(float(low)), short(float(high))]}
    return told


def _words(cells: Sequence[str]) -> dict[str, Any]:
    known = [cell for cell in cells if cell]
    counts = Counter(known)
    kept = dict(counts.most_common(_MOST_GROUPS))
    return {"known": len(known), "missing": len(cells) - len(known), "counts": kept,
            **({"other": sum(counts.values()) - sum(kept.values())} if len(counts) > len(kept) else {})}
