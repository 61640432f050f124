"""`fusionkit.predict`: one row for each case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from fusionkit.deployment.record import is_exported
from fusionkit.files import csv_text, write_text
from fusionkit.inference.head_result import HeadResult
from fusionkit.interface.console import Console
from fusionkit.interface.run_keywords import RunKeywords, run_keywords
from fusionkit.interface.tables import html_table
from fusionkit.runs.results import TRAINED_ON, prediction_column, rows_of, write_curves
from fusionkit.runs.seen_cases import SeenCases, seen_of


@dataclass(frozen=True)
class Predictions:
    """Each head's prediction for each case: as a table, as records, and in `results` as arrays.

    `uncertainty` is the id of the method that was used, None without one. `trained_on` are the ids of cases that the
    run learned from, on which its networks are more confident than on new ones; the table marks them in a column.
    """

    ids: tuple[str, ...]
    results: Mapping[str, HeadResult]
    uncertainty: str | None
    trained_on: tuple[str, ...] = ()

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of text, one for each case, as `fusionkit predict` writes them."""
        return rows_of(self.results, self.ids, self._marks())

    def _marks(self) -> dict[str, list[str]]:
        """A column that marks cases that were trained on, if there are any."""
        trained = set(self.trained_on)
        return {TRAINED_ON: ["yes" if name in trained else "" for name in self.ids]} if trained else {}

    def rows(self) -> list[dict[str, Any]]:
        """One record for each case: numbers as numbers, None where a head has no result."""
        header, rows = self.table()
        words = {"id", TRAINED_ON, *(name for name in header if name.endswith(":set"))}
        for name, result in self.results.items():
            words |= {name, prediction_column(name)}
            words |= {f"{name}:target"} if result.head.declared_task.cells in ("class", "label") else set()
        return [{name: _read(cell, name in words) for name, cell in zip(header, row, strict=True)} for row in rows]

    def _repr_html_(self) -> str:
        return html_table(*self.table())


def _read(cell: str, is_text: bool) -> str | float | None:
    """The value of a table cell; several numbers in one cell stay text."""
    if not cell:
        return None
    try:
        return cell if is_text else float(cell)
    except ValueError:
        return cell


@run_keywords
def predict(
    run: str | PathLike[str],
    data: str | Path,
    *,
    output: str | Path | None = None,
    samples: int | None = None,
    **options: Unpack[RunKeywords],
) -> Predictions:
    """Predict each case of a data description, which needs no targets; with `output` also as a CSV file.

    `run` is the folder of a run, or of an exported network.
    The options are those of `fusionkit predict`. Your own components come from the Python files `plugins`, or as
    `components`. `quiet` shows neither warnings nor progress; `console` says where they go.
    Raises: GraphError or DataError with everything that is wrong.
    """
    made = (_of_exported if is_exported(run) else _of_run)(run, data, samples, options)
    if output:
        header, rows = made.table()
        write_text(Path(output), csv_text([header, *rows]))
        write_curves(Path(output).parent, made.results, made.ids)
    return made


def _of_run(run: str | PathLike[str], data: str | Path, samples: int | None, options: RunKeywords) -> Predictions:
    from fusionkit.interface.opened_run import open_networks

    opened = open_networks(run, options, samples=samples)
    cohort, console = opened.first.cohort(data, require_targets=False), opened.first.console
    results, seen = opened.everywhere(cohort, cohort.rows, data), seen_of(opened.runs, cohort, cohort.rows)
    _note(seen, console)
    method = opened.first.method
    return Predictions(tuple(cohort.ids), results, method.step.use if method else None, seen.trained)


def _of_exported(run: str | PathLike[str], data: str | Path, samples: int | None, options: RunKeywords) -> Predictions:
    from fusionkit.interface.exported import open_for_use, predict_exported

    opened = open_for_use(Path(run), options, samples)
    cohort, results, console = predict_exported(opened, data, options)
    seen = opened.seen(cohort.ids)
    _note(seen, console)
    return Predictions(tuple(cohort.ids), results, None, seen.trained)


def _note(seen: SeenCases, console: Console) -> None:
    for line in seen.lines():
        console.note(line)
