"""The schema of graph files: takes what the reader takes, refuses what it can, and explains every option."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from odd_components import registry as odd_registry
from pydantic import BaseModel, ConfigDict, Field

from fusionkit.api import Config, Encoder
from fusionkit.components.kinds import KIND_TABLE
from fusionkit.errors import GraphError
from fusionkit.graph import builder
from fusionkit.graph.builder import NODE_KEYS, STEP_KEYS, TOP_KEYS, from_tree
from fusionkit.graph.inputs import INPUT_KEYS
from fusionkit.planning.json_schema import NAME, graph_schema
from fusionkit.planning.resolve import resolve
from fusionkit.registry.catalogue import Entry
from fusionkit.registry.lookup import Provider, Registry, discover
from fusionkit.syntax.reader import read, read_file
from fusionkit.syntax.tree import to_plain
from fusionkit.syntax.writer import write
from fusionkit.training.settings import TrainingSettings

REGISTRY = discover()
SCHEMA = graph_schema(REGISTRY, TrainingSettings)
VALIDATOR = Draft202012Validator(SCHEMA)
GOOD = sorted((Path(__file__).parents[1] / "graphs" / "good").glob("*.yaml"))

BASE = """
fusionkit: 1
inputs:
  ct: {volume: [1, 5, 7, 11]}
  ehr: {vector: [7], optional: true}
nodes:
  lungs: {use: encoder.conv, from: ct, with: {widths: [4, 8]}, freeze: true}
  clinic: {chain: [{use: encoder.mlp, with: {width: 13}}, encoder.dropout], from: ehr}
  fused: {use: fusion.gmu, from: [lungs, clinic]}
  grade: {use: head.classify, from: fused, loss: 0.5, with: {classes: [low, high]}}
uncertainty: {use: uncertainty.mc_dropout, with: {samples: 3}}
training: {epochs: 3}
"""


def faults(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(to_plain(read(text)))]


def refused_by_reader(text: str) -> bool:
    try:
        resolve(from_tree(read(text)), REGISTRY)
    except GraphError:
        return True
    return False


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert "$comment" not in SCHEMA


def test_every_good_graph_is_accepted() -> None:
    files = [*REGISTRY.graphs.values(), *GOOD]
    assert len(files) >= 3
    validator = Draft202012Validator(graph_schema(odd_registry(), TrainingSettings))
    found = {path.name: [error.message for error in validator.iter_errors(to_plain(read_file(path)))]
             for path in files}
    assert {name: messages for name, messages in found.items() if messages} == {}


@pytest.mark.parametrize(("old", "new"), [
    ("[1, 5, 7, 11]", "auto"), ("[1, 5, 7, 11]", "[1, auto, 7, auto]"), ("name", "name"),
    ("from: ct", "from: [ct]"), ("from: ct", "from: {features: ct}"), ("from: ct", "from: {features: [ct]}"),
    ("from: fused", "from: fused.f1"), ("with: {widths: [4, 8]}", "with: null"), (", with: {widths: [4, 8]}", ""),
    ("freeze: true", "each: true, share: true"), ("freeze: true", "rate: 0.1, unfreeze: 5"),
    ("freeze: true", "weights: lungs.safetensors#net"),
    ("freeze: true", "share: false"), ("training: {epochs: 3}", "description: An example"),
    ("training: {epochs: 3}", "training: {monitor: auroc}"), ("training: {epochs: 3}", "training: {monitor: loss}"),
    ("training: {epochs: 3}", "training: {monitor: {use: metric.auroc}}"),
    ("optional: true", "optional: false"), ("loss: 0.5", "loss: 0"),
])
def test_what_the_reader_takes_is_accepted(old: str, new: str) -> None:
    text = BASE.replace(old, new)
    from_tree(read(text))
    assert faults(text) == []


@pytest.mark.parametrize(("old", "new"), [
    ("fusionkit: 1", "fusionkit: 2"), ("fusionkit: 1", "name: x"), ("training:", "trainig:"),
    ("training: {epochs: 3}", "training: {monitor: aurocc}"),
    ("training: {epochs: 3}", "training: {monitor: {use: fusion.sum}}"),
    ("volume: [1, 5, 7, 11]", "volume: [5, 7, 11]"), ("volume: [1, 5, 7, 11]", "volume: [1, 5, 7, 0]"),
    ("volume: [1, 5, 7, 11]", "volume: 1"), ("volume: [1, 5, 7, 11]", "volume: [1, 5, 7, big]"),
    ("volume: [1, 5, 7, 11]", "volume: auto, image: auto"), ("volume: [1, 5, 7, 11]", "optional: true"),
    ("vector: [7]", "vectors: [7]"), ("optional: true", "optional: yes"),
    ("encoder.conv", "encoder.cnv"), ("encoder.conv", "uncertainty.none"), ("encoder.conv", "torch.nn.Linear"),
    ("widths: [4, 8]", "width: 4"), ("widths: [4, 8]", "widths: [0]"), ("widths: [4, 8]", "widths: 4"),
    ("with: {classes: [low, high]}", "with: {classes: [low]}"), (", with: {classes: [low, high]}", ""),
    ("{width: 13}", "{width: wide}"), ("encoder.dropout]", "encoder.drop]"), ("encoder.dropout]", "head.classify]"),
    ("{chain: [", "{with: {}, chain: ["), ("{chain: [", "{use: encoder.mlp, chain: ["), (", from: ehr", ""),
    ("freeze: true", "share: true"), ("freeze: true", "rate: 0"), ("freeze: true", "freeze: true, unfreeze: 2"),
    ("freeze: true", "loss: 2"), ("loss: 0.5", "loss: -1"),
    ("loss: 0.5", "each: true"), ("freeze: true", "freeze: 1"), ("from: ct", "from: []"), ("from: ct", "from: 3"),
    ("from: ct", "from: .f1"), ("  lungs:", "  1ungs:"), ("  lungs:", "  forward:"),
    ("uncertainty.mc_dropout", "head.classify"),
    ("samples: 3", "samples: 1"), ("epochs: 3", "epoch: 3"), ("epochs: 3", "epochs: 0"),
])
def test_what_is_wrong_is_refused(old: str, new: str) -> None:
    text = BASE.replace(old, new, 1)
    assert text != BASE and faults(text)
    # The reader leaves the section `training` to the command that needs it.
    assert refused_by_reader(text) or "epoch" in new or "monitor" in new


def test_keys_are_those_of_the_reader() -> None:
    defs = SCHEMA["$defs"]
    assert tuple(SCHEMA["properties"]) == TOP_KEYS
    assert tuple(defs["node"]["properties"]) == NODE_KEYS
    assert tuple(defs["uncertainty"]["properties"]) == STEP_KEYS
    assert tuple(defs["step"]["anyOf"][1]["properties"]) == STEP_KEYS
    assert tuple(defs["input"]["properties"]) == INPUT_KEYS
    assert builder._NAME.pattern == NAME


def test_everything_has_a_description() -> None:
    defs = SCHEMA["$defs"]
    assert all(SCHEMA["properties"][key]["description"] for key in TOP_KEYS)
    assert all(defs["node"]["properties"][key].get("description") or "$ref" in defs["node"]["properties"][key]
               for key in NODE_KEYS)
    for name in [*REGISTRY.ids, "training"]:
        options = defs[name].get("properties", {})
        assert all(option.get("description") and option.get("markdownDescription") for option in options.values())
    assert len(defs["training"]["properties"]) == len(TrainingSettings.model_fields)


def test_every_component_is_offered_with_its_summary() -> None:
    nodes, methods = SCHEMA["$defs"]["node"]["properties"]["use"], SCHEMA["$defs"]["uncertainty"]["properties"]["use"]
    named = [name for key in ("monitor", "method") for name in SCHEMA["$defs"][key]["properties"]["use"]["enum"]]
    elsewhere = [entry.id for entry in REGISTRY.entries
                 if not KIND_TABLE[entry.kind].in_graph]
    assert sorted(nodes["enum"] + methods["enum"] + named + elsewhere) == REGISTRY.ids
    offered = dict(zip(nodes["enum"], nodes["markdownEnumDescriptions"], strict=True))
    assert offered["fusion.gmu"].startswith("Gated multimodal unit")
    assert "Default: `64`" in SCHEMA["$defs"]["fusion.gmu"]["properties"]["width"]["markdownDescription"]


def test_no_reference_leads_nowhere() -> None:
    def refs(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(refs, value.values()))
        return set().union(*map(refs, value)) if isinstance(value, list) else set()

    assert {ref.removeprefix("#/$defs/") for ref in refs(SCHEMA)} <= set(SCHEMA["$defs"])


class Window(BaseModel):
    low: int = Field(description="Lower end.")


class _WindowConfig(Config):
    window: Window = Field(description="What is kept.")
    title: str = Field("none", description="An option that is called as a keyword of JSON schema is.")


class _OtherConfig(Config):
    window: Window | None = Field(None, description="What is kept.")


class _OddConfig(Config):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    odd: Draft202012Validator | None = Field(None, description="A type that no JSON schema can name.")


def _encoder(name: str, config: type[Config]) -> Encoder:
    return Encoder(name, config, lambda config, inputs: None, rule="B _ -> same")


def test_nested_options_are_kept_apart() -> None:
    registry = discover(components=[_encoder("one", _WindowConfig), _encoder("two", _OtherConfig)])
    schema = graph_schema(registry)
    defs = schema["$defs"]
    assert defs["encoder.one.Window"]["properties"]["low"] and defs["encoder.two.Window"]
    assert set(defs["encoder.one"]["properties"]) == {"window", "title"}
    good = {"fusionkit": 1, "inputs": {"a": {"vector": [3]}}, "nodes": {
        "x": {"use": "encoder.one", "from": "a", "with": {"window": {"low": 3}}},
        "y": {"use": "encoder.two", "from": "x"},
        "z": {"use": "head.regress", "from": "y", "with": {"values": ["v"]}}}}
    validator = Draft202012Validator(schema)
    assert validator.is_valid(good)
    good["nodes"]["x"]["with"]["window"]["low"] = "three"
    assert not validator.is_valid(good)


def test_without_training_settings_the_section_is_free() -> None:
    validator = Draft202012Validator(graph_schema(REGISTRY))
    assert validator.is_valid(to_plain(read(BASE.replace("epochs: 3", "anything: [1]"))))


def test_what_cannot_be_used_is_left_out_with_a_note() -> None:
    broken = Entry("encoder.broken", "other", "no_such_module_anywhere", "", "B _", "skip", "", "", "", ())
    missing = Entry("encoder.missing", "other", "m", "", "B _", "skip", "", "", "", ("no-such-package",))
    other = Provider("other", "other", "1.0", (broken, missing))
    odd = discover(components=[_encoder("odd", _OddConfig)])
    schema = graph_schema(Registry([*odd.providers, other]))
    assert {"encoder.broken", "encoder.missing", "encoder.odd"}.isdisjoint(schema["$defs"])
    assert "encoder.mlp" in schema["$defs"]
    note = schema["$comment"]
    assert "encoder.broken" in note and "encoder.missing needs no-such-package" in note and "encoder.odd" in note


def test_a_registry_of_nothing_still_gives_a_schema() -> None:
    schema = graph_schema(Registry([]))
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(to_plain(read(BASE)))


def test_a_written_graph_is_accepted() -> None:
    from fusionkit.network.build import plan
    from fusionkit.planning.write_graph import written

    data = written(plan(to_plain(read(BASE)), registry=REGISTRY, measured=False))
    assert faults(write(data)) == []
