"""The walk in Python: every block runs, in order, and gives what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.network.model import FusionModel

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small networks are trained, one of them twice, and everything is asked of one: some fifteen seconds."""
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    for number, block in enumerate(blocks):
        exec(compile(block, f"docs/python.md, block {number + 1}", "exec"), known)
    assert 0 <= known["auroc"] <= 1
    alone = [row["inputs"][0] for row in known["alone"] if row["metric"] == "auroc"]
    assert sorted(alone) == ["errors", "means", "worst"]
    assert known["predictions"].results["diagnosis"].values.shape == (569, 2)
    assert {row["name"] for row in known["comparison"].rows()} >= {"fusion.sum"}
    assert known["comparison"].report.is_file()
    assert known["explained"].files
    assert isinstance(known["trained"], FusionModel)
    assert known["fix"] == "did you mean 'epochs'?"
    assert sum(known["costs"].values()) == sum(weight.numel() for weight in known["model"].parameters())


def test_it_names_every_verb() -> None:
    verbs = [name for name in fusionkit.__all__ if name.islower() and name != "optimize"]
    assert [verb for verb in verbs if f"`{verb}`" not in PAGE] == []
