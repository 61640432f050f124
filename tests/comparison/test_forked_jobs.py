"""The server that forks jobs: what it tells, how its jobs end, and what happens when it dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionkit.comparison.jobs import forked
from fusionkit.comparison.jobs.forked import ForkedJob, ForkServer, forking

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux alone")

_SERVER = """import json, os, signal, sys, time
from fusionkit.comparison.jobs.fork_server import _Jobs

def be(folder, messages, threads, alive):
    print(f"{folder.name}: {threads} threads, {os.environ['OWN']}")
    messages.write("told\\n")
    messages.flush()
    if threads == 7:
        raise ValueError("seven is too many")
    if threads == 5:  # as long as its server lives
        while os.read(alive, 1):
            pass
        (folder / "left alone").write_text("")
    return threads

orders = sys.stdin
orders.readline()
_Jobs([int(word) for word in sys.argv[1:]], orders, os.fdopen(os.dup(1), "w"), be).run(json.loads(orders.readline()))
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    monkeypatch.setattr(forked, "_COMMAND", (sys.executable, "-c", _SERVER))
    with forking(3, "cpu") as made:
        assert made is not None
        yield made


def begun(server: ForkServer, folder: Path, threads: tuple[int, ...]) -> list[ForkedJob]:
    """Jobs that have told their first message, by their threads."""
    server.plan("a comparison")
    logs = [folder / f"{number}.log" for number in threads]
    for log in logs:
        log.touch()
    jobs = server.fork(folder, [{"number": place, "threads": number, "environment": {"OWN": f"job {place}"},
                                 "log": str(log)} for place, (number, log) in enumerate(
                                     zip(threads, logs, strict=True), start=1)])
    for job in jobs:
        assert job.stdout.readline() == "told\n"
    return list(jobs)


def test_jobs_are_forked_and_end_one_by_one(server: ForkServer, tmp_path: Path) -> None:
    failing, waiting, done = begun(server, tmp_path, (7, 5, 2))
    assert done.wait(20) == 2 and failing.wait(20) == 1
    assert (tmp_path / "2.log").read_text() == f"{tmp_path.name}: 2 threads, job 3\n"
    assert "ValueError: seven is too many" in (tmp_path / "7.log").read_text()
    assert waiting.poll() is None and len({failing.pid, waiting.pid, done.pid, os.getpid()}) == 4
    waiting.kill()
    assert waiting.wait(20) == -9 and waiting.stdout.readline() == ""
    assert not (tmp_path / "left alone").exists()


def test_a_server_that_dies_leaves_jobs_that_notice(server: ForkServer, tmp_path: Path) -> None:
    (waiting,) = begun(server, tmp_path, (5,))
    server._process.kill()
    assert waiting.wait(20) == 1 and waiting.lost.startswith("the process that starts the jobs ended")
    until = time.monotonic() + 20
    while not (tmp_path / "left alone").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert (tmp_path / "left alone").exists()


def test_jobs_are_not_forked_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpu").touch()
    monkeypatch.setattr(forked, "_GPU_DEVICES", (str(tmp_path / "gpu"),))
    assert forked._can_fork(2, "cpu") and not forked._can_fork(2, "auto") and not forked._can_fork(1, "cpu")
    with forking(2, "auto") as server:
        assert server is None
