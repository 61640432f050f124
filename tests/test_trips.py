"""tools/trips.py: what counts as a return from one module to another, and that its journeys run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

TOOL = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "trips.py"))


def test_a_return_counts_between_modules_and_between_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"__init__.py": "", "top.py": "from up.a.one import one\ndef go(): one(); one()\n", "a/__init__.py": "",
             "a/one.py": "from up.a.two import two\ndef one(): two(); here()\ndef here(): pass\n",
             "a/two.py": "def two(): inner()\ndef inner(): return sorted([])\n"}
    for name, text in files.items():
        path = tmp_path / "up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    watch = TOOL["Trips"](tmp_path / "up")

    def journey() -> None:
        from up.top import go  # type: ignore[import-not-found]  # made above

        go()

    sys.setprofile(watch)
    try:
        journey()
    finally:
        sys.setprofile(None)
    assert watch.figures() == {"modules": 3, "packages": 2, "returns between modules": 4,
                               "returns between packages": 2, "pairs of modules": 2, "pairs of functions": 2}


def test_loading_a_case_enters_the_readers_and_comes_back(tmp_path: Path) -> None:
    TOOL["write_study"](tmp_path)
    watch: Any = TOOL["measured"](TOOL["journeys"](tmp_path)["load one case"])
    assert "data/readers/reader.py" in watch.modules
    # About a sixth above what it is; each check of the table, the labels and the files is a call and a return.
    assert watch.figures()["returns between modules"] < 335, "loading a case has become a longer trip"
