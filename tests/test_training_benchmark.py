"""The benchmark of training works, at small sizes."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import pytest

from fusionkit.cli.parser import parser

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


def test_whole_commands_are_called_with_options_that_they_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import whole_commands

    called: list[Namespace] = []

    def told(_: str, arguments: Sequence[str]) -> float:
        called.append(parser(arguments).parse_args(arguments))
        return 1.0

    monkeypatch.setattr(whole_commands, "told", told)
    monkeypatch.setattr(whole_commands, "study", lambda folder, cases: folder / "run")
    monkeypatch.setattr(whole_commands, "write_phantom", lambda *given: None)
    monkeypatch.setattr(whole_commands, "cpu_seconds", lambda command: float("fusionkit" not in command or bool(
        parser(command[3:]).parse_args(command[3:]))))
    try:
        for part in (whole_commands.start, whole_commands.finish, whole_commands.evaluate):
            assert all(set(seconds) == {1.0} for seconds in part(tmp_path, Namespace(small=True, rounds=1)).values())
    finally:
        for name in ("whole_commands", "evaluate_run"):
            sys.modules.pop(name)
    assert [each.plots for each in called[-2:]] == [True, False]
