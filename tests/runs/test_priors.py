"""Probabilities after `balance: classes` are those of the cases as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import description, read_table, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.errors import GraphError
from fusionkit.network.optional_inputs import all_optional
from fusionkit.registry.lookup import discover

GRAPH = """\
fusionkit: 1
name: rare
inputs: {table: {vector: [1]}}
nodes:
  result: {use: head.classify, from: table, with: {classes: ["no", "yes"]}}
training: {epochs: 30, batch_size: 100, learning_rate: 0.3, device: cpu, hold_out: 0, balance: classes,
           schedule: constant, weight_decay: 0}
"""
DATA = description({"table": "{read: columns, numeric: [a], standardise: false}"}, {"result": "result"})


def cases() -> Iterator[dict[str, object]]:
    """One case in ten is positive; the log odds are those of two normal distributions a distance of 2 apart."""
    rng = np.random.default_rng(3)
    for case in range(2000):
        label = int(case % 10 == 0)
        yield {"id": f"c{case}", "a": f"{rng.normal(2 * label):.4f}", "result": ("no", "yes")[label],
               "split": "test" if case >= 1000 else "train"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_files(tmp_path_factory.mktemp("priors"), cases(), GRAPH, DATA)
    fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "run", quiet=True)
    return folder


def test_probabilities_are_calibrated_after_balanced_sampling(study: Path) -> None:
    rows = read_table(study / "run" / "predictions.csv")
    chance = np.array([float(row["result:yes"]) for row in rows])
    assert chance.mean() == pytest.approx(0.1, abs=0.015)
    record = json.loads((study / "run" / "run.json").read_text())["priors"]["result"]
    assert record == {"classes": ["no", "yes"], "training": [0.9, 0.1], "drawn": [0.5, 0.5]}
    # The true log odds are 2 a - 2 + log(1 / 9).
    values = {row["id"]: float(row["a"]) for row in read_table(study / "cases.csv")}
    truth = 1 / (1 + np.exp(-(2 * np.array([values[row["id"]] for row in rows]) - 2 - np.log(9))))
    assert np.abs(chance - truth).mean() < 0.02


def test_a_loaded_network_corrects_and_its_head_does_not(study: Path) -> None:
    model = fusionkit.load(study / "run")
    with torch.inference_mode():
        output = model({"table": torch.tensor([[0.0], [1.0], [2.5]])})["result"]
        plain, corrected = model.head("result").decode(output), model.decode_output("result", output)
    odds = (corrected[:, 1] / corrected[:, 0]) / (plain[:, 1] / plain[:, 0])
    assert odds.tolist() == pytest.approx([1 / 9] * 3, rel=1e-4)
    assert all_optional(model, discover()).class_priors == {"result": pytest.approx((1.8, 0.2))}
    made = fusionkit.evaluate(study / "run", output=study / "again", quiet=True)
    assert (study / "again" / "predictions.csv").read_text() == (study / "run" / "predictions.csv").read_text()
    assert abs(made.reports[0].metrics["intercept"].value or 9) < 0.5


@pytest.mark.parametrize("shift", [
    {"classes": ["no"], "training": [1.0], "drawn": [1.0]}, {"classes": ["no", "yes"], "training": [0.9, "x"]},
    {"classes": ["a", "b", "c"], "training": [0.2, 0.3, 0.5], "drawn": [0.4, 0.3, 0.3]},
])
def test_a_record_that_does_not_fit_is_refused(study: Path, shift: dict[str, object]) -> None:
    path = study / "run" / "run.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "priors": {"result": shift}}))
    try:
        with pytest.raises(GraphError, match="no-run"):
            fusionkit.predict(study / "run", study / "data.yaml", quiet=True)
    finally:
        path.write_text(before)
