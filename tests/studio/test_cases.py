"""The cases of a run in the studio: the worst first, their data, what may be read."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asgi import HOST, TOKEN, Answer, request
from small_study import description, train, write_files
from small_study import without_plots as without_plots
from test_limits import spent
from test_tour import DeskLink

from fusionkit.explanation.output_folder import Folder
from fusionkit.interface.planes import upright_place
from fusionkit.studio.graph_files import StudioFolder
from fusionkit.studio.server import make_app

GRAPH = """\
fusionkit: 1
inputs: {table: {vector: [2]}, cube: {volume: [1, 5, 7, 3]}}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 3, hidden: []}}
  seen: {use: encoder.conv, from: cube, with: {widths: [2], blocks: 0, stem_stride: 1}}
  both: {use: fusion.concat, from: [told, seen]}
  result: {use: head.classify, from: both, with: {classes: ["no", "yes"]}}
training: {epochs: 1, hold_out: 0, device: cpu}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("studio").resolve()
    rng = np.random.default_rng(5)
    (place / "cubes").mkdir()
    rows = []
    for case in range(13):
        np.save(place / "cubes" / f"c{case}.npy", np.arange(105, dtype=np.float32).reshape(1, 5, 7, 3) + case)
        rows.append({"id": f"c{case}", "a": f"{rng.normal():.3f}", "site": "xy"[case // 2 % 2],
                     "result": ("no", "yes")[case % 2], "split": ("train", "test")[case % 3 == 2]})
    data = description({"table": "{read: columns, numeric: [a], categorical: [site]}",
                        "cube": "{read: numpy, path: 'cubes/{id}.npy'}"}, {"result": "result"})
    train(write_files(place, rows, GRAPH, data))
    return place


@pytest.fixture(scope="module")
def link() -> DeskLink:
    return DeskLink()


def asked(folder: Path, link: DeskLink, method: str, path: str, body: Any = None) -> Answer:
    return request(make_app(StudioFolder(folder), TOKEN, [HOST], link), method, path, body)


def test_the_order_is_that_of_the_worst_cases(folder: Path, link: DeskLink):
    found = asked(folder, link, "GET", "/api/cases?id=run").data
    with (folder / "run" / "worst-cases.csv").open() as stream:
        worst = list(csv.DictReader(stream))
    assert [row["id"] for row in found["rows"]] == [row["id"] for row in worst] and found["total"] == 4
    assert [row["loss"] for row in found["rows"]] == pytest.approx([float(row["value"]) for row in worst], rel=1e-4)
    assert found["measure"] == worst[0]["measure"] and sum(map(sum, found["confusion"])) == 4
    wrong = asked(folder, link, "GET", "/api/cases?id=run&show=wrong").data
    assert [row["id"] for row in wrong["rows"]] == [row["id"] for row in found["rows"] if not row["right"]]
    assert asked(folder, link, "GET", "/api/cases?id=run&page=1").data["rows"] == []
    one = asked(folder, link, "GET", f"/api/case?id=run&case={worst[0]['id']}").data
    assert one["explanation"] == {"shares": {}, "pictures": []} and set(one["values"]) >= {"no", "yes"}


def test_the_data_of_a_case(folder: Path, link: DeskLink):
    body = {"id": "run", "case": "c5"}
    found = asked(folder, link, "POST", "/api/case/inputs", body).data["inputs"]
    with (folder / "cases.csv").open() as stream:
        cell, site = next((row["a"], row["site"]) for row in csv.DictReader(stream) if row["id"] == "c5")
    assert found["table"]["cells"] == [["a", float(cell)], ["site", site]]
    assert (found["cube"]["kind"], found["cube"]["size"]) == ("volume", [5, 7, 3])
    planes = asked(folder, link, "POST", "/api/case/slices",
                   {**body, "input": "cube", "at": [4, 0, 99], "low": 5, "high": 109}).data
    assert planes["at"] == [4, 0, 2] and planes["sizes"] == [5, 7, 3]
    first = planes["planes"][0]
    # The first slice of the array is the last of the upright volume; 5 is black and 109 white.
    grey = np.frombuffer(base64.b64decode(first["bytes"]), np.uint8).reshape(first["high"], first["wide"])
    assert np.array_equal(grey, np.round(np.arange(21).reshape(7, 3) / 104 * 255))
    peak = asked(folder, link, "POST", "/api/case/slices", {**body, "input": "cube", "peak": [0, 3, 1]}).data
    assert peak["at"] == upright_place([0, 3, 1], [5, 7, 3], None) == [4, 3, 1]


@pytest.mark.parametrize(("path", "body", "status"), [
    ("case/inputs", {"id": "..", "case": "c5"}, 403), ("case/inputs", {"id": "run", "case": "c0"}, 404),
    ("case/inputs", {"id": "run", "case": "c5", "head": "none"}, 404),
    ("case/slices", {"id": "run", "case": "c5", "input": "table"}, 400),
    ("case/slices", {"id": "run", "case": "c5"}, 400)])
def test_what_is_not_there_is_told(folder: Path, link: DeskLink, path: str, body: dict[str, Any], status: int):
    assert asked(folder, link, "POST", f"/api/{path}", body).status == status


def test_grad_cam_is_laid_over_the_planes(folder: Path, link: DeskLink):
    heat = np.arange(105, dtype=np.float64).reshape(5, 7, 3)
    written = [Folder(folder / "run" / "explain").heat(values, name) for name, values in (
        ("fits", heat), ("other", heat[1:]))]
    (folder / "run" / "explain" / "explain.json").write_text(json.dumps({"files": written}))
    body = {"id": "run", "case": "c5", "input": "cube", "at": [4, 6, 2]}
    found = asked(folder, link, "POST", "/api/case/slices", {**body, "heat": "explain/fits.npz"}).data["heat"]
    grey = [np.frombuffer(base64.b64decode(each["bytes"]), np.uint8) for each in found]
    assert np.array_equal(grey[0], np.round(np.arange(21) / 104 * 255)) and len(found) == 3
    def shown() -> None:
        for path, more in (("inputs", {}), ("slices", {"heat": "explain/fits.npz"})):
            assert asked(folder, link, "POST", f"/api/case/{path}", {**body, **more}).status == 200

    assert spent(shown, time.process_time) < 3 * 0.15  # the limit of the design for the next case, with Grad-CAM
    assert asked(folder, link, "POST", "/api/case/slices", {**body, "heat": "explain/other.npz"}).data["heat"] is None
    assert asked(folder, link, "POST", "/api/case/slices", {**body, "heat": "../fits.npz"}).status == 404
    (folder / "run" / "explain" / "fits.npz").write_bytes(b"PK")
    assert asked(folder, link, "POST", "/api/case/slices", {**body, "heat": "explain/fits.npz"}).data["heat"] is None
    shutil.rmtree(folder / "run" / "explain")


def test_a_run_without_its_data_keeps_its_table(folder: Path, link: DeskLink):
    link.desk._cases = None
    (folder / "cases.csv").rename(folder / "moved.csv")
    found = asked(folder, link, "POST", "/api/case/inputs", {"id": "run", "case": "c5"})
    (folder / "moved.csv").rename(folder / "cases.csv")
    assert found.status == 400 and "cases.csv" in found.data["error"]
    assert asked(folder, link, "GET", "/api/cases?id=run").status == 200


def test_a_picture_is_one_that_explain_wrote(folder: Path, link: DeskLink):
    place = folder / "run" / "explain"
    place.mkdir()
    (place / "one.png").write_bytes(b"png")
    (place / "explain.json").write_text('{"files": ["one.png", "leads.png"]}')
    (place / "leads.png").symlink_to(folder.parent)
    found = asked(folder, link, "GET", "/api/picture?id=run&name=explain/one.png")
    assert (found.status, found.headers["content-type"], found.body) == (200, "image/png", b"png")
    for name in ("explain/leads.png", "explain/../metrics.json", "explain/explain.json", "explain/two.png", "one.png"):
        assert asked(folder, link, "GET", f"/api/picture?id=run&name={name}").status == 404
