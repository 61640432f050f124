"""A frozen encoder of items runs once for each item of a case: in a comparison, and for samples of dropout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fusionkit_plugins.encoders.conv import Conv
from small_study import without_plots as without_plots
from small_study import write_files

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.comparison import tables
from fusionkit.comparison.shared_training import ways_taken
from fusionkit.data.batch import collate
from fusionkit.inference.sampler import Sampler
from fusionkit.interface import compare
from fusionkit.network.model import FusionModel
from fusionkit.runs.setup import set_up

GRAPH = """\
fusionkit: 1
inputs:
  views: {items: {image: [1, auto, auto]}, max: 4, optional: true}
  lab: {vector: [1]}
nodes:
  seen: {use: encoder.each_item, from: views, freeze: true, with: {encoder: {use: encoder.conv, with: {widths: [4]}}}}
  whole: {chain: [{use: encoder.mlp, with: {width: 16, hidden: [], dropout: 0.3}}, fusion.attention_pool], from: seen}
  told: {use: encoder.mlp, from: lab, with: {width: 16, hidden: []}}
  both: {use: fusion.sum, from: [whole, told]}
  result: {use: head.classify, from: both, with: {classes: ["no", "yes"]}}
training: {epochs: 2, batch_size: 4, hold_out: 0, device: cpu, batches: by_length}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs: {views: {read: numpy, path: "{file}"}, lab: {read: columns, numeric: [a]}}
targets: {result: {column: result}}
"""
COUNTS = tuple(0 if case == 5 else 1 + case % 4 for case in range(16))


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(3)
    rows = []
    for case, count in enumerate(COUNTS):
        if count:
            np.save(tmp_path / f"c{case}.npy", rng.normal(case % 2, 1, (count, 1, 3, 3)).astype(np.float32))
        part = ("train", "train", "validation", "test")[case // 2 % 4]
        rows.append({"id": f"c{case}", "file": f"c{case}.npy" if count else "", "a": f"{rng.normal():.3f}",
                     "result": ("no", "yes")[case % 2], "split": part})
    write_files(tmp_path, rows, GRAPH, DATA)
    monkeypatch.setattr(compare, "_write", tables.write_tables)
    return tmp_path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many items the encoder was given, call by call; measuring on the meta device does not count."""
    seen: list[int] = []
    forward = Conv.forward

    def counted(self: Conv, features: torch.Tensor) -> torch.Tensor:
        if features.device.type != "meta":
            seen.append(len(features))
        return forward(self, features)

    monkeypatch.setattr(Conv, "forward", counted)
    yield seen


def weights(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("model.safetensors"))}


def compared(study: Path, reuse: str) -> Path:
    assert main(["compare", str(study / "graph.yaml"), str(study / "data.yaml"), "--node", "both", "--with",
                 "fusion.mean", "-o", str(study / reuse), "--reuse", reuse, "--no-baselines"]) == 0
    return study / reuse / "runs"


def test_in_a_comparison_items_are_encoded_once(study: Path, encoded: list[int]) -> None:
    alone, items = compared(study, "nothing"), sum(encoded)
    encoded.clear()
    batches, of_batches = compared(study, "batches"), sum(encoded)
    encoded.clear()
    features, of_features = compared(study, "features"), sum(encoded)
    assert weights(batches) == weights(alone)
    assert weights(features).keys() == weights(alone).keys()
    # For the batches of both epochs, in place of once for each network and step of it; features once, and again for
    # the batches that are compared with these. How often batches are timed before a training depends on the machine.
    assert max(of_batches, of_features) < items / 2
    assert len(list((study / "features" / "features").glob("*.npy"))) == 1


def limited(study: Path, most: int) -> None:
    """Each item of a case in a file of its own, of which training takes a few."""
    for case, count in enumerate(COUNTS):
        for place, item in enumerate(np.load(study / f"c{case}.npy") if count else ()):
            (study / f"c{case}").mkdir(exist_ok=True)
            np.save(study / f"c{case}" / f"{place}.npy", item)
    (study / "data.yaml").write_text(DATA.replace('read: numpy, path: "{file}"', (
        'read: bag, of: {read: numpy}, path: "{id}/*.npy", missing_ok: true, most: ' + str(most))))


def test_where_epochs_draw_items_each_batch_is_encoded_once(study: Path, encoded: list[int]) -> None:
    limited(study, 3)
    alone, items = compared(study, "nothing"), sum(encoded)
    encoded.clear()
    shared, of_shared = compared(study, "auto"), sum(encoded)
    assert weights(shared) == weights(alone)
    assert of_shared < items / 2
    taken, = ways_taken(study / "auto")
    assert taken["taken"] == "batches" and "anew in every epoch" in taken["why"]


def test_a_limit_that_no_case_exceeds_changes_nothing(study: Path) -> None:
    limited(study, max(COUNTS))
    compared(study, "features")
    assert [each["taken"] for each in ways_taken(study / "features")] == ["features"]


def test_what_frozen_nodes_cannot_be_shared_for_is_said(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limited(study, 4)
    with (study / "data.yaml").open("a") as data:
        data.write("augment: {views: {noise: [0.0, 0.02]}}\n")
    compared(study, "features")
    said = "--reuse features: nothing; augmentation changes the inputs of frozen nodes in every epoch"
    assert said in capsys.readouterr().out


def test_for_samples_of_dropout_items_are_encoded_once(study: Path, encoded: list[int]) -> None:
    model: FusionModel = fusionkit.build(study / "graph.yaml", data=study / "data.yaml")
    cohort = set_up(study / "graph.yaml", study / "data.yaml").cohort
    cases = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    batch = collate([cases[place] for place in range(8)])
    encoded.clear()
    with torch.no_grad():
        run = Sampler(model.eval()).run(batch.inputs, batch.masks)
        drawn = list(run.samples(5))
    assert sum(encoded) == sum(COUNTS[:8])
    assert len(drawn) == 5 and not torch.equal(drawn[0]["result"], drawn[1]["result"])
