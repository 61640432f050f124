"""The script that a person with a GPU runs works, on the CPU at small sizes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_everything_is_measured_at_small_sizes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["gpu_benchmark"] = script
    spec.loader.exec_module(script)
    found = script.main(["--small", "--device", "cpu", "--minutes", "30", "--out", str(tmp_path / "gpu.json")])
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8")) == found
    assert not found["failed"]
    assert {row["what"].partition(": ")[2].partition(",")[0] for row in found["rows"]} == {
        "", "training step", "prediction", "20 Monte Carlo samples", "training step with data loading"}
    assert all(row["low"] <= row["high"] for row in found["rows"])
