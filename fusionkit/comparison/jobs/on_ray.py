"""The jobs of a comparison as tasks of a Ray cluster: the same claims, on a disk that its nodes share.

Ray pickles the arguments of a task, which are paths and numbers; what is compared is in a file of JSON, and what a job
tells is a file of lines of JSON beside it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit.comparison.jobs.board import Board, MessageFile, OneJob, several
from fusionkit.comparison.jobs.budget import Turns
from fusionkit.comparison.jobs.claims import Claims
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.work import JOBS, WorkUnit
from fusionkit.comparison.jobs.worker import Lines, work
from fusionkit.errors import Diagnostic, RunError, UserError
from fusionkit.files import read_json, write_json
from fusionkit.progress import Progress
from fusionkit.runs.job import Reporter
from fusionkit.training.signals import Interrupted, Interruption

REQUEST, LOGS = "request.json", "ray"
_POLL_SECONDS = 1.0
_ADDRESS = "address"


def run_on_ray(request: ComparisonRequest, folder: Path, units: Sequence[WorkUnit], jobs: int, reporter: Reporter, *,
               options: Mapping[str, Any]) -> None:
    """Submit jobs to a Ray cluster, and wait until they have done all units, but those for which a budget has no time.

    `options` are those of Ray's tasks, `num_cpus` and `num_gpus` of each job among them, and `address`, that of the
    cluster.
    Raises: Interrupted on Ctrl-C or SIGTERM, after the jobs have saved; RunError if all of them ended before the work;
    UserError with `bad-argument` without a cluster, or for options that Ray does not know.
    """
    claims = Claims(folder / JOBS)
    logs = claims.folder / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    write_json(claims.folder / REQUEST, {"request": request.to_text()})
    count = min(jobs, sum(unit.split is not None for unit in units))
    with _connected(options):
        tasks = _submitted(folder.resolve(), logs.resolve(), count, options)
        reporter.line(f"{several(count, 'job')} submitted to Ray; {len(units)} units of work; what they tell is in "
                      f"{logs}")
        board = Board(len(units), reporter)
        with Interruption() as interruption, reporter.progress(f"{count} jobs") as update:
            _wait(tasks, board, interruption, update)
    if interruption.signal is not None:
        raise Interrupted(f"stopped by {interruption.name}: {len(board.done)} of {len(units)} units of work are done; "
                          "run the same command to continue")
    missing = [unit for unit in units if claims.settled(unit.name) is None]
    if missing and not Turns(claims.folder).ended:
        ended = "".join(f"\n  job {task.number}, {task.at}: {task.problem or 'ended'}" for task in tasks)
        raise RunError(f"{len(missing)} of {len(units)} units of work were not done, since every job ended{ended}\n  "
                       "run the same command to continue")


def be_a_task(folder: str, log: str, directory: str, threads: int) -> None:
    """Be one job, in a process of Ray's: paths are those of the command, whose folder is on a shared disk.

    Raises: Interrupted, UserError and RunError as `work` does.
    """
    import ray
    import torch

    os.chdir(directory)
    torch.set_num_threads(threads)
    place = Path(folder)
    with Path(log).open("a", encoding="utf-8") as stream:
        lines = Lines(stream)
        lines.line(f"runs on node {ray.get_runtime_context().get_node_id()[:8]} of the cluster")
        try:
            work(ComparisonRequest.read(read_json(place / JOBS / REQUEST)["request"]), place, lines)
        except (UserError, RunError) as error:
            lines.tell(error=str(error).partition(";")[0])


@dataclass(kw_only=True)
class _Task(OneJob):
    reference: Any
    told: MessageFile


@contextmanager
def _connected(options: Mapping[str, Any]) -> Iterator[None]:
    """A connection to the cluster, that of the process if it has one."""
    import ray

    own = not ray.is_initialized()
    if own:
        address = str(options.get(_ADDRESS, "auto"))
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, OSError, RuntimeError, ValueError) as problem:
            raise UserError(Diagnostic(
                "bad-argument", f"there is no Ray cluster at {address!r}",
                why=f"{type(problem).__name__}: {(str(problem).strip() or 'no word').splitlines()[0]}",
                fix="start one with `ray start --head`, or give --launcher-option address=HOST:PORT; --jobs works "
                    "without it")) from None
    try:
        yield
    finally:
        if own:
            ray.shutdown()


def _submitted(folder: Path, logs: Path, count: int, options: Mapping[str, Any]) -> list[_Task]:
    import ray

    # Jobs are on as many nodes as there are; one whose process is killed is started again, since the state is on disk.
    own = {"num_cpus": 1, "max_retries": 2, "scheduling_strategy": "SPREAD",
           **{name: value for name, value in options.items() if name != _ADDRESS}}
    try:
        task = ray.remote(be_a_task).options(**own)
        made = []
        for number in range(1, count + 1):
            log = logs / f"job-{number}.jsonl"
            log.unlink(missing_ok=True)
            reference = task.remote(str(folder), str(log), str(Path.cwd()), max(1, int(own["num_cpus"])))
            made.append(_Task(number=number, reference=reference, told=MessageFile(log)))
    except (TypeError, ValueError) as problem:
        raise UserError(Diagnostic("bad-argument", "the jobs cannot be submitted to Ray",
                                   why=str(problem).strip().splitlines()[0],
                                   fix="give options of Ray's tasks, such as --launcher-option num_cpus=4")) from None
    return made


def _wait(tasks: Sequence[_Task], board: Board, interruption: Interruption, update: Progress) -> None:
    import ray

    cancelled, left = False, {task.number: task for task in tasks}
    while True:
        ready, _ = ray.wait([task.reference for task in left.values()], num_returns=len(left), timeout=0) \
            if left else ([], [])
        for task in tasks:
            for message in task.told.messages():
                board.take(task, message)
        for task in [each for each in left.values() if each.reference in ready]:
            del left[task.number]
            try:
                ray.get(task.reference)
            except ray.exceptions.RayError as problem:
                task.problem = task.problem or str(problem).strip().splitlines()[0]
                if not cancelled:
                    board.reporter.line(f"job {task.number}, {task.at}: {task.problem}")
        board.show(update)
        if not left:
            return
        if interruption.signal is not None and not cancelled:
            cancelled = True
            board.reporter.line(f"{interruption.name}: the jobs save and end; once more does not wait for them")
            for task in left.values():
                ray.cancel(task.reference)  # as Ctrl-C in the process of the task
        time.sleep(_POLL_SECONDS)
