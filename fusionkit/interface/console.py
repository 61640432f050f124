"""Output for people: lines, tables and progress; plain and without progress outside a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from html import escape
from time import monotonic
from typing import Any, TextIO

from fusionkit.errors import Diagnostic
from fusionkit.progress import Progress


class Console:
    """Results go to standard output, everything else to standard error. With `json` only data is printed.

    `silent` is for all processes of a launch except the first: they print nothing.
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
        """A line besides the result, on standard error."""
        if not self.silent:
            print(text, file=self.errors, flush=True)

    def data(self, value: Any) -> None:
        """The result as JSON; silent without `--json`."""
        if self.is_json and not self.silent:
            print(json.dumps(value, indent=2, ensure_ascii=False), file=self.output)

    def diagnostics(self, found: Sequence[Diagnostic]) -> None:
        """Every finding, in order."""
        if self.is_json:
            self.data({"ok": not any(d.severity == "error" for d in found),
                       "diagnostics": [d.as_json() for d in found]})
            return
        for diagnostic in found:
            self.note(diagnostic.render())

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
        """A table; the columns numbered in `right` are right-aligned."""
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
        """A progress bar on the terminal or in the notebook during long work; nothing elsewhere.

        The work calls `update(done, total)`.
        """
        if self.silent:
            yield lambda done, total: None
        elif _in_notebook():
            with closing(NotebookBar(label)) as bar:
                yield bar.update
        elif self.is_json or not self.errors.isatty():
            yield lambda done, total: None
        else:
            with self._rich_progress(label) as update:
                yield update

    @contextmanager
    def _rich_progress(self, label: str) -> Iterator[Progress]:
        from rich import progress as rich_progress
        from rich.console import Console as RichConsole

        columns = (rich_progress.TextColumn("{task.description}"), rich_progress.BarColumn(),
                   rich_progress.MofNCompleteColumn(), rich_progress.TimeRemainingColumn())
        with rich_progress.Progress(*columns, console=RichConsole(file=self.errors), transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


class NotebookBar:
    """A progress bar below the cell of a notebook, redrawn during the work and removed at its end.

    Rich draws in notebooks only if ipywidgets is installed, and warns otherwise; this needs nothing but IPython, which
    runs the cell.
    """

    def __init__(self, label: str) -> None:
        from IPython.display import display

        self.label = label
        self.drawn = monotonic()
        self.handle = display(self._bundle(0, 0), raw=True, display_id=True)

    def update(self, done: int, total: int) -> None:
        """Show `done` of `total`; the last step always, others at most five times a second."""
        now = monotonic()
        if done >= total or now - self.drawn >= 0.2:
            self.drawn = now
            self.handle.update(self._bundle(done, total), raw=True)

    def close(self) -> None:
        """Remove the bar."""
        self.handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def _bundle(self, done: int, total: int) -> dict[str, str]:
        text = f"{self.label} {done}/{total}" if total else self.label
        share = f' value="{done}" max="{total}"' if total else ""
        return {"text/plain": text, "text/html": f"<progress{share}></progress> {escape(text)}"}


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def console_for(console: Console | None, quiet: bool) -> Console:
    """The caller's console, else one on standard output and error; silent with `quiet`."""
    return console or Console(silent=quiet)
