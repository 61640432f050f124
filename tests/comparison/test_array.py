"""The jobs of a comparison as an array job: what is submitted, what is read of it, what is told when it ends early."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from small_study import GRAPH, write_study
from small_study import without_plots as without_plots

from fusionkit.comparison.jobs import array, launchers
from fusionkit.comparison.jobs.array import ArrayJob, run_array
from fusionkit.comparison.jobs.board import MessageFile
from fusionkit.comparison.jobs.claims import Claims
from fusionkit.comparison.jobs.launchers import check_launcher
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.work import JOBS, WorkUnit, work_units
from fusionkit.comparison.manifest import claim_comparison
from fusionkit.errors import RunError, UserError
from fusionkit.registry.lookup import discover


class Lines:
    """A reporter that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str = "") -> None:
        self.lines.append(text)

    @contextmanager
    def progress(self, label: str) -> Iterator[Any]:
        yield lambda done, total: None


class Executor:
    """In place of submitit's: runs the jobs when they are submitted."""

    given: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: str, cluster: str) -> None:
        self.folder, self.cluster = Path(folder), cluster

    def update_parameters(self, **given: Any) -> None:
        if "slurm_colour" in given:
            raise NameError("Unknown argument 'colour'\nvalid ones are ...")
        Executor.given = given

    def submit_array(self, calls: Sequence[Callable[[], None]]) -> list[Any]:
        made = []
        for number, call in enumerate(calls):
            out, state = self.folder / f"{number}.out", "COMPLETED"
            with out.open("w") as stream, redirect_stdout(stream):
                print("submitit INFO: what a library writes")
                try:
                    call()
                except Exception:
                    state = "FAILED"
            made.append(SimpleNamespace(paths=SimpleNamespace(stdout=out), job_id=f"77_{number}", state=state,
                                        done=lambda: True, cancel=lambda: None))
        return made


def planned(folder: Path) -> tuple[ComparisonRequest, list[WorkUnit]]:
    graph, data = write_study(folder, GRAPH)
    request = ComparisonRequest(graph, data, "both", "fusion.sum", baselines=False,
                                settings={"epochs": 1, "hold_out": 0})
    plan = request.plan(discover())
    claim_comparison(folder / "found", plan, 1)
    return request, work_units(plan, request.cohorts(plan), frozenset())


def test_an_array_does_all_units_and_is_told_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, units = planned(tmp_path)
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))  # type: ignore[arg-type]
    told = Lines()
    run_array(request, tmp_path / "found", units, 5, told, options={"partition": "gpu", "time": 240})
    assert all(Claims(tmp_path / "found" / JOBS).settled(unit.name) for unit in units)
    assert Executor.given == {"name": "fusionkit-compare", "slurm_partition": "gpu", "slurm_time": 240}
    assert told.lines[0].startswith("2 jobs submitted, the first as 77_0; 4 units of work")
    assert "4 of 4 units" in told.lines[-1] and not any("library" in line for line in told.lines)
    with pytest.raises(UserError, match="Unknown argument 'colour'"):
        run_array(request, tmp_path / "found", units, 1, told, options={"colour": "red"})


def test_jobs_that_end_early_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, units = planned(tmp_path)
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))  # type: ignore[arg-type]

    def failing(*_: Any) -> None:
        raise RunError("no disk")

    monkeypatch.setattr(array, "work", failing)
    with pytest.raises(RunError, match=r"4 of 4 units of work were not done.*\n  job 1 \(77_0\), starting: FAILED"):
        run_array(request, tmp_path / "found", units, 1, Lines(), options={})


def test_half_a_line_waits(tmp_path: Path) -> None:
    out = tmp_path / "out"
    task = MessageFile(out)
    assert task.messages() == []
    out.write_text('{"line": "one"}\nnoise\n{"line": "t')
    assert task.messages() == [{"line": "one"}]
    out.write_text('{"line": "one"}\nnoise\n{"line": "two"}\n')
    assert task.messages() == [{"line": "two"}] and task.messages() == []


def test_options_are_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"fusionkit\[slurm\]"):
        check_launcher("slurm", [])
    monkeypatch.setattr(launchers, "find_spec", lambda name: name)
    assert check_launcher("slurm", ["partition=gpu", "time=240", "qos=a=b"]) == {"partition": "gpu", "time": 240,
                                                                               "qos": "a=b"}
    for text in ("partition", "=gpu", "partition=", "a b=c"):
        with pytest.raises(UserError, match="--launcher-option cannot be"):
            check_launcher("slurm", [text])


@pytest.mark.slow
def test_submitit_runs_the_jobs_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    request, units = planned(tmp_path)
    told = Lines()
    run_array(request, tmp_path / "found", units, 2, told, options={}, cluster="local")
    assert all(Claims(tmp_path / "found" / JOBS).settled(unit.name) for unit in units)
    again = ArrayJob(str(tmp_path / "found")).checkpoint()
    assert again.function.folder == str(tmp_path / "found")
