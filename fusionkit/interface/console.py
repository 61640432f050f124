"""Output for people: lines, tables and progress; plain and without progress outside a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from html import escape
from time import monotonic
from typing import Any, TextIO

from fusionkit.errors import Diagnostic
from fusionkit.printable import in_one_line, printable, printable_json
from fusionkit.progress import Progress


class Console:
    """Results go to standard output, everything else to standard error. With `json` only data is printed.

    All output goes through this class: control characters of names, catalogues and files are escaped, and
    work continues when output can no longer be written, which sets `lost`. `silent` is for the processes of a
    launch other than the first: they print nothing.
    """

    def __init__(self, json: bool = False, output: TextIO | None = None, errors: TextIO | None = None,
                 silent: bool = False) -> None:
        self.is_json = json or silent
        self.silent = silent
        self.output = output or sys.stdout
        self.errors = errors or sys.stderr
        self.lost: Exception | None = None

    def line(self, text: str = "") -> None:
        """One line for people; silent with `--json`."""
        if not self.is_json:
            self.text(f"{text}\n")

    def text(self, text: str) -> None:
        """Print a result unchanged, on standard output."""
        self._to_output(lambda: _write(self.output, printable(text)))

    def note(self, text: str) -> None:
        """A line besides the result, on standard error."""
        if not self.silent:
            with suppress(OSError, ValueError):
                _write(self.errors, printable(f"{text}\n"))

    def data(self, value: Any) -> None:
        """The result as JSON; silent without `--json`."""
        if self.is_json and not self.silent:
            text = json.dumps(value, indent=2, ensure_ascii=False)
            self._to_output(lambda: _write(self.output, f"{printable_json(text)}\n"))

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
        header, *rows = [[in_one_line(cell) for cell in row] for row in [header, *rows]]
        if _is_terminal(self.output):
            self._to_output(lambda: self._rich_table(header, rows, right))
            return
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        lines = []
        for row in [header, ["-" * width for width in widths], *rows]:
            cells = [cell.rjust(w) if i in right else cell.ljust(w)
                     for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
            lines.append("  ".join(cells).rstrip() + "\n")
        self.text("".join(lines))

    def _to_output(self, write: Callable[[], None]) -> None:
        """Write to standard output, unless that has failed before."""
        if self.lost is not None:
            return
        try:
            write()
        except (OSError, ValueError) as error:
            self.lost = error
            _abandon(self.output)
            if not isinstance(error, BrokenPipeError):  # the reader closed the pipe on purpose
                self.note(f"fusionkit: standard output cannot be written, work continues: {error}")

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
        elif self.is_json or not _is_terminal(self.errors):
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

            def update(done: int, total: int) -> None:
                with suppress(OSError, ValueError):
                    bar.update(task, completed=done, total=total)

            yield update


def _write(stream: TextIO, text: str) -> None:
    """Write at once; a character that the stream cannot encode is written as an escape."""
    try:
        print(text, end="", file=stream, flush=True)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", file=stream, flush=True)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False  # it is closed


def _abandon(stream: TextIO) -> None:
    """Discard the buffered output of a stream, so that the process does not fail on it at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


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
