"""docs/notebooks: each script still runs, and its page shows what it prints now, but for measured numbers.

Slow: every script trains its networks.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))


ROUNDED = ("the network overfitted after epoch", "train longer:")
"""What is said of a training of few epochs: the last bits of a processor decide which epoch is the best."""


def masked(text: str) -> list[list[str]]:
    """The words of every line; numbers and the units that follow them differ between machines."""
    return [re.sub(r"\d[\d,.]*( [kMG]?B\b| s\b| ms\b| min\b| h\b| minutes?\b)?", "N", line).replace("-", "").split()
            for line in text.splitlines() if line.strip() and not line.startswith(ROUNDED)]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_page_is_what_its_script_prints(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.setenv("COLUMNS", "110")
    tool = import_module("render_notebooks")
    assert masked(tool.render(script)) == masked(tool.page_of(script).read_text(encoding="utf-8"))
