"""`fusionkit runs`: the runs and comparisons below a folder, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from fusionkit.errors import DataError, Diagnostic
from fusionkit.printable import figures
from fusionkit.records.run_folders import HeadRow, RunRow, run_rows

COLUMNS = ("run", "network", "state", "results (95 % interval)", "changed")


def list_runs(folder: str | Path, *, inner: bool = False) -> list[RunRow]:
    """The runs and comparisons in and below a folder, the newest first; with `inner` also the runs of comparisons.

    Raises: DataError with `no-folder`.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DataError(Diagnostic("no-folder", f"{str(folder)!r} is not a folder", fix="give one that holds runs"))
    return run_rows(path, inner)


def table_of(rows: Sequence[RunRow], metrics: Sequence[str] = ()) -> list[list[str]]:
    """Rows of text under `COLUMNS`; of each head the `metrics` that it has, without any the first."""
    return [[row.path, row.network, state_of(row), results_of(row, metrics),
             datetime.fromtimestamp(row.when).astimezone().strftime("%Y-%m-%d %H:%M") if row.when else ""]
            for row in rows]


def state_of(row: RunRow) -> str:
    """The state in words, with folds."""
    if row.kind == "comparison":
        return f"comparison, {row.rows} rows" if row.state == "finished" else f"comparison, {row.state}"
    if row.state == "unreadable":
        return f"unreadable: {row.why}"
    folds = ""
    if row.kind == "folds":
        folds = f", {row.folds} folds" if row.finished_folds == row.folds else \
            f", {row.finished_folds} of {row.folds} folds"
    return f"{'stage, ' if row.kind == 'stage' else ''}{row.state}{folds}"


def results_of(row: RunRow, metrics: Sequence[str] = ()) -> str:
    """Of each head the metrics that are asked for, or its first."""
    return "; ".join(f"{name} {told}" for name, head in row.heads.items() if (told := _told(head, metrics)))


def _told(head: HeadRow, metrics: Sequence[str]) -> str:
    chosen = [name for name in metrics if name in head.metrics] if metrics else [head.first] if head.first else []
    return ", ".join(f"{head.labels.get(name, name)} {metric_told(*head.metrics[name])}" for name in chosen if name)


def metric_told(value: float | None, low: float | None, high: float | None) -> str:
    """One metric with its interval."""
    if value is None:
        return "undefined"
    return figures(value) + ("" if low is None or high is None else f" ({figures(low)} to {figures(high)})")
