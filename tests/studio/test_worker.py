"""The process that plans for the page: what it answers, and what becomes of one that hangs or ends."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionkit.studio.link import WorkerError, WorkerLink
from fusionkit.studio.worker import Desk

TEXT = """\
fusionkit: 1
inputs: {lab: {vector: [3]}, scan: {vector: [5]}}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 7}}  # \U0001fac1
  both: {use: fusion.late_mean, from: [told, scan]}
  kind: {use: head.classify, from: both, with: {classes: [a, b]}}
"""
ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["call"] == "hang": import time; time.sleep(60)
    if asked["call"] == "end": sys.exit(3)
    if asked["call"] == "babble": print("not an answer", flush=True)
    print(json.dumps({"id": asked["id"], "result": asked["with"]}), flush=True)
"""


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


def asked(desk: Desk, call: str, **given: Any) -> dict[str, Any]:
    answer = desk.answer(call, given)
    assert "error" not in answer, answer
    return dict(answer["result"])


def test_a_clash_is_told_at_its_wire(desk: Desk):
    found = asked(desk, "check", text=TEXT, wide=900, high=600)
    clash, = found["diagnostics"]
    assert not found["ok"] and clash["owner"]["node"] == "both" and clash["where"]["line"] == 5
    assert found["places"] == {"lab": (2, 10), "scan": (2, 30), "told": (4, 3), "both": (5, 3), "kind": (6, 3)}
    assert 'class="wire faulty"' in found["svg"] and 'data-node="kind"' in found["svg"]


def test_costs_come_later_and_are_dropped_where_something_newer_waits(desk: Desk):
    good = TEXT.replace("width: 7", "width: 5")
    assert "params" not in asked(desk, "check", text=good)["svg"]
    desk.waiting = lambda: True
    assert asked(desk, "check", text=good, costs=True) == {"dropped": True}
    desk.waiting = lambda: False
    assert "params" in asked(desk, "check", text=good, costs=True)["svg"]


def test_a_data_file_tells_sizes_and_categories(desk: Desk, tmp_path: Path):
    text = ("fusionkit: 1\ninputs: {lab: {vector: [auto]}, scan: {image: auto}}\nnodes:\n"
            "  told: {use: encoder.embed, from: lab, with: {categories: auto, width: 5}}\n"
            "  seen: {use: encoder.conv, from: scan, with: {widths: [3]}}\n"
            "  both: {use: fusion.concat, from: [told, seen]}\n"
            "  kind: {use: head.classify, from: both, with: {classes: [a, b]}}\n")
    data, table = tmp_path / "data.yaml", tmp_path / "cases.csv"
    data.write_text("fusionkit-data: 1\ncases: cases.csv\nid: case\ninputs:\n"
                    "  lab: {read: columns, numeric: [age], categorical: [sex]}\n"
                    "  scan: {read: numpy, path: '{case}.npy', missing_ok: true}\n"
                    "targets: {kind: {column: kind}}\nsplit: {folds: 2, seed: 0}\n")
    table.write_text("case,age,sex,kind\nc1,1,f,a\nc2,2,m,b\nc3,3,d,a\nc4,4,f,b\n")
    np.save(tmp_path / "c2.npy", np.zeros((1, 8, 6), np.float32))  # of the first case that has one
    (tmp_path / "c3.npy").write_bytes(b"never read")
    left = asked(desk, "check", text=text, costs=True)
    assert left["ok"] and left["auto"] and [each["severity"] for each in left["diagnostics"]] == ["warning"] * 2
    assert "choose the data file" in left["diagnostics"][0]["fix"]
    known = asked(desk, "check", text=text, costs=True, data=str(data))
    assert known["diagnostics"] == [] and ">B 1 8 6<" in known["svg"] and "categories 3" in known["svg"]
    table.write_text(table.read_text() + "c5,5,x,a\n")
    assert "categories 4" in asked(desk, "check", text=text, data=str(data))["svg"]
    other = text.replace("categories: auto", "categories: [7]")
    differs, = asked(desk, "check", text=other, data=str(data))["diagnostics"]
    assert differs["code"] == "categories-differ" and differs["severity"] == "error"
    data.write_text("fusionkit-data: 1\n")
    assert "see what is wrong with it" in asked(desk, "check", text=text, data=str(data))["diagnostics"][0]["fix"]


def test_no_yaml_and_wrong_settings_of_training(desk: Desk):
    broken = asked(desk, "check", text="a: [")
    assert broken["svg"] is None and broken["diagnostics"][0]["code"] == "yaml-syntax"
    wrong = asked(desk, "check", text=TEXT + "training: {epochs: few}\n")
    assert {each["where"]["line"] for each in wrong["diagnostics"]} == {5, 7}
    assert asked(desk, "check", text="")["diagnostics"]
    assert desk.answer("check", {"text": 3})["code"] == "failed"


def test_places_of_changes_are_those_of_javascript(desk: Desk):
    found = asked(desk, "edit", text=TEXT, edit={"op": "rename", "old": "both", "new": "joined"})
    units = TEXT.encode("utf-16-le")
    assert {units[2 * each["from"]:2 * each["to"]].decode("utf-16-le") for each in found["changes"]} == {"both"}
    assert "there is no" in asked(desk, "edit", text=TEXT, edit={"op": "rename", "old": "x", "new": "y"})["refused"]


def test_two_texts_are_compared_and_drawn(desk: Desk):
    found = asked(desk, "difference", a=TEXT, b=TEXT.replace("width: 7", "width: 5"))
    assert found["changed"] == {"told": [["with.width", 7, 5]]} and all(svg.startswith("<svg") for svg in found["svg"])
    assert all(re.findall(r">changed<", svg) == [">changed<"] for svg in found["svg"])
    old, new = asked(desk, "difference", a=TEXT, b=TEXT.replace("told", "said").replace("  both:", "  more: {use: "
                     "encoder.mlp, from: lab, with: {width: 3}}\n  both:"))["svg"]
    assert ">renamed: said<" in old and ">was told<" in new and ">new<" in new and ">new<" not in old
    gone, _ = asked(desk, "difference", a=TEXT, b=TEXT.replace("  kind: {use: head.classify, from: both, with: "
                    "{classes: [a, b]}}\n", ""))["svg"]
    assert ">gone<" in gone


def test_a_component_is_added_with_the_options_that_it_needs(desk: Desk):
    known = asked(desk, "words")
    assert "head" in known["kinds"] and {"id", "kind", "category", "summary"} == set(known["components"][0])
    assert "encoder.mlp" in [each["id"] for each in known["components"]]
    edit = {"op": "between", "name": "new", "use": "encoder.mlp", "source": "told", "target": "both"}
    inserted = "".join(each["insert"] for each in asked(desk, "edit", text=TEXT, edit=edit)["changes"])
    assert "new: {use: encoder.mlp, from: told}" in inserted
    head = {"op": "insert", "name": "new", "use": "head.classify", "reads": "both"}
    change, = asked(desk, "edit", text=TEXT, edit=head)["changes"]
    assert re.search(r"new: \{use: head.classify, from: both, with: \{classes: \[\w+, \w+", change["insert"])
    unknown = asked(desk, "edit", text=TEXT, edit={**edit, "use": "encoder.nobody"})["changes"]
    assert any("encoder.nobody" in each["insert"] for each in unknown)


def test_mistakes_of_a_data_file_stand_in_the_text_or_in_its_table(desk: Desk, tmp_path: Path):
    (tmp_path / "cases.csv").write_text("id,age,kind\nc1,3,a\nc2,x,b\nc3,5,a\n")
    text = ("fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {lab: {read: columns, numeric: [age]}}\n"
            "targets: {kind: {column: kind}}\n")
    given = {"place": str(tmp_path / "deep.yaml")}
    wrong = asked(desk, "data", text=text.replace("read: columns", "read: colums"), **given)
    fault, = wrong["diagnostics"]
    assert not wrong["ok"] and (fault["where"]["line"], "elsewhere" in fault) == (4, False)
    assert asked(desk, "data", text=text, **given)["ok"]  # the table is not read yet
    cell, = asked(desk, "data", text=text, cells=True, **given)["diagnostics"]
    assert (cell["code"], cell["elsewhere"], cell["where"]["line"]) == ("not-a-number", "cases.csv", 3)
    both = asked(desk, "data", text=text.replace("column: kind", "column: kin"), cells=True, **given)["diagnostics"]
    column = next(each for each in both if each["code"] == "unknown-column")
    assert len(both) == 2 and column["where"]["line"] == 5 and "elsewhere" not in column
    good = text.replace("numeric: [age]", "categorical: [age]")
    assert asked(desk, "data", text=good, cells=True, **given)["ok"]
    gone = asked(desk, "data", text=text.replace("cases.csv", "none.csv"), cells=True, **given)
    assert gone["diagnostics"] and not gone["ok"]


def test_published_graphs_can_be_begun_from(desk: Desk):
    assert "mmcaf-net" in asked(desk, "published")["names"]
    assert asked(desk, "published", name="mmcaf-net")["text"].startswith("#")
    assert asked(desk, "published", name="none")["text"] is None


def test_a_table_becomes_a_data_file_and_a_graph(desk: Desk, tmp_path: Path):
    place = tmp_path / "deep"
    place.mkdir()
    rows = "".join(f"c{case},{case + 31},{case % 2}\n" for case in range(23))
    (place / "cases.csv").write_text(f"case,age,result\n{rows}")
    given = {"table": str(place / "cases.csv"), "folder": str(tmp_path), "target": "result"}
    found = asked(desk, "propose", **given)
    assert (found["data"], found["graph"]) == ("deep/data.yaml", "deep/graph.yaml")
    assert {each["column"]: each["role"] for each in found["guesses"]} == {
        "case": "id", "age": "numeric", "result": "target"}
    assert desk.answer("propose", given)["code"] == "file-exists"


def test_a_worker_that_hangs_or_ends_is_replaced_and_fails_its_own_requests_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fusionkit.studio.link.STARTING", 0.0)

    async def tried() -> None:
        link = WorkerLink(command=("-c", ECHO), limit=5.0)
        answers = await asyncio.gather(*(link.ask("echo", {"n": n}) for n in range(5)))  # one worker, in order
        assert [answer["result"]["n"] for answer in answers] == [0, 1, 2, 3, 4] and link.ready
        for call in ("end", "babble"):
            with pytest.raises(WorkerError, match="ended"):
                await link.ask(call, {})
        link._limit = 0.3
        with pytest.raises(WorkerError, match=r"longer than 0\.3 s") as caught:
            await link.ask("hang", {})
        assert caught.value.slow
        link._limit = 5.0
        assert (await link.ask("echo", {"n": 7}))["result"] == {"n": 7}
        before = link._worker
        await link.restart()
        assert link.ready and link._worker is not before and before is not None and not before.lives
        await link.stop()

    asyncio.run(tried())


def test_the_page_is_light():
    static = Path(__file__).parents[2] / "fusionkit" / "studio" / "static"
    assert sum(path.stat().st_size for path in static.iterdir()) < 250_000
