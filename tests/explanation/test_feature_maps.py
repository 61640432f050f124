"""The maps that are found in a network: which module gives them, and from which inputs they come."""

from __future__ import annotations

import pytest
import torch
from made_networks import network

from fusionkit.errors import Diagnostic
from fusionkit.explanation.feature_maps import MOST_AT_ONCE, FeatureMap, Survey
from fusionkit.network.model import FusionModel

HEAD = {"use": "head.classify", "from": "joined", "with": {"classes": ["a", "b", "c"]}}


def conv(source: str, **options: object) -> dict[str, object]:
    return {"use": "encoder.conv", "from": source, "with": {"widths": [3, 5], "blocks": 0, **options}}


@pytest.fixture(scope="module")
def mixed() -> FusionModel:
    """An image whose encoder gives a map, a volume whose encoder gives a vector, and a table."""
    return network(
        {"scan": {"image": [1, 11, 13]}, "ct": {"volume": [2, 5, 7, 11]}, "table": {"vector": [3]}},
        {"seen": conv("scan", output="map"), "small": {"use": "encoder.pool", "from": "seen"},
         "deep": conv("ct"), "clinic": {"use": "encoder.mlp", "from": "table", "with": {"width": 5}},
         "joined": {"use": "fusion.concat", "from": ["small", "deep", "clinic"]}, "kind": HEAD})


def only(found: list[FeatureMap] | Diagnostic) -> FeatureMap:
    assert isinstance(found, list)
    (place,) = found
    return place


def test_a_map_is_the_nodes_own_output_or_the_last_inside(mixed: FusionModel) -> None:
    places, notes = Survey(mixed).maps()
    found = {place.name: (place.sizes, place.inputs) for place in places}
    assert found == {"seen": ((5, 6, 7), ("scan",)), "deep.stages.1": ((5, 3, 4, 6), ("ct",))}
    assert notes == []


def test_a_place_is_named_by_node_or_module(mixed: FusionModel) -> None:
    survey = Survey(mixed)
    assert only(survey.at("seen")).module == "seen"
    first = only(survey.at("deep.stages.0"))
    assert (first.sizes, first.node, first.inputs) == ((3, 5, 7, 11), "deep", ("ct",))


@pytest.mark.parametrize(("name", "code", "fix"), [
    ("clinic", "no-map", "seen"), ("small", "no-map", "deep.stages.1"), ("kind.layers", "no-map", "seen"),
    ("deep.stages", "no-map", "deep.stages.1"), ("sen", "unknown-node", "did you mean 'seen'?"),
    ("deep.stages.11", "unknown-node", "did you mean 'deep.stages.1"), ("scan", "no-map", "these give a map"),
])
def test_what_gives_no_map_is_told_with_what_does(mixed: FusionModel, name: str, code: str, fix: str) -> None:
    found = Survey(mixed).at(name)
    assert isinstance(found, Diagnostic)
    assert found.code == code
    assert fix in str(found.fix)


def test_streams_of_each_have_their_own_map_and_shared_ones_their_own_call() -> None:
    inputs = {"t1": {"image": [1, 7, 11]}, "t2": {"image": [1, 11, 13]}}
    for share in (False, True):
        model = network(inputs, {
            "streams": {"use": "encoder.conv", "from": ["t1", "t2"], "each": True, "share": share,
                        "with": {"widths": [3], "blocks": 1}},
            "joined": {"use": "fusion.concat", "from": "streams"}, "kind": HEAD})
        places, _ = Survey(model).maps()
        assert [(place.sizes, place.inputs) for place in places] == [((3, 7, 11), ("t1",)), ((3, 11, 13), ("t2",))]
        second = "t1" if share else "t2"
        assert [place.module for place in places] == ["streams.t1.stages.0", f"streams.{second}.stages.0"]
        assert places[0].step != places[1].step


def test_a_chain_is_one_encoder() -> None:
    model = network({"scan": {"image": [1, 11, 13]}}, {
        "joined": {"from": "scan", "chain": [
            {"use": "encoder.conv", "with": {"widths": [3, 5], "blocks": 0, "output": "map"}},
            {"use": "encoder.pool"}]},
        "kind": HEAD})
    place = only(Survey(model).maps()[0])
    assert (place.name, place.sizes) == ("joined.0", (5, 6, 7))


def test_an_exchange_leaves_each_stream_that_of_its_input_and_a_join_makes_it_that_of_both() -> None:
    inputs = {"t1": {"image": [1, 7, 11]}, "t2": {"image": [1, 7, 11]}}
    model = network(inputs, {
        "streams": {"use": "encoder.conv", "from": ["t1", "t2"], "each": True,
                    "with": {"widths": [3], "blocks": 0, "output": "map"}},
        "exchange": {"use": "fusion.mmtm", "from": "streams"},
        "added": {"use": "fusion.sum", "from": "exchange"},
        "later": conv("added", output="map"), "joined": {"use": "encoder.pool", "from": "later"}, "kind": HEAD})
    survey = Survey(model)
    exchanged = survey.at("exchange")
    assert isinstance(exchanged, list)
    assert [place.inputs for place in exchanged] == [("t1",), ("t2",)]
    assert only(survey.at("later")).inputs == ("t1", "t2")
    assert [place.name for place in survey.maps()[0]] == ["streams.t1", "later", "streams.t2"]


def test_of_many_maps_the_last_are_drawn_and_the_others_named() -> None:
    steps = [f"n{index}" for index in range(MOST_AT_ONCE + 2)]
    nodes = {name: {"use": "encoder.conv", "from": before,
                    "with": {"widths": [2], "blocks": 0, "output": "map"}}
             for name, before in zip(steps, ["scan", *steps], strict=False)}
    model = network({"scan": {"image": [1, 5, 7]}},
                    {**nodes, "joined": {"use": "encoder.pool", "from": steps[-1]}, "kind": HEAD})
    places, notes = Survey(model).maps()
    assert len(places) == MOST_AT_ONCE
    assert places[-1].name == "joined" or places[-1].name == steps[-1]
    assert "n0" in notes[0]


def test_a_map_of_attention_inside_a_transformer_is_no_map_of_the_image() -> None:
    model = network({"scan": {"image": [3, 160, 160]}}, {
        "joined": {"use": "encoder.timm", "from": "scan",
                   "with": {"model": "test_vit", "pretrained": False}}, "kind": HEAD})
    places, _ = Survey(model).maps()
    assert all("attn" not in place.module for place in places)
    assert places and places[0].module.endswith("patch_embed.proj")


def test_a_head_that_does_not_read_a_map_is_known() -> None:
    model = network({"scan": {"image": [1, 7, 11]}, "table": {"vector": [3]}}, {
        "seen": conv("scan"), "kind": {**HEAD, "from": "seen"},
        "other": {**HEAD, "from": "table"}})
    survey = Survey(model)
    (place,) = survey.maps()[0]
    assert survey.reaches(place, "kind")
    assert not survey.reaches(place, "other")


def test_an_image_without_any_map_is_told() -> None:
    model = network({"scan": {"image": [1, 1, 1]}}, {"joined": conv("scan"), "kind": HEAD})
    places, notes = Survey(model).maps()
    assert places == []
    assert "'scan'" in notes[0]


def test_where_a_fusion_reads_the_image_its_last_map_is_taken() -> None:
    model = network({"scan": {"image": [1, 7, 11]}, "table": {"vector": [3]}}, {
        "wide": {"use": "fusion.film", "from": {"image": "scan", "table": "table"}},
        "joined": {"use": "encoder.pool", "from": "wide"}, "kind": HEAD})
    place = only(Survey(model).maps()[0])
    assert (place.name, place.inputs) == ("wide", ("scan",))


def test_looking_changes_nothing(mixed: FusionModel) -> None:
    before = {name: value.clone() for name, value in mixed.state_dict().items()}
    Survey(mixed)
    assert all(torch.equal(before[name], value) for name, value in mixed.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in mixed.modules())
