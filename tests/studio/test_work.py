"""Work that the page starts: which commands, in which folder, and what becomes of them without the studio."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi import HOST, TOKEN, Answer, request
from test_server import GRAPH, FakeLink
from tiny_study import write_study

from fusionkit.records.run_folders import read_row
from fusionkit.studio import runner
from fusionkit.studio.graph_files import StudioFolder
from fusionkit.studio.server import make_app
from fusionkit.studio.work import PLACE, Work, progress, settings_flags

TRAIN = {"command": "train", "graph": "graph.yaml", "data": "data.yaml", "output": "runs/first"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = (tmp_path / "study").resolve()
    place.mkdir()
    (place / "graph.yaml").write_text(GRAPH)
    (place / "data.yaml").write_text("fusionkit-data: 1\n")
    (place / "cases.csv").write_text("id\n")
    return place


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders of work that would have been started."""
    found: list[Path] = []
    monkeypatch.setattr(Work, "_run", lambda self, folder: found.append(folder))
    return found


def asked(folder: Path, method: str, path: str, body: Any = None, write: bool = True) -> Answer:
    app = make_app(StudioFolder(folder, write), TOKEN, [HOST], FakeLink(), ["own.py"])
    return request(app, method, path, body)


def test_a_training_is_started_with_arguments_of_our_own_alone(folder: Path, started: list[Path]):
    body = {**TRAIN, "settings": {"epochs": 3, "learning_rate": 0.5, "patience": "auto", "compile": True}}
    found = asked(folder, "POST", "/api/work", body).data
    assert found["state"] == "starting" and started[0].parent == folder / PLACE
    assert json.loads((started[0] / runner.JOB).read_text())["argv"] == [
        "train", "./graph.yaml", "./data.yaml", "-o", "./runs/first", "--epochs=3", "--learning-rate=0.5",
        "--patience=auto", "--compile", f"--plugin={Path('own.py').resolve()}"]
    again = asked(folder, "POST", "/api/work", TRAIN)
    assert (again.status, again.data["code"]) == (409, "folder-in-use")
    assert [job["id"] for job in asked(folder, "GET", "/api/work", write=False).data] == [found["id"]]
    assert asked(folder, "GET", "/api/sources").data == {"data": ["data.yaml"], "tables": ["cases.csv"]}


@pytest.mark.parametrize(("given", "argv"), [
    ({"command": "demo", "output": "demo", "tables": True}, ["demo", "./demo", "--tables"]),
    ({"command": "inspect", "data": "data.yaml", "output": "in/one"}, ["inspect", "./data.yaml", "-o", "./in/one"]),
    ({"command": "explain", "run": "cv"}, ["explain", "./cv"]),
    ({"command": "explain", "run": "cv", "case": "-o"},
     ["explain", "./cv", "--case=-o", "--method=explanation.gradcam", "--output=./cv/explain-0a1b2c"]),
    ({"command": "report", "run": "cv"}, ["report", "./cv"])])
def test_other_commands_of_the_page(folder: Path, started: list[Path], given: dict[str, Any], argv: list[str],
                                    monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fusionkit.studio.work.secrets.token_hex", lambda count: "0a1b2c"[:2 * count])
    (folder / "cv").mkdir()
    assert asked(folder, "POST", "/api/work", given).status == 200
    plugin = [] if given["command"] == "demo" else [f"--plugin={Path('own.py').resolve()}"]
    assert json.loads((started[0] / runner.JOB).read_text())["argv"] == [*argv, *plugin]


@pytest.mark.parametrize(("change", "status", "code"), [
    ({"output": "../out"}, 403, "outside"), ({"output": "-o"}, 403, "outside"), ({"output": ".hidden"}, 403, "outside"),
    ({"output": "full"}, 409, "folder-not-empty"), ({"graph": "../graph.yaml"}, 403, "outside"),
    ({"data": "none.yaml"}, 404, "not-found"), ({"graph": None}, 400, "bad-request"),
    ({"command": "serve"}, 400, "bad-request"), ({"command": "report", "run": ".."}, 403, "outside"),
    ({"settings": {"plugin": "x.py"}}, 400, "bad-request"),
    ({"settings": {"epochs": "3 --plugin"}}, 400, "bad-request"),
    ({"settings": {"epochs": 2.5}}, 400, "bad-request"), ({"settings": {"epochs": True}}, 400, "bad-request"),
    ({"settings": {"precision": "int4"}}, 400, "bad-request"), ({"settings": {"compile": 1}}, 400, "bad-request")])
def test_anything_else_is_refused(folder: Path, started: list[Path], change: dict[str, Any], status: int, code: str):
    (folder / "full").mkdir()
    (folder / "full" / "file").touch()
    found = asked(folder, "POST", "/api/work", {**TRAIN, **change})
    assert (found.status, found.data["code"]) == (status, code) and not started


def test_nothing_is_started_or_stopped_read_only(folder: Path, started: list[Path]):
    name = asked(folder, "POST", "/api/work", TRAIN).data["id"]
    for path, body in (("", TRAIN), (f"/{name}/stop", {}), (f"/{name}/resume", {})):
        found = asked(folder, "POST", f"/api/work{path}", body, write=False)
        assert (found.status, found.data["code"]) == (403, "read-only")
    assert len(started) == 1


def test_a_place_for_work_that_leads_out_is_refused(folder: Path, started: list[Path]):
    (folder / ".fusionkit").symlink_to(folder.parent)
    assert asked(folder, "POST", "/api/work", TRAIN).status == 403
    for name in ("..", "20260101-000000-abcd", "x%2f.."):
        assert asked(folder, "GET", f"/api/work/{name}").status in (403, 404)


def test_work_that_nobody_runs_is_lost_and_a_training_is_resumed(folder: Path, started: list[Path],
                                                                 monkeypatch: pytest.MonkeyPatch):
    name = asked(folder, "POST", "/api/work", TRAIN).data["id"]
    assert asked(folder, "POST", f"/api/work/{name}/resume", {}).status == 409
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 100)
    assert asked(folder, "GET", f"/api/work/{name}").data["state"] == "lost"
    for _ in range(2):
        assert asked(folder, "POST", f"/api/work/{name}/resume", {}).data["state"] == "starting"
        monkeypatch.setattr("time.time", lambda: now + 300)
    assert json.loads((started[0] / runner.JOB).read_text())["argv"].count("--resume") == 1


def test_a_record_that_came_with_the_folder_runs_nothing_of_its_own(folder: Path, started: list[Path]):
    (folder / "theirs.py").write_text("raise SystemExit\n")
    name = asked(folder, "POST", "/api/work", TRAIN).data["id"]
    path = started[0] / runner.JOB
    theirs = {**json.loads(path.read_text()), "begun": 0, "folder": "/tmp"}
    theirs["argv"] = [*theirs["argv"], "--plugin=theirs.py"]
    path.write_text(json.dumps(theirs))
    assert asked(folder, "POST", f"/api/work/{name}/resume", {}).status == 200
    made = json.loads(path.read_text())
    assert "--plugin=theirs.py" not in made["argv"] and made["folder"] == str(folder)
    settings = {"asked": {**TRAIN, "settings": {"plugin": "theirs.py"}}}
    path.write_text(json.dumps({**theirs, **settings}))
    assert asked(folder, "POST", f"/api/work/{name}/resume", {}).status == 400
    path.write_text(json.dumps({key: value for key, value in theirs.items() if key != "asked"}))
    assert asked(folder, "POST", f"/api/work/{name}/resume", {}).data["code"] == "not-resumable"


@pytest.fixture
def work(folder: Path) -> Iterator[Work]:
    made = Work(StudioFolder(folder, write=True))
    yield made
    for process in made._started:
        process.wait(20)


def begun(work: Work, argv: list[str]) -> str:
    """Work of any command."""
    place = work._place() / "20260101-000000-abcd"
    place.mkdir(parents=True)
    (place / runner.JOB).write_text(json.dumps({"command": "train", "argv": argv, "output": "", "begun": time.time(),
                                                "folder": str(work.folder.path)}))
    work._run(place)
    return place.name


def until(what: Callable[[], bool], seconds: int = 20) -> None:
    for _ in range(20 * seconds):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not come about in {seconds} s")


def test_a_run_that_a_terminal_began_is_resumed_from_its_own_graph(folder: Path, started: list[Path]):
    for fold in range(2):
        place = folder / "cv" / f"fold-{fold}"
        place.mkdir(parents=True)
        (place / "history.csv").write_text("epoch,train_loss\n1,0.5\n")
    body = {"command": "resume", "run": "cv", "data": "data.yaml"}
    assert asked(folder, "POST", "/api/work", body).data["code"] == "not-resumable"  # it has no graph
    (folder / "cv" / "fold-0" / "graph.yaml").write_text(GRAPH)
    assert asked(folder, "POST", "/api/work", body).data["output"] == "cv"
    argv = json.loads((started[0] / runner.JOB).read_text())["argv"]
    assert argv[:5] == ["train", "./cv/fold-0/graph.yaml", "./data.yaml", "-o", "./cv"] and argv[-1] == "--resume"
    assert asked(folder, "POST", "/api/work", body).data["code"] == "folder-in-use"
    (folder / "one").mkdir()
    (folder / "one" / "graph.yaml").write_text(GRAPH)
    (folder / "one" / "cases.json").write_text(json.dumps({"fold": 3}))
    assert asked(folder, "POST", "/api/work", {**body, "run": "one"}).data["state"] == "starting"
    assert "--fold=3" in json.loads((started[1] / runner.JOB).read_text())["argv"]
    (folder / "one" / "run.json").write_text("{}")
    done = asked(folder, "POST", "/api/work", {**body, "run": "one"})
    assert (done.status, done.data["code"]) == (409, "not-resumable")


def test_the_runner_writes_the_output_and_how_it_ended(folder: Path, work: Work):
    name = begun(work, ["runs", "none"])
    until(lambda: work.job(name)["state"] not in ("starting", "waiting", "running"))
    job, log = work.job(name), work.log(name, 0)
    assert (job["state"], job["code"], job["resumable"]) == ("failed", 2, True)
    assert "none" in log["text"] and work.log(name, log["next"])["text"] == ""
    # Another studio sees the same.
    assert Work(StudioFolder(folder)).jobs() == [{key: value for key, value in job.items() if key != "progress"}]


def test_work_waits_for_its_turn_and_is_stopped_while_it_waits(folder: Path, work: Work):
    import fcntl

    place = folder / PLACE
    place.mkdir(parents=True)
    with (place / runner.QUEUE).open("a") as queue:
        fcntl.lockf(queue, fcntl.LOCK_EX)
        name = begun(work, ["--version"])
        until(lambda: work.job(name)["state"] == "waiting")
        work.stop(name)
        until(lambda: work.job(name)["state"] == "stopped")
    assert work.job(name)["code"] is None and work.log(name, 0) == {"text": "", "next": 0}


@pytest.mark.slow  # over ten seconds: two commands import torch
def test_a_training_is_stopped_and_resumed_by_another_studio(tmp_path: Path):
    graph, data = write_study(tmp_path)
    first = Work(StudioFolder(tmp_path.resolve(), write=True))
    job = first.start({"command": "train", "graph": Path(graph).name, "data": Path(data).name, "output": "run",
                       "settings": {"epochs": 50000, "patience": 0}})
    until(lambda: (first.job(job["id"])["progress"] or {}).get("epoch", 0) > 3, 120)
    assert read_row(tmp_path / "run", tmp_path).state == "running"  # type: ignore[union-attr]
    second = Work(StudioFolder(tmp_path.resolve(), write=True))
    assert second.job(job["id"])["state"] == "running"
    second.stop(job["id"])
    until(lambda: second.job(job["id"])["state"] == "stopped", 60)
    assert "--resume" in second.log(job["id"], 0)["text"] and (tmp_path / "run" / "last").exists()
    place = tmp_path / PLACE / job["id"] / runner.JOB
    reached = second.job(job["id"])["progress"]["epoch"]
    asked_for = json.loads(place.read_text())
    asked_for["asked"]["settings"]["epochs"] = reached + 7
    place.write_text(json.dumps(asked_for))
    second.resume(job["id"])
    until(lambda: second.job(job["id"])["state"] == "done", 120)
    assert second.job(job["id"])["progress"] == {"fold": None, "folds": None, "epoch": reached + 7,
                                                 "of": reached + 7, "network": 1, "networks": 1, "trained": True}
    for each in (*first._started, *second._started):
        each.wait(20)


def test_settings_that_are_none_give_no_flags():
    assert settings_flags({"compile": False}) == []


def test_progress_is_read_from_what_the_training_wrote(tmp_path: Path):
    nothing = {"fold": None, "folds": None, "epoch": 0, "of": None, "network": 1, "networks": 1, "trained": False}
    assert progress(tmp_path) == nothing
    (tmp_path / "cases.json").write_text(json.dumps({"folds": [["a"], ["b"], ["c"]]}))
    for fold, epochs in ((0, 5), (1, 2)):
        place = tmp_path / f"fold-{fold}"
        place.mkdir()
        (place / "history.csv").write_text("epoch,train_loss\n" + "1,0.5\n" * epochs)
        (place / "graph.yaml").write_text("fusionkit: 1\ntraining: {epochs: 7}\n")
    known = {**nothing, "fold": 2, "folds": 3, "epoch": 2, "of": 7}
    assert progress(tmp_path) == known
    # Several networks: one for each part that is held out, or as many as the ensemble has.
    (tmp_path / "fold-1" / "cases.json").write_text(json.dumps({"held_out": [["a"], ["b"], ["c"]]}))
    (tmp_path / "fold-1" / "members" / "1").mkdir(parents=True)
    assert progress(tmp_path) == {**known, "epoch": 0, "network": 2, "networks": 3}
    (tmp_path / "fold-1" / "graph.yaml").write_text("uncertainty: {with: {members: 7}}\ntraining: {epochs: 7}\n")
    (tmp_path / "fold-1" / "members" / "1" / "history.csv").write_text("epoch\n1\n")
    assert progress(tmp_path) == {**known, "epoch": 1, "network": 2, "networks": 7}
