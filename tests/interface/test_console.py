"""What people look at: bars on a terminal and in a notebook, and nothing where neither is."""

from __future__ import annotations

import json
import os
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fusionkit.errors import Diagnostic
from fusionkit.interface.console import Console
from fusionkit.printable import in_one_line, printable, printable_json


class _Handle:
    """Stands in for what IPython gives for an output that is updated in place."""

    def __init__(self, shown: list[dict[str, str]]) -> None:
        self.shown = shown

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        assert raw
        self.shown.append(bundle)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The cell of a notebook: what is shown below it, in order."""
    shown: list[dict[str, str]] = []

    def display(bundle: dict[str, str], **options: Any) -> _Handle:
        assert options == {"raw": True, "display_id": True}
        shown.append(bundle)
        return _Handle(shown)

    module = ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    return shown


def test_a_bar_in_a_notebook_is_drawn_in_place_and_then_gone(notebook: list[dict[str, str]]) -> None:
    with Console().progress("training <1>") as update:
        for done in range(1, 1001):
            update(done, 1000)
    assert notebook[0]["text/plain"] == "training <1>"
    assert notebook[-2]["text/plain"] == "training <1> 1000/1000"
    assert notebook[-2]["text/html"] == '<progress value="1000" max="1000"></progress> training &lt;1&gt; 1000/1000'
    assert not any(notebook[-1].values())
    assert len(notebook) < 100, "not for each of a thousand steps"


def test_a_silent_console_says_nothing_in_a_notebook(notebook: list[dict[str, str]]) -> None:
    with Console(silent=True).progress("training") as update:
        update(1, 2)
    assert not notebook


def test_nothing_is_drawn_where_there_is_neither_terminal_nor_notebook() -> None:
    errors = StringIO()
    with Console(errors=errors).progress("training") as update:
        update(1, 2)
    assert errors.getvalue() == ""


HOSTILE = "x\x1b]0;owned\x07\x9b31m\u202e\u2066\u2028\ud800\x7f"
SHOWN = r"x\x1b]0;owned\x07\x9b31m\u202e\u2066\u2028\ud800\x7f"


def test_no_character_of_a_name_acts_on_the_terminal() -> None:
    output, errors = StringIO(), StringIO()
    console = Console(output=output, errors=errors)
    console.line(HOSTILE)
    console.note(HOSTILE)
    console.table([HOSTILE], [["a\tb\nc"]])
    console.diagnostics([Diagnostic("code", HOSTILE, None, HOSTILE, HOSTILE)])
    told = output.getvalue() + errors.getvalue()
    assert all(char.isprintable() or char == "\n" for char in told)
    assert told.count(SHOWN) == 6 and "a\\tb\\nc" in told


def test_a_table_on_a_terminal_is_escaped_too() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    output = Terminal()
    Console(output=output).table(["id"], [["\x1b[2Jx\u202e"]])
    assert "\x1b[2J" not in output.getvalue() and "\u202e" not in output.getvalue()
    assert r"\x1b[2Jx\u202e" in output.getvalue()


def test_json_holds_the_same_values_as_escapes() -> None:
    output = StringIO()
    Console(json=True, output=output).data({HOSTILE: ["\U000e0001", "M\xfcller"]})
    assert all(char.isprintable() or char == "\n" for char in output.getvalue())
    assert json.loads(output.getvalue()) == {HOSTILE: ["\U000e0001", "M\xfcller"]}
    assert "M\xfcller" in output.getvalue()


@pytest.mark.parametrize("text", [
    "plain", "two\nlines", "M\xfcller \u4e2d\u6587", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
])
def test_text_that_acts_on_nothing_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text
    assert ("\n" in in_one_line(text)) is False


def test_work_goes_on_when_its_output_cannot_be_written(tmp_path: Path) -> None:
    errors = StringIO()
    with Path("/dev/full").open("w") as full:
        console = Console(output=full, errors=errors)
        for _ in range(3):
            console.line("one")
            console.table(["a"], [["b"]])
    assert isinstance(console.lost, OSError)
    assert errors.getvalue().count("standard output cannot be written") == 1


def test_a_reader_who_leaves_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    errors = StringIO()
    with os.fdopen(writing, "w") as stream:
        console = Console(output=stream, errors=errors)
        console.line("one")
        console.data({})
    assert isinstance(console.lost, BrokenPipeError) and errors.getvalue() == ""


def test_streams_that_are_closed() -> None:
    output, errors = StringIO(), StringIO()
    output.close()
    errors.close()
    console = Console(output=output, errors=errors)
    console.line("one")
    console.note("two")
    console.table(["a"], [["b"]])
    with console.progress("three") as update:
        update(1, 2)
    assert console.lost is not None


def test_characters_that_a_stream_cannot_encode() -> None:
    raw = BytesIO()
    console = Console(output=TextIOWrapper(raw, encoding="ascii"))
    console.line("M\xfcller \u4e2d")
    assert raw.getvalue() == rb"M\xfcller \u4e2d" + b"\n"
