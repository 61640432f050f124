"""Several processes on one comparison: what a unit is, who takes it, what happens when one dies, what is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from small_study import GRAPH, write_study
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.comparison import tables
from fusionkit.comparison import train as comparison_train
from fusionkit.comparison.jobs import launch
from fusionkit.comparison.jobs import run as running
from fusionkit.comparison.jobs.claims import MOST_ATTEMPTS, Claims, Settled
from fusionkit.comparison.jobs.forked import ForkServer
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.work import JOBS, Worker, WorkUnit, failures, work_units
from fusionkit.comparison.splits import repeated
from fusionkit.comparison.tuning import Tuner, Tuning
from fusionkit.errors import DataError, RunError, UserError
from fusionkit.interface import compare
from fusionkit.registry.lookup import discover
from fusionkit.training.signals import Interrupted

FROZEN = GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}")
EVEN = ["--batch-size", "11", "--epochs", "1", "--folds", "2", "--no-baselines"]
_HOLD = """import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def without_pictures() -> Iterator[None]:
    """The tables alone are written: pictures and page are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "_write", tables.write_tables)
        yield


class Told:
    """A worker's reporter that keeps what it hears, and stops the work after some units."""

    def __init__(self, stop_after: int = -1) -> None:
        self.lines: list[str] = []
        self.units: list[str] = []
        self.stop_after = stop_after

    def line(self, text: str = "") -> None:
        self.lines.append(text)

    @contextmanager
    def progress(self, label: str) -> Iterator[Any]:
        yield lambda done, total: None

    def begun(self, unit: WorkUnit) -> None:
        if len(self.units) == self.stop_after:
            raise KeyboardInterrupt

    def ended(self, unit: WorkUnit, settled: Settled) -> None:
        self.units.append(unit.name)


def command(folder: Path, output: str, *more: str) -> list[str]:
    return ["compare", str(folder / "graph.yaml"), str(folder / "data.yaml"), "--node", "both", "--with", "fusion.sum",
            "-o", str(folder / output), *EVEN, *more]


def weights(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("model.safetensors"))}


def values(folder: Path) -> dict[str, list[float]]:
    told = json.loads((folder / "compare.json").read_text())
    return {row["name"]: row["values"] for row in told["heads"]["result"]["rows"]}


def test_a_unit_is_what_shares_frozen_nodes_on_one_split(tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    made = ComparisonRequest(graph, data, "both", "fusion.sum,fusion.gmu{width: 5}", folds=2, baselines=False)
    comparison = made.plan(discover())
    cohorts = repeated(comparison.cohort, 2)
    names = [unit.name for unit in work_units(comparison, cohorts, frozenset({"fusion.concat", "fusion.sum"}))]
    assert names[:4] == ["train-repeat-1-fold-0-shared", "train-repeat-1-fold-0-fusion.gmu-width-5",
                         "train-repeat-1-fold-1-shared", "train-repeat-1-fold-1-fusion.gmu-width-5"]
    assert names[8:11] == ["complete-repeat-1-fusion.concat", "complete-repeat-1-fusion.sum",
                           "complete-repeat-1-fusion.gmu-width-5"]
    assert len(names) == len(set(names)) == 2 * 4 + 2 * 3
    assert len(work_units(comparison, cohorts, frozenset())) == 2 * 6 + 2 * 3
    assert ComparisonRequest.read(made.to_text()) == made
    tuned = ComparisonRequest(graph, data, "both", "fusion.sum", tuning=Tuning(3))
    assert ComparisonRequest.read(tuned.to_text()) == tuned


@pytest.mark.parametrize("graph", [pytest.param(FROZEN, id="shared"),
                                   pytest.param(GRAPH, id="alone", marks=pytest.mark.slow)])
def test_jobs_give_the_weights_of_one_process(graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, graph)
    assert main(command(tmp_path, "one")) == 0
    done: list[list[str]] = []

    def two(request: ComparisonRequest, folder: Path, units: list[WorkUnit], *_: Any, **__: Any) -> None:
        """One process dies after its first unit, before its second, and another one does the rest."""
        data = Path(request.data)
        for told in (Told(stop_after=1), Told()):
            plan = request.plan(discover())
            with suppress(KeyboardInterrupt):
                Worker(plan, request.cohorts(plan), folder, data, told, reuse=request.reuse).work()
            done.append(told.units)
        assert sorted(done[0] + done[1]) == sorted(unit.name for unit in units), "each unit was done once"

    monkeypatch.setattr(running, "run_jobs", two)
    shared = graph is FROZEN
    capsys.readouterr()
    assert main(command(tmp_path, "two", "--jobs", "2")) == 0
    assert len(done[0]) == 1 and len(done[0] + done[1]) == 2 * (1 if shared else 2) + 2
    assert weights(tmp_path / "one") == weights(tmp_path / "two") and len(weights(tmp_path / "one")) == 4
    assert values(tmp_path / "one") == values(tmp_path / "two")
    files = [{str(path.relative_to(tmp_path / name)) for path in (tmp_path / name / "runs").rglob("*")}
             for name in ("one", "two")]
    assert files[0] == files[1]
    monkeypatch.setattr(comparison_train, "train", lambda *_, **__: pytest.fail("it was trained again"))
    assert main(command(tmp_path, "two")) == 0, "one process goes on where jobs ended"


def test_what_fails_in_one_job_is_told_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)

    def one(request: ComparisonRequest, folder: Path, units: list[WorkUnit], *_: Any, **__: Any) -> None:
        plan = request.plan(discover())
        with monkeypatch.context() as patch:
            original = comparison_train.train_networks
            patch.setattr(comparison_train, "train_networks", lambda *given, **options: (
                _fail() if "fusion.sum" in str(given[2]) and given[3] == 1 else original(*given, **options)))
            Worker(plan, request.cohorts(plan), folder, Path(request.data), Told()).work()

    def _fail() -> None:
        raise RunError("the loss is NaN")

    monkeypatch.setattr(running, "run_jobs", one)
    assert main(command(tmp_path, "found", "--jobs", "2")) == 1
    told = json.loads((tmp_path / "found" / "compare.json").read_text())
    assert told["left_out"] == {"fusion.sum": "failed: fold 2 of 2, fusion.sum: the loss is NaN"}
    assert (tmp_path / "found" / "runs" / "fusion.sum" / "repeat-1" / "fold-0" / "run.json").is_file()


@pytest.mark.slow
def test_trials_are_searched_in_jobs(tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    request = ComparisonRequest(graph, data, "both", "fusion.sum", folds=2, tuning=Tuning(2), baselines=False,
                      settings={"epochs": 1})
    plan, told = request.plan(discover()), Told()
    tuner = Tuner(plan, Tuning(2), Path(data), told)
    Worker(plan, request.cohorts(plan), tmp_path / "found", Path(data), told, tuner=tuner).work()
    assert len(told.units) == 2 * 2 + 2
    records = comparison_train.tuning_records(tmp_path / "found", plan)
    assert {name: [each["fold"] for each in found] for name, found in records.items()} == {
        "fusion.concat": [0, 1], "fusion.sum": [0, 1]}


def test_a_unit_is_held_by_one_process_and_taken_over_when_it_dies(tmp_path: Path) -> None:
    claims = Claims(tmp_path / JOBS)
    with claims.taken("a") as mine:
        assert mine == 1
        with claims.taken("a") as other:
            assert other is None
    with subprocess.Popen([sys.executable, "-S", "-c", _HOLD, str(claims.folder / "a.lock")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with claims.taken("a") as mine:
            assert mine is None
        with pytest.raises(DataError, match="jobs of an earlier call still work"):
            running.refuse_other_jobs(tmp_path)
        process.kill()
        process.wait()
        assert (claims.folder / "a.lock").exists()
        running.refuse_other_jobs(tmp_path)
        with claims.taken("a") as mine:
            assert mine == 2, "the first one ended without a word"
            claims.put_back("a", mine)
        with claims.taken("a") as mine:
            assert mine == 2, "who stops in a clean state does not count"
            claims.settle("a", Settled({"fusion.sum": "the loss is NaN"}, 3.5))
    with claims.taken("a") as mine:
        assert mine is None
    assert claims.settled("a") == Settled({"fusion.sum": "the loss is NaN"}, 3.5)
    claims.forget()
    assert claims.settled("a") is None


def test_a_unit_that_ends_its_processes_is_given_up(tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    request = ComparisonRequest(graph, data, "both", "fusion.sum", baselines=False, settings={"epochs": 1})
    plan, told = request.plan(discover()), Told()
    worker = Worker(plan, request.cohorts(plan), tmp_path / "found", Path(data), told)
    for _ in range(MOST_ATTEMPTS):
        with worker.claims.taken("train-repeat-1-fusion.sum"):
            pass
    worker.work()
    failed = failures(worker.claims, worker.units)
    assert list(failed) == ["fusion.sum"] and "3 processes ended" in failed["fusion.sum"]


_JOB = """import json, os, sys
about = json.loads(sys.stdin.readline())
def tell(**message): print(json.dumps(message), flush=True)
tell(line="what holds for all")
tell(begun="a", label="fold 1 of 2, fusion.sum")
tell(progress="training", done=1, total=4)
if os.environ["HOW"] == "dies":
    sys.stderr.write("there is no memory left"); sys.stderr.flush(); os._exit(7)
place = os.path.join(about["folder"], "jobs", "a.json")
with open(place, "w") as stream:
    json.dump({"state": "failed", "failed": {"fusion.sum": "fold 1: NaN"}, "seconds": 1.5}, stream)
tell(ended="a", label="fold 1 of 2, fusion.sum", failed={"fusion.sum": "fold 1: NaN"}, seconds=1.5)
"""


@pytest.mark.parametrize("how", ["works", "dies"])
def test_the_jobs_are_shown_in_one_place(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_COMMAND", (sys.executable, "-S", "-c", _JOB))
    monkeypatch.setenv("HOW", how)
    units = [WorkUnit("a", "fold 1 of 2, fusion.sum", 0, (0,), ()), WorkUnit("b", "results", 0, None, ())]
    (tmp_path / "jobs").mkdir()
    told = Told()
    request = ComparisonRequest("graph", "data", "both", "fusion.sum")
    if how == "dies":
        with pytest.raises(RunError) as caught:
            launch.run_jobs(request, tmp_path, units, 3, told)
        assert "2 of 2 units of work were not done, since every job ended" in str(caught.value)
        assert "job 1, fold 1 of 2, fusion.sum: ended with code 7" in str(caught.value)
        assert "there is no memory left" in str(caught.value)
    else:
        with pytest.raises(RunError, match="1 of 2 units"):
            launch.run_jobs(request, tmp_path, units, 3, told)
        assert "job 1: fold 1 of 2, fusion.sum: 1.5 s; 1 of 2 units\n  fusion.sum failed: fold 1: NaN" in told.lines
    assert told.lines[0].startswith("1 job, since there are no more units of work than that, and not 3, each with ")
    assert told.lines[1] == "job 1: what holds for all"


def test_threads_are_divided_among_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "usable_processors", lambda: 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [launch.threads_of_a_job(jobs) for jobs in (1, 2, 3, 11)] == [7, 3, 2, 1]
    assert launch.threads_of_a_job(2, asked=5) == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [launch.threads_of_a_job(jobs) for jobs in (2, 7)] == [2, 1]


def test_bad_numbers_of_jobs_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, data = write_study(tmp_path)
    assert main(command(tmp_path, "found", "--jobs", "0")) == 2
    assert "--jobs cannot be 0" in capsys.readouterr().err
    with pytest.raises(UserError, match="components that are given as objects"):
        fusionkit.compare(graph, data, node="both", candidates="fusion.sum", jobs=2, quiet=True,
                          components=[discover().load("fusion.sum")], output=tmp_path / "found")


@pytest.mark.slow
@pytest.mark.parametrize("forks", [True, False])
def test_two_processes_train_and_one_is_killed(forks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(tmp_path, FROZEN)
    assert main(command(tmp_path, "one")) == 0
    start, begun = launch._started, []

    def starting(*given: Any, server: ForkServer | None, **options: Any) -> Iterator[Any]:
        for job in start(*given, server=server if forks else None, **options):
            begun.append(job)
            yield job

    monkeypatch.setattr(launch, "_started", starting)
    take = launch.Board.take

    def killing(board: Any, job: Any, message: Any) -> None:
        take(board, job, message)
        if "ended" in message and len(board.done) == 1:
            os.kill(job.process.pid, 9)

    monkeypatch.setattr(launch.Board, "take", killing)
    assert main(command(tmp_path, "two", "--jobs", "2")) == 0
    assert sorted(job.process.returncode for job in begun) == [-9, 0]
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert values(tmp_path / "one") == values(tmp_path / "two")


def test_interrupted_work_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, data = write_study(tmp_path)
    request = ComparisonRequest(graph, data, "both", "fusion.sum", baselines=False, settings={"epochs": 1})
    plan = request.plan(discover())
    worker = Worker(plan, request.cohorts(plan), tmp_path / "found", Path(data), Told())
    with monkeypatch.context() as patch:
        def stopping(*_: Any, **__: Any) -> None:
            raise Interrupted("stopped by SIGTERM in epoch 1; the state is in 'last'")
        patch.setattr(comparison_train, "train_networks", stopping)
        with pytest.raises(Interrupted):
            worker.work()
    with worker.claims.taken("train-repeat-1-fusion.concat") as attempt:
        assert attempt == 1
