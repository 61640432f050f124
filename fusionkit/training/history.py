"""What happened in each epoch: rows for `history.csv`, and what a progress display is told."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fusionkit.files import write_text

HISTORY = "history.csv"
Row = Mapping[str, Any]


class Progress(Protocol):
    """Told after every step of training, in the main process: a progress bar, for instance.

    `epoch` counts from 1 and `step` from 1 to `steps`; `loss` is that of the step over all processes.
    """

    def __call__(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Shows the step."""


def write_history(folder: Path, rows: Sequence[Row]) -> None:
    """`history.csv` with one row for each epoch that has ended, in place at once."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    write_text(folder / HISTORY, text.getvalue())


def _cell(value: Any) -> Any:
    return f"{value:.8g}" if isinstance(value, float) else value
