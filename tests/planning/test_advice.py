"""What components say of how they are used: shown by build at the node, and no fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from odd_components import Double, Nothing
from torch import nn

import fusionkit
from fusionkit.api import Config, Encoder, TensorShape, WeightsFolder, weights_folder
from fusionkit.cli.parser import main
from fusionkit.errors import Diagnostic
from fusionkit.planning.frozen_weights import frozen_random
from fusionkit.planning.plan import Plan, advice_of
from fusionkit.training.placeholder_advice import untrained

GRAPH = """\
fusionkit: 1
inputs: {a: {vector: [8]}, b: {vector: [8]}}
nodes:
  asked: {use: fusion.cross_attention, from: [a, b]}
  kind: {use: head.classify, from: asked, with: {classes: [x, y]}}
"""


def planned(use: str, inputs: dict[str, Any], **options: Any) -> Plan:
    names = list(inputs)
    return fusionkit.plan({"fusionkit": 1, "inputs": inputs, "nodes": {
        "met": {"use": use, "from": names, "with": options}, "flat": {"use": "fusion.concat", "from": "met"},
        "out": {"use": "head.regress", "from": "flat", "with": {"values": ["v"]}}}}, measured=False)


VECTORS = {"a": {"vector": [8]}, "b": {"vector": [8]}}
TOKENS = {"a": {"vector": [8]}, "b": {"tokens": [3, 8]}}
THREE = VECTORS | {"c": {"vector": [8]}}


@pytest.mark.parametrize(("use", "inputs", "options", "warned"), [
    ("fusion.cross_attention", VECTORS, {}, True),
    ("fusion.cross_attention", {"a": {"vector": [8]}, "b": {"tokens": [1, 8]}}, {}, True),
    ("fusion.cross_attention", VECTORS, {"vector_to_tokens": 3}, False),
    ("fusion.cross_attention", TOKENS, {}, False),
    ("fusion.cross_attention", THREE, {}, False),
    ("fusion.cross_attention", THREE, {"mode": "pairs"}, True),
    ("fusion.cross_attention", THREE, {"mode": "hub"}, True),
    ("fusion.msca_attention", VECTORS, {}, True),
    ("fusion.msca_attention", TOKENS, {}, False),
    ("fusion.msca", VECTORS, {}, True),
    ("fusion.msca", TOKENS, {}, True),
    ("fusion.msca", THREE, {}, False),
    ("fusion.simple_fuse", VECTORS, {}, True),
    ("fusion.simple_fuse", THREE, {}, False),
    ("fusion.gmu", VECTORS, {}, False),
], ids=lambda value: value if isinstance(value, str) else "")
def test_attention_to_a_single_key_is_advised_against(
        use: str, inputs: dict[str, Any], options: dict[str, Any], warned: bool) -> None:
    found = [warning for warning in advice_of(planned(use, inputs, **options)) if use in warning.message]
    assert [warning.severity for warning in found] == ["warning"] * warned
    assert all("single key" in warning.message for warning in found)


def test_build_shows_advice_at_its_place_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "g.yaml"
    graph.write_text(GRAPH)
    assert main(["build", str(graph), "-o", str(tmp_path / "built")]) == 0
    told = capsys.readouterr().err
    assert f"{graph}:4:16: warning: fusion.cross_attention: " in told and told.count("warning") == 1
    assert (tmp_path / "built" / "model.safetensors").is_file()
    assert main(["build", str(graph), "--json"]) == 0
    (advice,) = json.loads(capsys.readouterr().out)["advice"]
    assert (advice["code"], advice["where"]["line"], advice["severity"]) == ("advice", 4, "warning")


def advised(advice: Any) -> Plan:
    doubled = Encoder("doubled", Nothing, Double, rule="B _ -> ?", advice=advice)
    return fusionkit.plan({"fusionkit": 1, "inputs": {"a": {"vector": [3]}, "b": {"vector": [3]}}, "nodes": {
        "twice": {"chain": [{"use": "encoder.dropout"}, {"use": "encoder.doubled"}], "from": ["a", "b"], "each": True},
        "flat": {"use": "fusion.concat", "from": "twice"},
        "out": {"use": "head.regress", "from": "flat", "with": {"values": ["v"]}}}}, components=[doubled])


def test_one_sentence_for_each_place_in_the_file() -> None:
    def say(config: Nothing, inputs: Sequence[TensorShape]) -> list[str]:
        return [f"{len(inputs)} of {inputs[0].width}"]

    (found,) = advice_of(advised(say))  # two lanes of `each`, one step in the file
    assert found.message == "encoder.doubled: 1 of 3"
    assert found.span is not None and "encoder.doubled" in found.span.text


def test_a_component_that_fails_to_advise_stops_nothing() -> None:
    def fail(config: Nothing, inputs: Sequence[TensorShape]) -> list[str]:
        raise KeyError("width")

    (found,) = advice_of(advised(fail))
    assert (found.code, found.severity) == ("component-failed", "warning")


def stand_in(value: str = "learned", **node: Any) -> Plan:
    return fusionkit.plan({"fusionkit": 1, "inputs": {"a": {"vector": [3], "optional": True}, "b": {"vector": [3]}},
                           "nodes": {"filled": {"use": "encoder.placeholder", "from": "a", "with": {"value": value}}
                                     | node, "flat": {"use": "fusion.concat", "from": ["filled", "b"]},
                                     "out": {"use": "head.regress", "from": "flat", "with": {"values": ["v"]}}}})


def test_a_stand_in_that_no_case_uses_is_told() -> None:
    (found,) = untrained(stand_in(), lambda name: False)
    assert found.code == "untrained-stand-in" and "'a'" in found.message and found.severity == "warning"
    assert not untrained(stand_in(), lambda name: name == "a")
    assert not untrained(stand_in("mean"), lambda name: False), "a mean needs no absent cases"
    assert not untrained(stand_in(freeze=True), lambda name: False)
    tokens = {"use": "encoder.tip_table", "with": {"width": 8, "output": "vector"}}
    assert not untrained(stand_in(**tokens), lambda name: False), "blank cells teach it what a missing table is"


def test_train_tells_of_stand_ins_unless_training_drops_inputs(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cases.csv").write_text("id,p,q,y\n" + "".join(f"{n},{n},{n % 3},{n % 2}\n" for n in range(12)))
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n  a: {read: columns, numeric: [p]}\n"
        "  b: {read: columns, numeric: [q]}\ntargets: {out: {columns: [y]}}\n")
    (tmp_path / "g.yaml").write_text(
        "fusionkit: 1\ninputs: {a: {vector: [1], optional: true}, b: {vector: [1]}}\nnodes:\n"
        "  filled: {use: encoder.placeholder, from: a}\n  flat: {use: fusion.concat, from: [filled, b]}\n"
        "  out: {use: head.regress, from: flat, with: {values: [y]}}\ntraining: {epochs: 1}\n")
    for folder, more, count in (("one", [], 1), ("two", ["--modality-dropout", "0.5"], 0)):
        assert main(["train", str(tmp_path / "g.yaml"), str(tmp_path / "data.yaml"), "-o", str(tmp_path / folder),
                     *more]) == 0
        assert capsys.readouterr().err.count("[untrained-stand-in]") == count


class Source(Config):
    pretrained: bool = False
    folder: WeightsFolder | None = weights_folder()


class Weighted(nn.Linear):
    def __init__(self, config: Source, inputs: Sequence[TensorShape]) -> None:
        super().__init__(inputs[0].width, 3)


def frozen(use: str = "encoder.weighted", **node: Any) -> list[Diagnostic]:
    known = [Encoder("weighted", Source, Weighted, rule="B d -> B 3")]
    return frozen_random(fusionkit.plan({"fusionkit": 1, "inputs": {"a": {"vector": [5]}}, "nodes": {
        "seen": {"use": use, "from": "a", "freeze": True} | node,
        "out": {"use": "head.regress", "from": "seen", "with": {"values": ["v"]}}}}, components=known))


def test_a_frozen_node_of_random_weights_is_told_with_the_ways_out(capsys: pytest.CaptureFixture[str], tmp_path: Path
                                                                   ) -> None:
    (found,) = frozen()
    assert (found.code, found.severity) == ("frozen-random", "warning")
    assert found.message == "node 'seen' is frozen, and its 18 weights are random"
    assert found.fix == ("write 'weights: FILE' on the node, or 'pretrained: true' or 'folder: FOLDER' under 'with', "
                         "or remove 'freeze: true' so that it learns")
    assert not frozen(use="encoder.dropout") and not frozen(freeze=False)
    assert not frozen(weights="some.safetensors") and not frozen(**{"with": {"pretrained": True}})
    graph = tmp_path / "g.yaml"
    graph.write_text("fusionkit: 1\ninputs: {a: {vector: [5]}}\nnodes:\n"
                     "  seen: {use: encoder.mlp, from: a, freeze: true}\n"
                     "  out: {use: head.regress, from: seen, with: {values: [v]}}\n")
    for command in ("check", "build"):
        assert main([command, str(graph)]) == 0
        assert capsys.readouterr().err.count(f"{graph}:4:3: warning: node 'seen' is frozen, and its") == 1
