"""A study of bags of another size for every case: training, samples, subsets and explanations, with padding nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_study import description, write_files
from small_study import without_plots as without_plots
from tiny_study import write_study

import fusionkit
from fusionkit.errors import UserError
from fusionkit.inference.predict import Settings, predict
from fusionkit.runs.setup import set_up

GRAPH = """\
fusionkit: 1
name: bags
inputs:
  bag: {tokens: [null, auto], max: 9, optional: true}
  lab: {vector: [1], optional: true}
nodes:
  parts: {use: encoder.mlp, from: bag, with: {width: 4, hidden: [], norm: batch, dropout: 0.2}}
  whole: {use: fusion.attention_pool, from: parts}
  told: {use: encoder.mlp, from: lab, with: {width: 4, hidden: []}}
  both: {use: fusion.gmu, from: [whole, told], with: {width: 4}}
  result: {use: head.classify, from: both, with: {classes: ["no", "yes"]}}
uncertainty: {use: uncertainty.mc_dropout, with: {samples: 3}}
training: {epochs: 2, hold_out: 0, batch_size: 5, learning_rate: 0.01, device: cpu, modality_dropout: 0.3}
"""
DATA = description({"bag": "{read: numpy, path: '{file}'}", "lab": "{read: columns, numeric: [a]}"},
                   {"result": "result"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bags")
    rng = np.random.default_rng(5)
    cases = []
    for case in range(32):
        label, file = case % 2, "" if case == 7 else f"{case}.npy"
        if file:
            bag = rng.normal(label, size=(0 if case == 9 else int(rng.integers(1, 9)), 3))
            np.save(folder / file, bag.astype(np.float32))
        cases.append({"id": f"c{case}", "file": file, "a": f"{rng.normal(label):.3f}", "result": ("no", "yes")[label],
                      "split": ("train", "train", "validation", "test")[case // 2 % 4]})
    write_files(folder, cases, GRAPH, DATA)
    fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "run", quiet=True)
    return folder


def test_a_prediction_does_not_depend_on_what_a_case_is_padded_to(folder: Path):
    model = fusionkit.load(folder / "run")
    assert model.plan.inputs[0].shape.written == (None, 3)
    cohort = set_up(folder / "graph.yaml", folder / "data.yaml").cohort
    cases = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    alone, together = (predict(model, cases, None, Settings(batch_size=size, device="cpu"))["result"]
                       for size in (1, 32))
    np.testing.assert_allclose(alone.values, together.values, atol=1e-6)
    assert alone.valid.all() and together.valid.all()


@pytest.mark.parametrize("looped", [True, False])
def test_samples_are_drawn_with_the_masks(folder: Path, looped: bool):
    model = fusionkit.load(folder / "run")
    cohort = set_up(folder / "graph.yaml", folder / "data.yaml").cohort
    cases = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))
    found = predict(model, cases, model.plan.uncertainty, Settings(batch_size=8, device="cpu", looped=looped))
    variance = found["result"].measures["variance"]
    assert not variance[[7, 9]].any(), "without a bag nothing is random"
    assert (variance > 0).sum() > 20
    assert np.isfinite(found["result"].values).all()


def test_a_training_can_be_repeated_to_the_bit(folder: Path):
    fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "again", quiet=True)
    one, other = (load_file(folder / name / "model.safetensors") for name in ("run", "again"))
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_batches_by_length_train_as_well(folder: Path):
    fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "sorted", batches="by_length",
                    quiet=True)
    assert (folder / "sorted" / "model.safetensors").is_file()


def test_batches_by_length_need_lengths(tmp_path: Path):
    graph, data = write_study(tmp_path)
    with pytest.raises(UserError, match="no-lengths"):
        fusionkit.train(graph, data, output=tmp_path / "run", batches="by_length", quiet=True)


def test_every_subset_of_the_inputs_is_evaluated(folder: Path):
    fusionkit.evaluate(folder / "run", missing=True, quiet=True)
    assert (folder / "run" / "missing.csv").is_file()


def test_inputs_are_explained(folder: Path):
    fusionkit.explain(folder / "run", methods=["shapley", "tsne"], quiet=True)
    assert list((folder / "run" / "explain").iterdir())
