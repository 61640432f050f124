"""`fusionkit.predict`: one row for each case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from fusionkit.inference.predict import HeadResult
from fusionkit.interface.opened_run import RunKeywords, open_networks, run_keywords
from fusionkit.interface.tables import html_table
from fusionkit.runs.results import rows_of, write_predictions


@dataclass(frozen=True)
class Predictions:
    """What each head says of each case: as a table, as records, and in `results` as arrays.

    `uncertainty` is the id of the method that was used, None without one.
    """

    ids: tuple[str, ...]
    results: Mapping[str, HeadResult]
    uncertainty: str | None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of text, one for each case, as `fusionkit predict` writes them."""
        return rows_of(self.results, self.ids)

    def rows(self) -> list[dict[str, Any]]:
        """One record for each case: numbers as numbers, and None where a head has no result."""
        header, rows = self.table()
        words = {"id", *(name for name in header if name.endswith(":set"))}
        for name, result in self.results.items():
            words |= {name} | (set() if result.head.task == "regression" else {f"{name}:target"})
        return [{name: _read(cell, name in words) for name, cell in zip(header, row, strict=True)} for row in rows]

    def _repr_html_(self) -> str:
        return html_table(*self.table())


def _read(cell: str, is_text: bool) -> str | float | None:
    """A cell of the table as what it says; several numbers in one cell stay text."""
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
    """Predict each case of a data description, whose targets are not needed; with `output` also as a CSV file.

    The options are those of `fusionkit predict`. Components of your own come from the Python files `plugins`, or as
    `components`. `quiet` shows neither warnings nor progress; `console` says where they go.
    Raises: GraphError or DataError with everything that is wrong.
    """
    opened = open_networks(run, options, samples=samples)
    cohort = opened.cohort(data, require_targets=False)
    for warning in cohort.warnings:
        opened.console.note(warning.render())
    results = opened.results(opened.dataset(cohort, cohort.rows, data))
    if output:
        write_predictions(Path(output), results, cohort.ids)
    return Predictions(tuple(cohort.ids), results, opened.method.step.use if opened.method else None)
