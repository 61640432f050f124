"""The three components hold to the contract; the rate of a study with a known one is found."""

from __future__ import annotations

import csv
import json
from importlib import import_module
from pathlib import Path

import fusionkit
import numpy as np
import pytest
import torch
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.packages import check_package

PARTS = [import_module(f"fusionkit_poisson_rate.{name}").component for name in ("rate", "poisson", "poisson_deviance")]
GRAPH = """\
fusionkit: 1
inputs: {lab: {vector: [1]}}
nodes:
  relapses: {use: head.poisson, from: lab, with: {events: [relapses]}}
training: {epochs: 60, batch_size: 50, learning_rate: 0.05, device: cpu}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: part}
inputs: {lab: {read: columns, numeric: [x], standardise: false}}
targets: {relapses: {count: count, exposure: years}}
"""


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.id)
def test_it_holds_to_the_contract(part: object) -> None:
    kit = Kit(part)
    for check in checks_of(part):
        finding = kit.finding(check)
        assert finding.result == "ok", str(finding)


def test_the_package_is_whole_and_its_catalogue_fresh() -> None:
    for finding in check_package("fusionkit-poisson-rate", components=False):
        assert finding.result == "ok", str(finding)


def test_the_deviance_by_hand() -> None:
    found = PARTS[2].module(None).of_column(type("Column", (), {"truth": np.array([0.0, 4.0]), "predicted": np.array(
        [1.0, 2.0])}), np.ones((2, 1)))
    assert found == pytest.approx([(2 * 1 + 2 * (4 * np.log(2) - 2)) / 2])


def test_the_loss_is_least_at_the_observed_rate() -> None:
    head = PARTS[1].module(PARTS[1].config(), [fusionkit.api.Vector((3,))])
    rates = torch.tensor([[1.9], [2.0], [2.1]]).log()
    losses = head.loss(rates, torch.tensor([[6.0, 3.0]] * 3))
    assert losses.argmin() == 1


@pytest.fixture
def study(tmp_path: Path) -> Path:
    random, rows = np.random.default_rng(5), []
    for case in range(240):
        x, years = random.normal(), random.uniform(1, 4)
        rows.append((f"c{case}", f"{x:.4f}", random.poisson(years * np.exp(0.5 + 0.7 * x)), f"{years:.3f}",
                     ("train", "train", "validation", "test")[case % 4]))
    for name, text in (("graph.yaml", GRAPH), ("data.yaml", DATA)):
        (tmp_path / name).write_text(text)
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "x", "count", "years", "part"), *rows])
    return tmp_path


def test_a_known_rate_is_found(study: Path) -> None:
    fusionkit.train(study / "graph.yaml", study / "data.yaml", output=study / "run", quiet=True)
    weights = fusionkit.load(study / "run").state_dict()
    (slope,), (start,) = (value.flatten().tolist() for value in weights.values())
    assert (slope, start) == (pytest.approx(0.7, abs=0.15), pytest.approx(0.5, abs=0.15))
    metrics = json.loads((study / "run" / "metrics.json").read_text())
    assert metrics["heads"]["relapses"]["metrics"]["poisson_deviance"]["value"] < 2


def test_wrong_cells_are_refused_with_their_row(study: Path) -> None:
    with (study / "cases.csv").open("a") as file:
        file.write("c240,0.5,2,0,train\n")
    with pytest.raises(fusionkit.errors.UserError) as caught:
        fusionkit.train(study / "graph.yaml", study / "data.yaml", output=study / "run", quiet=True)
    assert caught.value.diagnostics[0].code == "bad-exposure"
