"""The drawing of a graph that cannot be built: every node is there, mistakes stand where they belong."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from odd_components import registry

from fusionkit.drawing.sketch_labels import labels_of_sketch, sketch_svg
from fusionkit.errors import GraphError
from fusionkit.network.measure import witness
from fusionkit.planning.sketch import Sketch, sketch
from fusionkit.syntax.reader import read, read_file

BAD = Path(__file__).parents[1] / "graphs" / "bad"
NS = "{http://www.w3.org/2000/svg}"
REGISTRY = registry()
TEXT = """\
fusionkit: 1
inputs: {ct: {volume: [1, 5, 7, 6]}, ehr: {vector: [7]}}
nodes:
  lungs: {use: encoder.conv, from: ct, with: {widths: [3, 5]}}
  table: {use: encoder.mlp, from: ehr, with: {width: 11}}
  fused: {use: fusion.late_mean, from: [lungs, table]}
  far: {use: encoder.not_installed, from: [fused, lungs], with: {depth: 3}}
  kind: {use: head.classify, from: far, with: {classes: [a, b, c]}}
"""


def sketched(text: str) -> Sketch:
    return sketch(read(text), REGISTRY, witness)


def parts(svg: str, name: str) -> dict[str, ElementTree.Element]:
    """The groups of the drawing by their node or wire."""
    groups = ElementTree.fromstring(svg).iter(f"{NS}g")
    return {group.get(name, ""): group for group in groups if group.get(name)}


def words(group: ElementTree.Element) -> str:
    return " ".join(text.text or "" for text in group.iter(f"{NS}text"))


def test_the_clash_is_marked_at_the_wire_and_what_is_behind_it_is_dashed():
    svg = sketch_svg(sketched(TEXT), 1600, 950)
    wires, nodes = parts(svg, "data-wire"), parts(svg, "data-node")
    assert list(nodes) == ["ct", "ehr", "lungs", "table", "fused", "far", "kind"]
    assert {name for name, wire in wires.items() if "faulty" in wire.get("class", "")} <= {"lungs", "table"}
    assert sum("!" in words(wire) for wire in wires.values()) == 1
    assert {name for name, node in nodes.items() if "unknown" in node.get("class", "")} == {"fused", "far", "kind"}
    assert "encoder.not_installed" in words(nodes["far"]) and "depth: 3" in words(nodes["far"])
    assert "mistake" in words(nodes["far"]) and "mistake" not in words(nodes["kind"])
    assert words(wires["lungs"]).startswith("B 5") and words(wires["far"]) == "?"
    assert wires["lungs"].get("data-to") == "fused far"


def test_a_cycle_and_an_unknown_name_are_named_in_the_box():
    made = labels_of_sketch(sketched(TEXT.replace("[lungs, table]", "[lungs, kind, zebra]")))
    fused, = (card for card in made.cards if card.key == "fused")
    assert {row.detail for row in fused.rows} >= {"zebra (not there)"}
    assert any(row.detail.endswith("(cycle)") for card in made.cards for row in card.rows)


def test_costs_do_not_move_boxes():
    from fusionkit.network.measure import measure

    made = sketched(TEXT.replace("fusion.late_mean", "fusion.concat").replace("encoder.not_installed", "fusion.concat")
                    .replace(", with: {depth: 3}", ""))
    assert made.complete
    costly = Sketch(made.graph, measure(made.plan), ())

    def places(svg: str) -> list[tuple[str | None, str | None]]:
        return [(rect.get("x"), rect.get("y")) for name, node in parts(svg, "data-node").items() if name != "kind"
                for rect in node.iter(f"{NS}rect")]

    assert "params" in sketch_svg(costly, 1600, 950)
    assert places(sketch_svg(made, 1600, 950)) == places(sketch_svg(costly, 1600, 950))


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml"))[::5], ids=lambda path: path.stem)
def test_bad_graphs_are_drawn(path: Path):
    try:
        made = sketch(read_file(path), REGISTRY, witness)
    except GraphError:
        return  # it is no YAML
    nodes = parts(sketch_svg(made, 900, 700), "data-node")
    assert list(nodes) == [*(item.name for item in made.graph.inputs), *(node.name for node in made.graph.nodes)]
