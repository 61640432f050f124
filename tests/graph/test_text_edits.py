"""Edits of a graph's text: what they say, that they can be undone, and that nothing else of the text moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionkit.graph.text_edits import edited
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.syntax.text_changes import RefusedEditError, applied, comments
from fusionkit.syntax.tree import to_plain

GRAPHS = [path.read_text(encoding="utf-8") for path in
          [*sorted(filter(None, map(discover().graph, sorted(discover().graphs)))),
           *sorted((Path(__file__).parents[1] / "graphs" / "good").glob("*.yaml"))]]
BLOCK = """\
# A graph in block style
fusionkit: 1
inputs:
  ct: {volume: [1, 5, 7, 6]}  # of the chest
  ehr: {vector: [7]}

nodes:
  # what is in the picture
  lungs:
    use: encoder.conv
    from: ct  # one volume
    with:
      widths: [3, 5]   # few

  table: {use: encoder.mlp, from: ehr}  # \U0001fac1 a table
  fused:
    use: fusion.concat
    from:
      - lungs
      - table # and the table
  # the result
  kind: {use: head.classify, from: fused, with: {classes: [a, b]}}
"""


def changed(text: str, **edit: Any) -> str:
    return applied(text, edited(text, edit))


def lines_changed(before: str, after: str) -> list[str]:
    """The lines of the new text that the old one lacks."""
    return [line for line in after.splitlines() if line not in before.splitlines()]


@pytest.mark.parametrize(("edit", "lines"), [
    ({"op": "set", "path": ["nodes", "lungs", "with", "widths"], "value": [3, 5, 7]},
     ["      widths: [3, 5, 7]   # few"]),
    ({"op": "set", "path": ["nodes", "table", "with", "width"], "value": 11},
     ["  table: {use: encoder.mlp, from: ehr, with: {width: 11}}  # \U0001fac1 a table"]),
    ({"op": "set", "path": ["nodes", "fused", "freeze"], "value": True}, ["    freeze: true"]),
    ({"op": "set", "path": ["training", "epochs"], "value": 7}, ["training: {epochs: 7}"]),
    ({"op": "connect", "source": "ehr", "target": "fused"}, ["      - ehr"]),
    ({"op": "connect", "source": "ehr", "target": "kind"},
     ["  kind: {use: head.classify, from: [fused, ehr], with: {classes: [a, b]}}"]),
    ({"op": "insert", "name": "more", "use": "encoder.mlp", "reads": "ehr", "options": {"width": 3}},
     ["  more: {use: encoder.mlp, from: ehr, with: {width: 3}}"]),
    ({"op": "between", "name": "thin", "use": "encoder.project", "source": "lungs", "target": "fused"},
     ["      - thin", "  thin: {use: encoder.project, from: lungs}"]),
    ({"op": "rename", "old": "table", "new": "labs"},
     ["  labs: {use: encoder.mlp, from: ehr}  # \U0001fac1 a table", "      - labs # and the table"]),
], ids=lambda value: value["op"] if isinstance(value, dict) else "")
def test_an_edit_changes_these_lines(edit: dict[str, Any], lines: list[str]):
    after = changed(BLOCK, **edit)
    assert lines_changed(BLOCK, after) == lines
    assert comments(after) == comments(BLOCK)
    windows = BLOCK.replace("\n", "\r\n")
    assert changed("\ufeff" + windows, **edit) == "\ufeff" + after.replace("\n", "\r\n")


def test_a_deleted_node_is_read_past():
    text = BLOCK.replace("  # \U0001fac1 a table", "")
    after = to_plain(read(changed(text, op="delete", name="table")))
    assert list(after["nodes"]) == ["lungs", "fused", "kind"] and after["nodes"]["fused"]["from"] == ["lungs", "ehr"]


@pytest.mark.parametrize(("edit", "why"), [
    ({"op": "delete", "name": "table"}, "a comment would be lost"),
    ({"op": "delete", "name": "fused"}, "would read nothing"),
    ({"op": "rename", "old": "table", "new": "lungs"}, "there already"),
    ({"op": "rename", "old": "table", "new": "forward"}, "nothing can be named"),
    ({"op": "rename", "old": "nobody", "new": "other"}, "there is no 'nobody'"),
    ({"op": "disconnect", "source": "fused", "target": "kind"}, "not one of several"),
    ({"op": "set", "path": ["nodes", "kind", "use", "deep"], "value": 1}, "not written as the edit expects"),
    ({"op": "paint"}, "there is no edit 'paint'"),
])
def test_what_cannot_be_done_is_refused(edit: dict[str, Any], why: str):
    with pytest.raises(RefusedEditError, match=why):
        edited(BLOCK, edit)


def test_a_value_that_an_alias_shares_is_not_changed_for_both():
    shared = "{use: encoder.mlp, from: ehr, with: &same {width: 3}}"
    text = BLOCK.replace("{use: encoder.mlp, from: ehr}", shared).replace("with: {classes",
                                                                          "weights: *same, with: {classes")
    with pytest.raises(RefusedEditError, match="alias"):
        edited(text, {"op": "set", "path": ["nodes", "table", "with", "width"], "value": 5})


def test_outputs_that_are_named_after_what_is_renamed_follow_it():
    text = """\
fusionkit: 1
inputs: {ct: {image: [1, 5, 7]}, pet: {image: [1, 5, 7]}}
nodes:
  seen: {use: encoder.conv, from: [ct, pet], each: true}
  more: {use: encoder.dropout, from: [seen.ct, seen.pet], each: true}
  ports: {use: encoder.dropout, from: {ct: pet}, each: true}
  kind: {use: head.classify, from: [more.ct, ports.ct, ct], with: {classes: [a, b]}}
"""
    after = to_plain(read(changed(text, op="rename", old="ct", new="scan")))["nodes"]
    assert after["seen"]["from"] == ["scan", "pet"] and after["more"]["from"] == ["seen.scan", "seen.pet"]
    assert after["kind"]["from"] == ["more.scan", "ports.ct", "scan"] and after["ports"]["from"] == {"ct": "pet"}


def tried(text: str, **edit: Any) -> str | None:
    try:
        return changed(text, **edit)
    except RefusedEditError:
        return None


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_edits_of_every_published_graph_can_be_undone(data: st.DataObject):
    text = data.draw(st.sampled_from(GRAPHS))
    plain = to_plain(read(text))
    nodes, inputs = list(plain["nodes"]), list(plain["inputs"])
    name = data.draw(st.sampled_from([*nodes, *inputs]))
    there = tried(text, op="rename", old=name, new="other_1")
    assert there is not None and tried(there, op="rename", old="other_1", new=name) == text
    target = data.draw(st.sampled_from(nodes))
    wired = tried(text, op="connect", source=name, target=target)
    if wired is not None and isinstance(plain["nodes"][target]["from"], list):
        assert tried(wired, op="disconnect", source=name, target=target) == text
    read_by = plain["nodes"][target]["from"]
    source = read_by if isinstance(read_by, str) else read_by[0] if isinstance(read_by, list) else name
    put = tried(text, op="between", name="other_1", use="encoder.dropout", source=source, target=target)
    if put is not None:
        assert len(to_plain(read(put))["nodes"]) == len(nodes) + 1
        assert tried(put, op="delete", name="other_1") == text
    assert put is not None or not isinstance(read_by, str)
