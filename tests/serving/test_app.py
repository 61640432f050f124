"""A server answers as `predict` does, refuses as it does, and keeps within its limits."""

import asyncio
import io
import json
import threading
import zipfile

import numpy as np
import pytest
import small_study
from small_study import read_table
from small_study import without_plots as without_plots
from starlette.testclient import TestClient

import fusionkit
from fusionkit.errors import UserError
from fusionkit.interface.run_keywords import RunKeywords
from fusionkit.interface.serve import application, check_reachable, engine_of, token_of
from fusionkit.serving.app import application as served
from fusionkit.serving.batching import Batcher
from fusionkit.serving.engine import RequestLimits
from fusionkit.serving.metrics import Metrics
from fusionkit.serving.uploads import Upload, write_files

LAB, MORE = ("a", "b"), ("d", "e", "site")
GRAPH = """\
fusionkit: 1
name: pictures
inputs:
  lab: {vector: [2]}
  more: {vector: [3], optional: true}
  scan: {volume: [1, 5, 7, 11], optional: true}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 3, hidden: []}}
  also: {use: encoder.mlp, from: more, with: {width: 3, hidden: []}}
  seen: {use: encoder.conv, from: scan, with: {widths: [3], output: pooled}}
  both: {use: fusion.concat, from: [told, also, seen], with: {availability: true}}
  result: {use: head.classify, from: both, with: {classes: [no, yes], dropout: 0.5}}
uncertainty: {use: uncertainty.mc_dropout, with: {samples: 2}}
training: {epochs: 1, batch_size: 8, device: cpu, hold_out: 0}
"""
DATA = small_study.description({"lab": "{read: columns, numeric: [a, b]}",
                                "more": "{read: columns, numeric: [d, e], categorical: [site]}",
                                "scan": '{read: numpy, path: "{id}.npy", missing_ok: true}'}, {"result": "result"})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A run on files and tables, two of which cases may lack, whose method draws samples."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    rows = [{"id": f"c{case}", "a": f"{rng.normal():.3f}", "b": f"{rng.normal():.3f}",
             **dict(zip(MORE, [f"{rng.normal():.3f}", f"{rng.normal():.3f}", "ns"[case % 2]] if case % 5 else [""] * 3,
                        strict=True)),
             "result": ("no", "yes")[case % 2], "split": "test" if case % 3 == 2 else "train"} for case in range(24)]
    small_study.write_files(folder, rows, GRAPH, DATA)
    for row in rows[1:]:
        np.save(folder / f"{row['id']}.npy", rng.normal(size=(1, 5, 7, 11)).astype(np.float32))
    small_study.train(folder)
    return folder


PLAIN = {"uncertainty": "uncertainty.none", "quiet": True, "device": "cpu"}


@pytest.fixture(scope="module")
def client(study):
    """A server of one pass, which runs cases together."""
    with TestClient(application(study / "run", hosts=("localhost",), **PLAIN), base_url="http://localhost") as client:
        yield client


def options(**given):
    """The options of a run."""
    return RunKeywords(**{"tta": None, "looped": False, "memory": None, "fold": None, "data_roots": (), "plugins": (),
                          "components": (), "console": None, **PLAIN, **given})


def cells(row, columns=(*LAB, *MORE)):
    """The cells of a row as a request has them."""
    return said(json.dumps({name: row[name] or None for name in columns}))


def said(text):
    """A part with this text for cells."""
    return {"cells": (None, text)}


def code(response):
    return response.json()["diagnostics"][0]["code"]


def test_each_answer_is_that_of_predict(study, client):
    wanted = fusionkit.predict(study / "run", study / "data.yaml", **PLAIN).rows()
    for place in (0, 3, 5):
        row, told = read_table(study / "cases.csv")[place], wanted[place]
        scan = {"scan": ("any.npy", (study / f"c{place}.npy").read_bytes())} if place else {}
        response = client.post("/predict", files=cells(row) | scan)
        found = response.json()
        assert response.status_code == 200, found
        head = found["heads"]["result"]
        assert head["predicted"] == told["result"]
        assert head["values"]["yes"] == pytest.approx(told["result:yes"], abs=1e-5)
        assert found["absent"] == [[], ["more"], ["scan"], ["more", "scan"]][(not row["d"]) + 2 * (not place)]
        assert found["row"]["result:yes"] == f"{head['values']['yes']:.6g}"


def test_simultaneous_requests_run_together_and_stay_apart(study, client):
    rows = read_table(study / "cases.csv")
    alone = [client.post("/predict", files=cells(row)).json()["row"] for row in rows[:3]]
    found = [None] * len(rows)

    def ask(place):
        found[place] = client.post("/predict", files=cells(rows[place])).json()["row"]

    before = metrics(client)
    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = metrics(client)
    assert [float(row["result:yes"]) for row in found[:3]] == pytest.approx(
        [float(row["result:yes"]) for row in alone], abs=1e-5)
    assert len({row["result:yes"] for row in found}) == len(rows)
    batches, cases = (after[name] - before[name] for name in ("fusionkit_batches_total", "fusionkit_batch_cases_total"))
    assert cases == len(rows) and batches < cases


def metrics(client):
    """The counters without labels."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line[:1] not in ("#", "")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_an_absent_input_is_named_and_a_partly_given_one_refused(study, client):
    row = read_table(study / "cases.csv")[1]
    assert client.post("/predict", files=cells(row, LAB)).json()["absent"] == ["more", "scan"]
    refused = client.post("/predict", files=cells(row, (*LAB, "d")))
    assert refused.status_code == 400 and code(refused) == "unknown-column"
    lacking = client.post("/predict", files=cells(row, MORE))
    assert lacking.status_code == 400 and code(lacking) == "unknown-column"


def test_refusals_have_code_message_why_and_fix_and_no_path(study, client):
    row = read_table(study / "cases.csv")[0] | {"a": "much"}
    refused = client.post("/predict", files=cells(row))
    found = refused.json()["diagnostics"][0]
    assert refused.status_code == 400 and found["code"] == "not-a-number" and "much" in found["message"]
    assert {"message", "why", "fix", "where"} <= found.keys()
    assert "/" not in found["where"]["file"] and "fusionkit-" not in refused.text
    assert 'code="not-a-number"' in client.get("/metrics").text


@pytest.mark.parametrize(("sent", "wanted"), [
    ({"files": said("[1]")}, "bad-request"), ({"files": said("{")}, "bad-request"),
    ({"files": said('{"a": [1]}')}, "bad-request"), ({"json": {"a": 1}}, "bad-request"),
    ({"files": said('{"aa": 1}')}, "unknown-cell"), ({"files": said('{"a": 1, "a": 2, "b": 1}')}, "bad-request"),
    ({"files": said('{"a": NaN, "b": 1}')}, "bad-request"),
    ({"files": said('{"a": "\\ud800", "b": 1}')}, "bad-request"),
    ({"files": {"cells": (None, b'{"a": "\xff", "b": 1}')}}, "bad-request"),
    ({"files": {**said('{"a": 1, "b": 2}'), "ct": b"x"}}, "bad-request")])
def test_a_request_that_cannot_be_understood_is_refused(client, sent, wanted):
    response = client.post("/predict", **sent)
    assert response.status_code == 400 and code(response) == wanted


def test_a_request_that_is_cut_off_is_refused(study, client, caplog):
    """An optional input whose part is not complete would else count as absent."""
    whole = (b'--x\r\nContent-Disposition: form-data; name="cells"\r\n\r\n{"a": 1, "b": 2}\r\n--x\r\n'
             b'Content-Disposition: form-data; name="scan"; filename="s.npy"\r\n\r\n' + (study / "c1.npy").read_bytes()
             + b"\r\n--x--\r\n")
    sent = {"headers": {"content-type": "multipart/form-data; boundary=x"}}
    assert client.post("/predict", content=whole, **sent).json()["absent"] == ["more"]
    for end in (-40, -6):
        response = client.post("/predict", content=whole[:end], **sent)
        assert response.status_code == 400 and code(response) == "bad-request"
    assert client.post("/predict", content=b"--y" + whole, **sent).status_code == 400
    assert not caplog.records


def test_pages_and_names(client):
    assert client.get("/health").json()["status"] == "ok"
    told = client.get("/openapi.json").json()
    form = told["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]["cells"]["properties"]) == {*LAB, *MORE}
    assert "no medical device" in client.get("/docs").text
    assert client.get("/health", headers={"host": "elsewhere.example"}).status_code == 400


def packed(**files):
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def test_samples_of_a_case_are_those_of_predict_and_no_file_stays(study, tmp_path, monkeypatch):
    monkeypatch.setattr("fusionkit.serving.private._MEMORY", tmp_path)
    row, content = read_table(study / "cases.csv")[1], (study / "c1.npy").read_bytes()
    own = cells(row)
    with TestClient(application(study / "run", quiet=True, device="cpu")) as client:
        plain = client.post("/predict", files={**own, "scan": ("any.npy", content)}).json()
        zipped = client.post("/predict", files={**own, "scan": ("x.zip", packed(**{"one/c.npy": content}))}).json()
        without = client.post("/predict", files=own).json()
        refused = client.post("/predict", files={**own, "scan": ("any.npy", b"not an array")})
    assert plain["absent"] == [] and without["absent"] == ["scan"]
    assert plain["row"] == zipped["row"] != without["row"]
    assert plain["uncertainty_method"] == "uncertainty.mc_dropout" and plain["heads"]["result"]["uncertainty"]
    small_study.write_table(study / "one.csv", [row])
    (study / "one.yaml").write_text(DATA.replace("cases.csv", "one.csv"))
    alone = fusionkit.predict(study / "run", study / "one.yaml", quiet=True).rows()[0]
    assert float(plain["row"]["result:yes"]) == pytest.approx(alone["result:yes"], abs=1e-5)
    assert refused.status_code == 400 and str(tmp_path) not in refused.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("files", "limits", "wanted"), [
    ({"../../out.npy": b"x"}, {}, None), ({}, {}, "bad-archive"),
    ({"a": b"x" * 100}, {"unpacked_bytes": 99}, "too-large"),
    ({"a": b"", "b": b"", "c": b""}, {"files": 2}, "too-large")])
def test_archives_stay_in_their_folder_and_within_limits(tmp_path, files, limits, wanted):
    upload = Upload(files={"scan": [("x.zip", io.BytesIO(packed(**files)))]})
    (tmp_path / "case").mkdir()
    if wanted is None:
        written = write_files(upload, tmp_path / "case", RequestLimits())
        assert [path.relative_to(tmp_path / "case").as_posix() for path in written["scan"]] == ["input-0/00000.npy"]
        return
    with pytest.raises(UserError) as caught:
        write_files(upload, tmp_path / "case", RequestLimits(**limits))
    assert caught.value.diagnostics[0].code == wanted


def test_limits_answer_with_their_status(study):
    engine = engine_of(study / "run", options())
    row = cells(read_table(study / "cases.csv")[0])
    held, results = threading.Event(), engine.results

    def slow(cases):
        held.wait(20)
        raise RuntimeError

    with TestClient(served(engine, RequestLimits(request_bytes=200))) as client:
        assert client.post("/predict", files=said("x" * 400)).status_code == 413
    engine.results = slow
    with TestClient(served(engine, RequestLimits(waiting=1, seconds=0.4))) as client:
        late = client.post("/predict", files=row)
        assert (late.status_code, code(late)) == (504, "timeout")
        busy = client.post("/predict", files=row)
        assert (busy.status_code, code(busy), busy.headers["retry-after"]) == (503, "busy", "1")
        held.set()
    engine.results = lambda cases: 1 / 0
    with TestClient(served(engine)) as client:
        failed = client.post("/predict", files=row)
        assert failed.status_code == 500 and failed.json()["diagnostics"][0]["why"] == "ZeroDivisionError"
        engine.results = results
        assert client.post("/predict", files=row).status_code == 200


def test_a_server_that_ends_answers_what_it_has_accepted(study):
    batcher = Batcher(engine_of(study / "run", options()), RequestLimits(), Metrics())
    row = read_table(study / "cases.csv")[0]

    async def ask():
        batcher.start()
        asked = asyncio.ensure_future(batcher.answer(Upload({name: row[name] for name in (*LAB, *MORE)})))
        await asyncio.sleep(0)
        await batcher.stop()
        return await asked

    assert asyncio.run(ask()).results["result"].values.shape == (1, 2)


def test_a_token_is_asked_for_and_needed_elsewhere(study, tmp_path):
    app = application(study / "run", token="t" * 20, **PLAIN)
    row = cells(read_table(study / "cases.csv")[0])
    with TestClient(app) as client:
        assert client.get("/health").status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {'t' * 20}"}):
            assert client.post("/predict", files=row, headers=headers).status_code == 401
            assert client.get("/metrics", headers=headers).status_code == 401
        assert client.post("/predict", files=row, headers={"authorization": f"Bearer {'t' * 20}"}).status_code == 200
    with pytest.raises(UserError, match="token-needed"):
        check_reachable("0.0.0.0", None)
    check_reachable("0.0.0.0", "t" * 20)
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(UserError, match="bad-token"):
        token_of(tmp_path / "token")
    (tmp_path / "token").write_text("t" * 20 + "\n")
    assert token_of(tmp_path / "token") == "t" * 20
