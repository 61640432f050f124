"""What people look at: bars on a terminal and in a notebook, and nothing where neither is."""

from __future__ import annotations

import sys
from io import StringIO
from types import ModuleType
from typing import Any

import pytest

from fusionkit.interface.console import Console


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
