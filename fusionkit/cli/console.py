"""What people look at: lines, tables and progress; plain and quiet when nobody is at a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from fusionkit.errors import Diagnostic
from fusionkit.progress import Progress


class Console:
    """Results go to standard output, everything else to standard error. With `json` only data is printed.

    `silent` is for the processes of a launch other than the first: they print nothing.
    """

    def __init__(self, json: bool = False, output: TextIO | None = None, errors: TextIO | None = None,
                 silent: bool = False) -> None:
        self.is_json = json or silent
        self.silent = silent
        self.output = output or sys.stdout
        self.errors = errors or sys.stderr

    def line(self, text: str = "") -> None:
        """One line for people; silent with `--json`."""
        if not self.is_json:
            print(text, file=self.output, flush=True)

    def note(self, text: str) -> None:
        """A line beside the result, on standard error."""
        if not self.silent:
            print(text, file=self.errors, flush=True)

    def data(self, value: Any) -> None:
        """The result as JSON; silent without `--json`."""
        if self.is_json and not self.silent:
            print(json.dumps(value, indent=2, ensure_ascii=False), file=self.output)

    def diagnostics(self, found: Sequence[Diagnostic]) -> None:
        """Every finding, one after the other."""
        if self.is_json:
            self.data({"ok": not any(d.severity == "error" for d in found),
                       "diagnostics": [d.as_json() for d in found]})
            return
        for diagnostic in found:
            self.note(diagnostic.render())

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """A table; the columns numbered in `right` stand flush right."""
        if self.is_json:
            return
        if self.output.isatty():
            self._rich_table(header, rows, right)
            return
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        for row in [header, ["-" * width for width in widths], *rows]:
            cells = [cell.rjust(w) if i in right else cell.ljust(w)
                     for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
            print("  ".join(cells).rstrip(), file=self.output)

    def _rich_table(self, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for index, name in enumerate(header):
            table.add_column(name, justify="right" if index in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*[Text(cell) for cell in row])
        RichConsole(file=self.output).print(table)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """A bar on the terminal while long work runs; nothing where there is no terminal.

        The work calls `update(done, total)`.
        """
        if self.is_json or not self.errors.isatty():
            yield lambda done, total: None
            return
        from rich import progress as rich_progress
        from rich.console import Console as RichConsole

        columns = (rich_progress.TextColumn("{task.description}"), rich_progress.BarColumn(),
                   rich_progress.MofNCompleteColumn(), rich_progress.TimeRemainingColumn())
        with rich_progress.Progress(*columns, console=RichConsole(file=self.errors), transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
