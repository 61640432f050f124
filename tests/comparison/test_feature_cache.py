"""The frozen nodes, and their results kept on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import GRAPH, write_study
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.comparison import feature_cache
from fusionkit.comparison.feature_cache import CachedCases, Source, compute
from fusionkit.comparison.frozen_nodes import edges, inputs_left, shareable_nodes
from fusionkit.network.build import plan
from fusionkit.runs.setup import set_up

NAMES = ("told", "seen")


def frozen_in(graph: dict, node: str = "both", dropping: bool = False) -> set[str]:
    return set(shareable_nodes(plan({"fusionkit": 1, **graph}), node, dropping))


FROZEN = {"use": "encoder.mlp", "freeze": True}


def two(**nodes: dict) -> dict:
    """Two frozen encoders that are fused, and other nodes, each with a head of its own."""
    heads = {f"of_{name}": {"use": "head.classify", "from": name, "with": {"classes": ["x", "y"]}} for name in nodes}
    return {"inputs": {"a": {"vector": [5]}, "b": {"vector": [7], "optional": True}}, "nodes": {
        "one": {**FROZEN, "from": "a"}, "two": {**FROZEN, "from": "b"}, **nodes,
        "both": {"use": "fusion.concat", "from": ["one", "two"], "with": {"availability": True}},
        **heads,
        "kind": {"use": "head.classify", "from": "both", "with": {"classes": ["x", "y"]}}}}


def test_frozen_nodes_stand_still_and_what_follows_the_node_does_not() -> None:
    assert frozen_in(two()) == {"one", "two"}
    assert frozen_in(two(late={**FROZEN, "from": "both"})) == {"one", "two"}


def test_what_learns_or_draws_or_follows_either_does_not() -> None:
    graph = two(learning={"use": "encoder.mlp", "from": "one"}, behind={**FROZEN, "from": "learning"},
                dropped={"use": "encoder.dropout", "from": "one", "with": {"rate": 0.5}},
                summed={"use": "fusion.sum", "from": ["one", "one"]})
    assert frozen_in(graph) == {"one", "two", "summed"}, "a sum has nothing to learn"


def test_what_will_learn_later_does_not() -> None:
    graph = two()
    graph["nodes"]["one"] = {"use": "encoder.mlp", "from": "a", "unfreeze": 2}
    assert frozen_in(graph) == {"two"}


def test_without_frozen_weights_there_is_nothing_to_win() -> None:
    graph = two(summed={"use": "fusion.sum", "from": ["a", "a"]})
    for name in ("one", "two"):
        graph["nodes"][name] = {**graph["nodes"][name], "freeze": False}
    assert not frozen_in(graph)


def test_what_gives_something_else_for_an_absent_input_does_not_while_inputs_are_dropped() -> None:
    graph = two(filled={"use": "encoder.placeholder", "from": "two", "freeze": True})
    assert frozen_in(graph) == {"one", "two", "filled"}
    assert frozen_in(graph, dropping=True) == {"one", "two"}


def test_edges_and_inputs_are_what_others_read() -> None:
    graph = two(extra={"use": "encoder.mlp", "from": "a"})
    made = plan({"fusionkit": 1, **graph})
    shared = shareable_nodes(made, "both")
    assert set(edges(made, shared)) == {"one", "two"}
    assert inputs_left(made, shared) == {"a"}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write_study(tmp_path, GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}"))
    setup = set_up(tmp_path / "graph.yaml", tmp_path / "data.yaml")
    cases = setup.cohort.dataset(setup.cohort.rows, setup.cohort.fit(setup.cohort.split_rows("train")))
    return Source(fusionkit.build(tmp_path / "graph.yaml", seed=3), cases, 13, torch.device("cpu"))


def test_features_are_what_the_network_gives(source: Source, tmp_path: Path) -> None:
    known = compute(source, NAMES, tmp_path / "features")
    assert known is not None
    rows = list(range(26, 39))  # the third batch
    case = [source.cases[row] for row in rows]
    inputs = {name: torch.stack([one["inputs"][name] for one in case]) for name in ("lab", "scan")}
    present = {"scan": torch.tensor([one["present"]["scan"] for one in case])}
    found = source.model.eval().results_at(NAMES, inputs, present)
    for name in NAMES:
        assert torch.equal(known.of(name, rows), found[name])
    assert not present["scan"].all()
    assert not known.of("seen", rows)[~present["scan"]].any(), "an absent row is zeros"


def test_results_given_stand_for_the_nodes_before_them(source: Source, tmp_path: Path) -> None:
    known = compute(source, NAMES, tmp_path / "features")
    assert known is not None
    model, whole = source.model.eval(), source.cases
    batch = fusionkit.data.batch.collate([whole[row] for row in range(13)])
    present = {"scan": batch.present["scan"]}
    wanted = model(batch.inputs, present)["result"]
    given = {name: known.of(name, list(range(13))) for name in NAMES}
    assert torch.equal(model(given, present)["result"], wanted)
    assert torch.equal(model({**given, "told": given["told"] + 1}, present)["result"], wanted) is False
    assert torch.equal(model({"lab": batch.inputs["lab"], "seen": given["seen"]}, present)["result"], wanted)
    with pytest.raises(ValueError, match="the input 'lab' is missing"):
        model({"seen": given["seen"]}, present)


def test_cases_with_features_read_no_input_that_nobody_reads(source: Source, tmp_path: Path) -> None:
    known = compute(source, NAMES, tmp_path / "features")
    assert known is not None
    some = fusionkit.data.dataset.CaseDataset(source.cases.ids, (7, 5), source.cases.inputs, source.cases.targets,
                                              cache=None)
    case = CachedCases(some, known, ("seen",), {"lab"})[1]
    assert set(case["inputs"]) == {"lab", "seen"}
    assert torch.equal(case["inputs"]["seen"], known.of("seen", [5])[0])
    assert case["present"] == {"lab": True, "scan": False}
    assert case["index"] == 5


def test_features_are_kept_until_something_changes(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                   ) -> None:
    asked: list[tuple[str, ...]] = []
    results = feature_cache.results_of
    monkeypatch.setattr(feature_cache, "results_of",
                        lambda source, names, places: asked.append(tuple(names)) or results(source, names, places))
    folder = tmp_path / "features"
    compute(source, NAMES, folder)
    count = len(asked)
    compute(source, NAMES, folder)
    assert len(asked) == count, "all is on disk"
    with torch.no_grad():
        next(source.model.get_submodule("seen").parameters()).add_(0.5)
    compute(source, NAMES, folder)
    assert set(asked[count:]) == {("seen",)}, "only what hangs on the changed weights is computed again"
    source.cases.inputs["lab"].vectors[4] += 1
    count = len(asked)
    compute(source, NAMES, folder)
    assert set(asked[count:]) == {("told",)}


def test_a_killed_computation_goes_on(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compute(source, NAMES, tmp_path / "whole")
    monkeypatch.setattr(feature_cache, "_SAVE_SECONDS", 0.0)
    done: list[int] = []

    def killed(rows: int, total: int) -> None:
        done.append(rows)
        if rows == 39:
            raise KeyboardInterrupt

    folder = tmp_path / "features"
    with pytest.raises(KeyboardInterrupt):
        compute(source, NAMES, folder, killed)
    left = json.loads(next(folder.glob("*.json")).read_text())
    assert left["rows"] == 26, "what was not saved is not taken for done"
    done.clear()
    again = compute(source, NAMES, folder, lambda rows, total: done.append(rows))
    assert done == [39, 52, 65, 66]
    assert whole is not None and again is not None
    for name in NAMES:
        assert np.array_equal(whole.arrays[name], again.arrays[name])
    assert {path.suffix for path in folder.iterdir()} == {".npy"}


def test_features_without_room_are_not_kept(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = feature_cache.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert compute(source, NAMES, tmp_path / "features") is None
