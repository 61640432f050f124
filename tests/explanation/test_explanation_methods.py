"""Explanations by name: which run, with which options, what is refused, and several networks whose mean predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.explanations.gates import FusionGates, GatesConfig
from fusionkit_plugins.explanations.gradcam import GradCam, GradCamConfig
from fusionkit_plugins.explanations.shapley import shares
from made_networks import Cases as Made
from made_networks import network, registry
from matplotlib.figure import Figure
from small_study import GRAPH, train, write_study
from small_study import read_table as table
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.api import Config, Explanation
from fusionkit.cli.parser import main
from fusionkit.data.batch import collate
from fusionkit.errors import UserError
from fusionkit.evaluation.plots import style
from fusionkit.explaining import Cases, ChosenCase, ExplainedHead, Folder, HeadResult, NetworkView, RunPart, RunView
from fusionkit.explanation.methods import chosen_explanations
from fusionkit.inference.predict import Settings
from fusionkit.registry.lookup import discover

SETTINGS = Settings(batch_size=3, device="cpu")


class Telling:
    """Says what it is given."""

    def __init__(self, config: Config) -> None:
        pass

    def explain(self, run: RunView) -> dict[str, Any]:
        run.folder.table(["id"], [[name] for name in run.cases.ids], "told")
        return {"seed": run.seed, "draw": float(run.generator.random()), "inputs": list(run.network.inputs),
                "columns": run.cases.columns["scan"], "heads": [head.name for head in run.heads]}


class Broken(Telling):
    """Raises."""

    def explain(self, run: RunView) -> dict[str, Any]:
        raise ZeroDivisionError("by zero")


TELLING = Explanation("telling", Config, Telling, label="what it is given", writes=("tables",))
BROKEN = Explanation("broken", Config, Broken, label="nothing", writes=("tables",), place=1)


@pytest.fixture(autouse=True)
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not painted."""
    def save(figure: Figure, stem: Path, kinds: Any) -> list[Path]:
        written = [stem.with_name(stem.name + kind) for kind in kinds]
        for path in written:
            path.touch()
        return written

    monkeypatch.setattr(style, "save", save)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, GRAPH)
    return folder


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return train(study)


def test_bundled_ones_run_by_default_in_their_order() -> None:
    found = [each.declared.name for each in chosen_explanations([], {}, discover(components=[TELLING]))]
    assert found == ["gradcam", "tsne", "gates", "shapley"], "another package's only where it is named"


def test_a_method_of_others_is_given_the_run_and_is_named_by_python_and_command(run: Path, tmp_path: Path) -> None:
    made = fusionkit.explain(run, methods=["telling", "shapley"], components=[TELLING], output=tmp_path, quiet=True)
    assert [name for name in made.content if name in ("gradcam", "tsne", "gates", "shapley", "telling")] == [
        "shapley", "telling"]
    told = made.content["telling"]
    assert told["draw"] == np.random.default_rng(told["seed"]).random()
    assert told["inputs"] == ["lab", "scan"] and told["heads"] == ["result"]
    assert told["columns"] == ("d", "e", "f", "g", "site"), "a vector's values are named by their columns"
    assert [row["id"] for row in table(tmp_path / "told.csv")] == [row["id"] for row in table(run / "predictions.csv")]
    assert main(["explain", str(run), "--method", "gates", "explanation.shapley", "-o", str(tmp_path / "two")]) == 0
    told = json.loads((tmp_path / "two" / "explain.json").read_text())
    assert "gradcam" not in told and told["shapley"] == made.content["shapley"]
    assert "no gates: no fusion in this network has gates to report" in told["notes"]


def test_one_that_raises_is_told_and_costs_the_others_nothing(run: Path, tmp_path: Path) -> None:
    made = fusionkit.explain(run, methods=["broken", "telling"], components=[TELLING, BROKEN], output=tmp_path,
                             quiet=True)
    assert made.content["broken"] == [] and made.content["telling"]
    assert any(note.startswith("explanation.broken fails: ZeroDivisionError: by zero") for note in made.notes)


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["--method", "gradcm"], "unknown-component", "did you mean 'explanation.gradcam'?"),
    (["--method", "gates,gates"], "bad-method", "named twice"),
    (["--method", "tsne{nod: both}"], "unknown-option", "--method:1:6"),
    (["--method", "tsne{node: bth}"], "unknown-node", "did you mean 'both'?"),
    (["--method", "tsne{node: 7}"], "bad-option", "--method:1:12"),
    (["--method", "fusion.gmu"], "wrong-kind", ""),
    (["--method", "gates", "--node", "both"], "bad-argument", "no method that runs has an option 'node'"),
])
def test_what_is_wrong_is_refused_with_its_place(run: Path, arguments: list[str], code: str, says: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["explain", str(run), *arguments]) == 2
    found = capsys.readouterr().err
    assert f"[{code}]" in found and says in found, found


def test_an_option_that_is_written_wins_over_its_flag() -> None:
    first, = chosen_explanations(["tsne{node: both}"], {"node": "told"}, discover())
    second, = chosen_explanations(["tsne"], {"node": "told"}, discover())
    assert (first.config.node, second.config.node) == ("both", "told")  # type: ignore[attr-defined]
    with pytest.raises(UserError):
        chosen_explanations(["tsne{}", "tsne"], {}, discover())


TWO = {"scan": {"image": [1, 6, 7]}, "sheet": {"vector": [3], "optional": True}}
NODES = {"seen": {"use": "encoder.weighing", "from": "scan"}, "read": {"use": "encoder.mlp", "from": "sheet"},
         "joined": {"use": "fusion.gmu", "from": ["seen", "read"], "with": {"width": 5}},
         "kind": {"use": "head.classify", "from": "joined", "with": {"classes": ["a", "b"]}}}


def view_of(networks: tuple[NetworkView, ...], folder: Path) -> RunView:
    """A run of some networks, with results that do not matter here."""
    made = Made(networks[0].model)
    head = networks[0].plan.heads[0]
    result = HeadResult(head, np.tile([0.25, 0.75], (7, 1)), {}, np.ones(7, bool), np.zeros(7), np.zeros(7, bool))
    cases = Cases(tuple(map(str, range(7))), made, np.ones(7, bool), None, {"kind": result})
    part = RunPart(networks, cases, lambda head: np.array([0.5, 0.5]))
    return RunView((part,), cases, (ExplainedHead(head),), (ChosenCase(2, "kind", "here"),), Folder(folder))


def test_of_several_networks_the_mean_is_explained(tmp_path: Path) -> None:
    networks = tuple(NetworkView(network(TWO, NODES, seed), registry(), SETTINGS) for seed in (0, 1, 2))
    view = view_of(networks, tmp_path / "all")
    alone = [view_of((each,), tmp_path / str(place)) for place, each in enumerate(networks)]
    FusionGates(GatesConfig()).explain(view)
    for each in alone:
        FusionGates(GatesConfig()).explain(each)
    rows, *parts = ([[float(row["seen"]), float(row["read"])] for row in table(one.folder.path / "gates-joined.csv")]
                    for one in (view, *alone))
    np.testing.assert_allclose(rows, np.mean(parts, axis=0), atol=1e-5)
    whole = GradCam(GradCamConfig()).explain(view)[0]
    peaks = [GradCam(GradCamConfig()).explain(each)[0]["peak"] for each in alone]
    assert max(peaks) / 3 <= whole["peak"] <= np.mean(peaks) * (1 + 1e-5)


def test_mean_shapley_values_are_those_of_the_mean_prediction() -> None:
    """By hand for two inputs: half of each step of the mean of the networks' results."""
    networks = [NetworkView(network(TWO, NODES, seed), registry(), SETTINGS) for seed in (0, 1)]
    cases = Made(networks[0].model)
    every = [shares(each, cases, each.plan.heads, lambda head: np.array([0.5, 0.5]))[0]["kind"] for each in networks]
    batch = collate(list(cases))

    def mean(*keep: str) -> Any:
        return np.mean([each.answers(batch, keep)["kind"].values.numpy() for each in networks], axis=0)

    scan = ((mean("scan") - 0.5) + (mean("scan", "sheet") - mean("sheet"))) / 2
    np.testing.assert_allclose(np.mean([each.values[:, 0] for each in every], axis=0), scan, atol=1e-6)


def test_what_a_network_lacks() -> None:
    vector = {"use": "head.classify", "from": "sheet", "with": {"classes": ["a", "b"]}}
    one = NetworkView(network({"sheet": {"vector": [3]}}, {"kind": vector}), registry(), SETTINGS)
    assert one.lacks("maps") == ["the network reads no image or volume"]
    assert one.lacks("subsets") == ["the network has a single input"]
    assert one.lacks("gates") and not one.lacks("gradients")
    slices = network({"slices": {"items": {"image": [1, 9, 9]}}},
                     {"each": {"use": "encoder.each_item", "from": "slices"},
                      "one": {"use": "encoder.pool", "from": "each"}, "kind": {**vector, "from": "one"}})
    assert NetworkView(slices, registry(), SETTINGS).lacks("maps") == [
        "slices: several images of a case, and a map is that of one; gates and Shapley values say how much an input "
        "weighs"]
    whole = NetworkView(network(TWO, NODES), registry(), SETTINGS)
    assert not any(whole.lacks(need) for need in ("maps", "subsets", "gates", "gradients"))
    stopped = {"cut": {"use": "encoder.stopping", "from": "sheet"}, "kind": {**vector, "from": "cut"}}
    cut = NetworkView(network({"sheet": {"vector": [3]}}, stopped), registry(), SETTINGS)
    assert cut.lacks("gradients") == ["no gradient of a result reaches an input"]
    strict = {"joined": {"use": "fusion.strict", "from": {"left": "left", "right": "right"}},
              "kind": {**vector, "from": "joined"}}
    needing = NetworkView(network({name: {"vector": [3]} for name in ("left", "right")}, strict), registry(), SETTINGS)
    first, second = needing.lacks("subsets")
    assert first == "the network cannot run without some of its inputs:" and "absent-input" in second


def test_scores_take_repeated_cases_and_unused_inputs() -> None:
    view = NetworkView(network(TWO, {**NODES, "other": {**NODES["kind"], "from": "read"}}), registry(), SETTINGS)
    inputs = [tensor[[0, 0, 0, 0]].requires_grad_() for tensor in Made(view.model).inputs.values()]
    scores = view.scores("other")(*inputs, {"sheet": torch.tensor([True])})
    image, sheet = torch.autograd.grad(scores.sum(), inputs)
    assert scores.shape == (4, 2) and bool((image == 0).all()) and bool((sheet != 0).any())
