"""The studio's addresses: who may ask, what stays in the folder, what is written and what is refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from asgi import HOST, TOKEN, Answer, request
from starlette.applications import Starlette

from fusionkit.studio.frames import Frames
from fusionkit.studio.graph_files import RefusedFileError, StudioFolder
from fusionkit.studio.guard import MOST_BYTES
from fusionkit.studio.link import WorkerError, WorkerLink
from fusionkit.studio.server import STATIC, make_app

ROOT = Path(__file__).parents[2]
GRAPH = "fusionkit: 1\nname: small # a name\ninputs: {a: {vector: [3]}}\n"


class FakeLink(WorkerLink):
    """Answers without a process; a call named `slow` takes too long."""

    async def ask(self, call: str, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("text") == "slow":
            raise WorkerError("it took longer than 20 s", slow=True)
        if given.get("text") == "wrong":
            return {"error": "no", "code": "failed"}
        return {"result": {"call": call, "with": given}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "study"
    (place / "deep").mkdir(parents=True)
    (place / "graph.yaml").write_text(GRAPH)
    (place / "deep" / "windows.yml").write_bytes(b"\xef\xbb\xbf" + GRAPH.replace("\n", "\r\n").encode())
    (place / "data.yaml").write_text("fusionkit-data: 1\n")
    (tmp_path / "secret.yaml").write_text(GRAPH)
    (place / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    return place


def app(folder: Path, write: bool = False) -> Starlette:
    return make_app(StudioFolder(folder.resolve(), write), TOKEN, [HOST], FakeLink())


def got(folder: Path, path: str, **more: Any) -> Answer:
    return request(app(folder), "GET", path, **more)


@pytest.mark.parametrize(("more", "status"), [
    ({}, 200), ({"token": None}, 401), ({"token": "other"}, 401), ({"token": "t\u00f6ken"}, 401),
    ({"host": "evil.example:8765"}, 421), ({"host": "127.0.0.1"}, 421), ({"origin": f"http://{HOST}"}, 200),
    ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403), ({"content_length": str(3 << 20)}, 413)])
def test_who_may_ask(folder: Path, more: dict[str, str], status: int):
    found = got(folder, "/api/about", **more)
    assert (found.status == status and found.data.get("code")) or status == 200
    assert "access-control-allow-origin" not in found.headers and "set-cookie" not in found.headers
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ") and "unsafe" not in policy
    assert all(f"{what} 'none'" in policy for what in ("base-uri", "form-action", "frame-ancestors"))
    assert (found.headers["cache-control"], found.headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_the_page_needs_no_token_and_holds_nothing(folder: Path):
    page = got(folder, "/", token=None)
    assert page.status == 200 and b"/static/app.js" in page.body
    assert got(folder, "/static/app.js", token=None).headers["content-type"].startswith("text/javascript")
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/nothing", "/api/nothing"):
        assert got(folder, path).status == 404


def test_the_page_asks_for_nothing_elsewhere():
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z]+\.[a-z]", text), path.name
        assert "innerHTML" not in text and "eval(" not in text and "style=" not in text


def test_a_body_is_limited_also_where_its_length_is_not_said(folder: Path):
    assert request(app(folder), "POST", "/api/check", b" " * (MOST_BYTES + 1)).status == 413


def test_graphs_are_listed_and_read(folder: Path):
    assert [(each["path"], each["name"]) for each in got(folder, "/api/files").data] == [
        ("deep/windows.yml", "small"), ("graph.yaml", "small")]
    for path in ("graph.yaml", "deep/windows.yml"):
        assert got(folder, f"/api/file?path={path}").data["text"] == GRAPH


@pytest.mark.parametrize("path", ["../secret.yaml", "deep/../../secret.yaml", "link.yaml", "/etc/hosts.yaml",
                                  "..%2fsecret.yaml", "data.csv", ".hidden/a.yaml"])
def test_nothing_outside_is_read_or_written(folder: Path, path: str):
    assert got(folder, f"/api/file?path={path}").status == 403
    body = {"path": path.replace("%2f", "/"), "text": "x", "base": None}
    assert request(app(folder, write=True), "PUT", "/api/file", body).status == 403
    assert got(folder, "/api/run?id=..").status == 403


def test_a_graph_is_saved_with_its_line_ends_and_never_over_a_change(folder: Path):
    path = folder / "deep" / "windows.yml"
    path.chmod(0o640)
    base = got(folder, "/api/file?path=deep/windows.yml").data["base"]
    body = {"path": "deep/windows.yml", "text": GRAPH + "nodes: {}\n", "base": base}
    assert request(app(folder), "PUT", "/api/file", body).data["code"] == "read-only"
    saved = request(app(folder, write=True), "PUT", "/api/file", body)
    assert path.read_bytes() == b"\xef\xbb\xbf" + (GRAPH + "nodes: {}\n").replace("\n", "\r\n").encode()
    assert saved.status == 200 and path.stat().st_mode & 0o777 == 0o640
    again = request(app(folder, write=True), "PUT", "/api/file", body)
    assert (again.status, again.data["code"], again.data["text"]) == (409, "changed", GRAPH + "nodes: {}\n")
    new = {"path": "new.yaml", "text": GRAPH, "base": None}
    assert request(app(folder, write=True), "PUT", "/api/file", new).status == 200
    assert request(app(folder, write=True), "PUT", "/api/file", new).status == 409


def test_a_data_file_is_checked_where_it_lies(folder: Path):
    found = request(app(folder), "POST", "/api/data", {"text": "a", "path": "deep/new.yaml", "cells": True}).data
    assert found == {"call": "data", "with": {"text": "a", "place": str(folder / "deep" / "new.yaml"), "cells": True}}
    for path in ("../secret.yaml", "/etc/data.yaml", "link.yaml"):
        assert request(app(folder), "POST", "/api/data", {"text": "a", "path": path}).status == 403
    assert request(app(folder), "POST", "/api/reload", {}).status == 200


@pytest.mark.parametrize(("text", "status"), [("good", 200), ("wrong", 400), ("slow", 504)])
def test_the_worker_is_asked(folder: Path, text: str, status: int):
    found = request(app(folder), "POST", "/api/check", {"text": text})
    assert found.status == status
    assert status != 200 or found.data == {"call": "check", "with": {"text": text, "data": None}}


def test_a_graph_is_drawn_before_its_components_are_there(folder: Path):
    text = GRAPH + "nodes: {n: {use: encoder.unknown, from: a}, m: {use: fusion.sum, from: [n, gone]}}\n"
    found = request(app(folder), "POST", "/api/outline", {"text": text, "wide": 700}).data["svg"]
    assert 'data-node="m"' in found and 'data-wire="n"' in found and "encoder.unknown" in found
    assert request(app(folder), "POST", "/api/outline", {"text": "a: ["}).data == {"svg": None}


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"path": 3, "text": "", "base": null}'])
def test_a_body_that_is_nothing_is_refused(folder: Path, body: bytes):
    assert request(app(folder, write=True), "PUT", "/api/file", body).status == 400


def test_runs_and_their_curves(folder: Path):
    for fold, losses in enumerate(([0.9, 0.5, 0.4], [0.7, 0.3])):
        place = folder / "cv" / f"fold-{fold}"
        place.mkdir(parents=True)
        rows = "".join(f"{epoch},{loss},,0.1\n" for epoch, loss in enumerate(losses, 1))
        (place / "history.csv").write_text("epoch,train_loss,validation_loss,seconds\n" + rows)
        (place / "graph.yaml").write_text(GRAPH)
    (folder / "cv" / "cases.json").write_text(json.dumps({"folds": [["a"], ["b"]]}))
    assert [each["path"] for each in got(folder, "/api/files").data] == ["deep/windows.yml", "graph.yaml"]
    found = got(folder, "/api/runs").data
    row, = found["rows"]
    assert found["complete"]
    assert (row["path"], row["state"], row["folds"], row["network"]) == ("cv", "unfinished", 2, "small")
    found = got(folder, "/api/history?id=cv").data
    assert found["trainings"] == ["fold-0", "fold-1"] and list(found["curves"]) == ["train_loss"]
    curve = found["curves"]["train_loss"]
    assert curve["n"] == [2, 2, 1] and curve["low"] == [0.7, 0.3, 0.4] and curve["high"] == [0.9, 0.5, 0.4]
    assert curve["mean"] == pytest.approx([0.8, 0.4, 0.4])
    run = got(folder, "/api/run?id=cv").data
    assert run["graph"] == GRAPH and run["files"] == ["cases.json"]
    assert got(folder, "/api/run?id=deep").status == 404
    (folder / "cv" / "fold-0" / "graph.yaml").unlink()
    (folder / "cv" / "fold-0" / "graph.yaml").symlink_to(folder.parent / "secret.yaml")
    assert got(folder, "/api/run?id=cv").data["graph"] == ""


def test_a_page_is_framed_once_and_may_do_nothing(folder: Path):
    (folder / "cv" / "report").mkdir(parents=True)
    (folder / "cv" / "report" / "report.html").write_text("<!doctype html><p>good</p>")
    (folder / ".hidden").mkdir()
    for place in (folder / ".hidden", folder.parent):
        (place / "report.html").write_text("secret")
    (folder / "inspection.html").symlink_to(folder.parent / "report.html")
    (folder / "other.html").write_text("<script>")
    made = app(folder)
    found = request(made, "GET", "/api/pages").data
    assert [each["path"] for each in found] == ["cv/report/report.html", "inspection.html"]
    for path in ("inspection.html", "../report.html", ".hidden/report.html", "other.html", "graph.yaml"):
        assert request(made, "POST", "/api/page", {"path": path}).status == 403
    address = request(made, "POST", "/api/page", {"path": "cv/report/report.html"}).data["address"]
    framed = request(made, "GET", address, token=None)
    assert framed.status == 200 and framed.body.endswith(b"<p>good</p>")
    policy = framed.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'") and "script" not in policy and "allow" not in policy
    assert (framed.headers["x-content-type-options"], framed.headers["cache-control"]) == ("nosniff", "no-store")
    assert request(made, "GET", address, token=None).status == 404
    assert request(made, "GET", address, token=None, host="evil.example").status == 421


def test_a_comparison_is_shown_as_it_was_written(folder: Path):
    place = folder / "cmp"
    (place / "runs" / "fusion.Sum" / "repeat-1").mkdir(parents=True)
    (place / "runs" / "fusion.Sum" / "repeat-1" / "run.json").write_text('{"train": []}')
    (place / "compare.json").write_text('{"heads": {"h": {"rows": []}}, "node": "both"}')
    found = got(folder, "/api/compare?id=cmp").data
    assert found == {"heads": {"h": {"rows": []}}, "node": "both",
                     "runs": {"fusion.sum": "cmp/runs/fusion.Sum/repeat-1"}}
    (place / "compare.json").unlink()
    (place / "compare.json").symlink_to(folder.parent / "secret.yaml")
    assert got(folder, "/api/compare?id=cmp").status == 404


def test_a_data_file_is_proposed_for_a_table_inside_alone(folder: Path):
    (folder / "cases.csv").write_text("id,sex\n")
    body = {"table": "cases.csv", "target": "sex", "id": None}
    assert request(app(folder), "POST", "/api/propose", body).data["code"] == "read-only"
    found = request(app(folder, write=True), "POST", "/api/propose", body).data
    assert found["call"] == "propose" and found["with"] == {
        "target": "sex", "id": None, "table": str(folder / "cases.csv"), "folder": str(folder)}
    for table, status in (("../cases.csv", 403), ("graph.yaml", 404), ("none.csv", 404), (".hidden/a.csv", 404),
                          (7, 400)):
        assert request(app(folder, write=True), "POST", "/api/propose", {"table": table}).status == status


def test_the_address_of_a_page_ends_after_a_minute(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "report.html").write_text("good")
    frames, now = Frames(StudioFolder(folder)), 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    first, second = frames.admit("report.html"), frames.admit("report.html")
    assert frames.taken(first) == b"good"
    now += 61
    with pytest.raises(RefusedFileError, match="one look"):
        frames.taken(second)


def test_the_studio_is_imported_by_its_command_alone():
    for path in (ROOT / "fusionkit").rglob("*.py"):
        read = re.search(r"^( *)(?:from|import) fusionkit\.studio", path.read_text(encoding="utf-8"), re.M)
        if path.parent.name != "studio" and read is not None:
            assert path.name == "studio.py" and read.group(1), path  # in a function


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_the_file_that_opens_the_browser_is_its_owners(monkeypatch: pytest.MonkeyPatch):
    from fusionkit.studio import start

    seen: list[tuple[int, str]] = []
    monkeypatch.setattr("webbrowser.open", lambda address: seen.append((
        Path(address.removeprefix("file://")).stat().st_mode & 0o777,
        Path(address.removeprefix("file://")).read_text())))
    with start._forwarding("http://127.0.0.1:1/#token=abc"):
        pass
    (mode, text), = seen
    assert mode == 0o600 and "url=http://127.0.0.1:1/#token=abc" in text


def test_of_the_runs_only_what_changed_is_told_again(folder: Path):
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "run.json").write_text("{}")
        (folder / name / "graph.yaml").write_text(GRAPH)
    made = app(folder)
    first = request(made, "GET", "/api/runs").data
    assert sorted(row["path"] for row in first["rows"]) == ["one", "two"] and first["gone"] == []
    again = request(made, "GET", f"/api/runs?since={first['state']}").data
    assert (again["rows"], again["gone"], again["state"]) == ([], [], first["state"])
    (folder / "two" / "metrics.json").write_text('{"fusionkit-metrics": 1, "heads": {}}')
    (folder / "one" / "run.json").unlink()
    (folder / "one").rename(folder / ".one")
    changed = request(made, "GET", f"/api/runs?since={first['state']}").data
    assert [row["path"] for row in changed["rows"]] == ["two"] and changed["gone"] == ["one"]
    (folder / ".one" / "run.json").write_text("{}")
    (folder / ".one").rename(folder / "one")
    back = request(made, "GET", f"/api/runs?since={changed['state']}").data
    assert [row["path"] for row in back["rows"]] == ["one"] and back["gone"] == []
    for other in (0, changed["state"] + 10**9):  # of another studio
        assert len(request(made, "GET", f"/api/runs?since={other}").data["rows"]) == 2
    assert request(made, "GET", "/api/runs?since=x").status == 400
