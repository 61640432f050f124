"""Chains of boxes folded into one, and wires of a bundle into one."""

from __future__ import annotations

import pytest
from odd_components import registry

from fusionkit.drawing.folding import Fold, folded
from fusionkit.drawing.labels import Labels
from fusionkit.drawing.sketch_labels import folded_svg, labels_of_sketch
from fusionkit.network.measure import witness
from fusionkit.planning.sketch import sketch
from fusionkit.syntax.reader import read

REGISTRY = registry()
TEXT = """\
fusionkit: 1
inputs: {lab: {vector: [3]}, scan: {vector: [5]}}
nodes:
  a: {use: encoder.mlp, from: lab, with: {width: 7}}
  b: {use: encoder.mlp, from: a, with: {width: 7}}
  c: {use: encoder.mlp, from: b, with: {width: 7}}
  d: {use: encoder.mlp, from: scan, with: {width: 7}}
  e: {use: encoder.mlp, from: d, with: {width: 7}}
  both: {use: fusion.concat, from: [c, e]}
  kind: {use: head.classify, from: both, with: {classes: [x, y]}}
"""


def labels(text: str = TEXT) -> Labels:
    return labels_of_sketch(sketch(read(text), REGISTRY, witness))


def boxes(found: Labels) -> list[str]:
    return [card.key for card in found.cards]


def test_three_nodes_that_only_read_each_other_are_one_box():
    found = folded(labels())
    assert boxes(found) == ["lab", "scan", "a", "d", "e", "both", "kind"]
    box = found.cards[2]
    assert (box.title, box.inside, box.rows[0].text) == ("a \u2026 c", ("a", "b", "c"), "3 nodes")
    assert {(wire.source, wire.targets) for wire in found.wires} == {
        ("lab", ("a",)), ("scan", ("d",)), ("a", ("both",)), ("d", ("e",)), ("e", ("both",)), ("both", ("kind",)),
        ("kind", ())}


def test_what_is_open_wrong_or_read_twice_stays():
    assert folded(labels(), ["b"]) == labels()
    wrong = TEXT.replace("b: {use: encoder.mlp", "b: {use: encoder.nobody")
    assert "b" in boxes(folded(labels(wrong)))
    twice = TEXT.replace("[c, e]", "[c, e, b]")
    assert "b" in boxes(folded(labels(twice)))


def test_a_drawing_says_what_is_inside_and_wires_of_a_bundle_are_one():
    text = TEXT.replace("both: {use: fusion.concat, from: [c, e]}", "all: {use: encoder.mlp, from: [c, e], each: true, "
                        "with: {width: 7}}\n  both: {use: fusion.concat, from: all}")
    made = sketch(read(text), REGISTRY, witness)
    svg = folded_svg(made, 1600, 950, Fold(True))
    assert svg is not None and 'data-inside="a b c"' in svg and ">2 x B 7<" in svg
    assert "data-inside" not in (folded_svg(made, 1600, 950, Fold()) or "")


def test_a_very_large_drawing_is_made_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    made = sketch(read(TEXT), REGISTRY, witness)
    monkeypatch.setattr("fusionkit.drawing.sketch_labels.MOST_BOXES", 8)
    assert folded_svg(made, 1600, 950, Fold()) is None
    assert folded_svg(made, 1600, 950, Fold(True)) and folded_svg(made, 1600, 950, Fold(large=True))
