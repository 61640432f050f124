"""What a training waits for: reading, changing or computing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_study import write_files

from fusionkit.cli.parser import main
from fusionkit.interface.speed import Speed

GRAPH = """\
fusionkit: 1
name: measured
inputs: {scan: {volume: [1, 3, 5, 7]}}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [3], output: pooled, norm: group}}
  result: {use: head.classify, from: seen, with: {classes: ["no", "yes"]}}
training: {device: cpu, batch_size: 4}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
inputs: {scan: {read: numpy, path: "{id}.npy"}}
targets: {result: {column: result}}
split: {column: split}
augment: {scan: {rotate: true}}
"""


def _cases(folder: Path) -> Iterator[dict[str, str]]:
    for case in range(8):
        np.save(folder / f"c{case}.npy", np.full((1, 3, 5, 7), case, np.float32))
        yield {"id": f"c{case}", "result": ("no", "yes")[case % 2], "split": "train" if case < 6 else "test"}


def test_doctor_measures_cases_and_names_what_is_slowest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path, _cases(tmp_path), GRAPH, DATA)
    assert main(["doctor", str(tmp_path / "data.yaml"), str(tmp_path / "graph.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["speed"]
    times = [found[name] for name in ("prepared", "changing", "computing")]
    assert found["cases"] == 6 and found["files"] > 0 and all(seconds > 0 for seconds in times)
    assert found[{"reading": "prepared"}.get(found["slowest"], found["slowest"])] == max(times)


def test_the_slowest_part_comes_with_advice() -> None:
    found = Speed(20, files=0.05, prepared=0.001, changing=0.03, computing=0.02, workers=0)
    assert found.lines()[0] == ("reading", "1.0 ms a case, 50.0 ms from its files in the first epoch")
    assert found.lines()[-1][0] == "slowest" and found.lines()[-1][1].startswith("changing: more --workers")
    assert Speed(20, None, 0.001, None, None, 0).lines() == [("reading", "1.0 ms a case")]
