"""The benchmark of training works, at small sizes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of Lightning, where it is installed
def test_steps_masks_and_files_are_measured_at_small_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import training

    try:
        found = training.main(["--small", "--part", "steps", "masked", "dicom", "--record",
                               str(tmp_path / "made.json")])
    finally:
        for name in ("training", "by_hand", "whole_commands", "evaluate_run"):
            sys.modules.pop(name)
    assert json.loads((tmp_path / "made.json").read_text(encoding="utf-8")).keys() == found.keys()
    for name in ("breast-cancer", "organs", "phantom"):
        row = found["steps"][name]
        assert row["ours_ms"] > 0 and "plain loop" in row["ratios"]
        assert all(low <= middle <= high for low, middle, high in row["ratios"].values())
        assert len(found["masked"][f"{name}, evaluation"]) == 3
    assert len(found["dicom"]["ours"]) == 6
