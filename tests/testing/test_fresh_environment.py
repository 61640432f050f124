"""The author's road by the real command line: one plugin of each kind, in an environment that knows none of them.

The environment is a new one that sees what is installed here; pip installs the packages into it, offline.
"""

from __future__ import annotations

import pytest
from fresh_python import Environment
from small_study import description, read_table, write_files

from fusionkit.components.kinds import KINDS

GRAPH = """\
fusionkit: 1
name: all-four
inputs:
  blood: {vector: [2]}
  history: {vector: [1], optional: true}
nodes:
  visual: {use: encoder.new_encoder, from: blood, with: {width: 8}}
  tabular: {chain: [{use: encoder.new_encoder, with: {width: 5}}, encoder.dropout], from: history}
  fused: {use: fusion.new_fusion, from: [visual, tabular], with: {width: 7}}
  result: {use: head.new_head, from: fused, with: {classes: [benign, malignant]}}
uncertainty: {use: uncertainty.new_uncertainty, with: {samples: 4}}
"""
DATA = description({"blood": "{read: columns, numeric: [a, b]}", "history": "{read: columns, numeric: [c]}"},
                   {"result": "kind"}, id_column="case")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment(tmp_path_factory.mktemp("fresh"))
    assert not [entry for entry in made.fusionkit("plugins", "list")["components"] if ".new_" in entry["id"]]
    made.commands(*(("plugins", "new", f"new-{kind}", "--kind", kind) for kind in KINDS))
    made.install(*(f"./fusionkit-new-{kind}" for kind in KINDS))
    return made


# Over ten seconds each: every command is a process of its own, which imports torch and whatever is installed.
pytestmark = pytest.mark.slow


def test_they_are_listed(environment: Environment) -> None:
    told = environment.fusionkit("plugins", "list")
    ids = {entry["id"] for entry in told["components"]}
    assert ids >= {f"{kind}.new_{kind}" for kind in KINDS}
    assert set(told["graphs"]) >= {f"new-{kind}" for kind in KINDS}
    assert not told["not_in_use"]


def test_they_pass_their_checks(environment: Environment) -> None:
    """One process for all: most of the time of a short check goes by in importing torch."""
    names = [f"fusionkit-new-{kind}" for kind in KINDS]
    code = f"from fusionkit.cli.parser import main; print([main(['plugins', 'check', name]) for name in {names}])"
    lines = environment.run("-c", code).splitlines()
    assert lines[-1] == str([0] * len(KINDS))
    counts = [line for line in lines if "not probed" in line and line.startswith(tuple("0123456789"))]
    assert len(counts) == len(KINDS)
    assert all(line.endswith(" ok, 0 failed, 0 excepted, 0 not probed") for line in counts)


def test_their_graphs_are_found_by_name(environment: Environment) -> None:
    assert environment.fusionkit("check", *(f"new-{kind}" for kind in KINDS))["ok"]


def test_they_are_known_to_be_installed_from_their_sources(environment: Environment) -> None:
    """Whose catalogue `plugins catalogue --write` writes without being given a name."""
    code = "from fusionkit.testing.distributions import editable_packages as found; print(*found())"
    assert {f"fusionkit-new-{kind}" for kind in KINDS} <= set(environment.run("-c", code).split())
    assert environment.fusionkit("plugins", "catalogue", "fusionkit-new-uncertainty", "--write")["fresh"]


def test_a_network_of_all_four_trains_and_predicts(environment: Environment) -> None:
    rows = ({"case": f"c{number}", "a": number % 3, "b": number % 5, "c": "" if number % 4 == 0 else number % 7,
             "kind": "benign" if number % 2 else "malignant",
             "split": ("train", "train", "validation", "test")[number // 2 % 4]} for number in range(16))
    write_files(environment.folder, rows, GRAPH, DATA)
    built, _, _ = environment.commands(
        ("build", "graph.yaml", "-o", "built"),
        ("train", "graph.yaml", "data.yaml", "-o", "run", "--epochs", "1", "--batch-size", "8", "--device", "cpu"),
        ("predict", "run", "data.yaml", "-o", "predictions.csv", "--device", "cpu"))
    assert built["heads"]["result"]["task"] == "multiclass"
    assert (environment.folder / "built" / "model.safetensors").is_file()
    predicted = read_table(environment.folder / "predictions.csv")
    assert len(predicted) == 16
    spreads = [float(value) for row in predicted for name, value in row.items() if "spread" in name]
    assert len(spreads) == 16 and max(spreads) > 0
