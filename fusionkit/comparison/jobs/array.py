"""The jobs of a comparison as an array job of Slurm, submitted by submitit: the same claims, on a shared disk.

What submitit stores of a job, as a pickle in the folder, is the path of the comparison; what is compared is in a file
of JSON there. A job tells what it does on its standard output, which Slurm writes to the folder too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
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

REQUEST, LOGS = "request.json", "array"
_POLL_SECONDS = 1.0


class ArrayJob:
    """One job of the array; a job that is preempted is submitted again as it is, since the state is in the folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> None:
        """Do units of work until none is left.

        Raises: Interrupted, UserError and RunError as `work` does.
        """
        import torch

        # Slurm says how many processors a job has; without it, its mask does.
        asked = os.environ.get("SLURM_CPUS_PER_TASK", "")
        if asked.isdecimal():
            torch.set_num_threads(int(asked))
        folder = Path(self.folder)
        work(ComparisonRequest.read(read_json(folder / JOBS / REQUEST)["request"]), folder, Lines(sys.stdout))

    def checkpoint(self) -> Any:
        """What submitit submits when the job is preempted or its time is over."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(kw_only=True)
class _Task(OneJob):
    """One job of the array, and the file of its standard output."""

    submitted: Any
    told: MessageFile


def run_array(request: ComparisonRequest, folder: Path, units: Sequence[WorkUnit], jobs: int, reporter: Reporter, *,
              options: Mapping[str, Any], cluster: str = "slurm") -> None:
    """Submit an array of jobs, and wait until they have done all units, but those for which a budget has no time.

    `cluster` is submitit's: `local` runs them as processes of this machine.
    Raises: Interrupted on Ctrl-C or SIGTERM, after the jobs were cancelled; RunError if all of them ended before the
    work; UserError with `bad-argument` for options that Slurm's executor does not know.
    """
    claims = Claims(folder / JOBS)
    write_json(claims.folder / REQUEST, {"request": request.to_text()})
    count = min(jobs, sum(unit.split is not None for unit in units))
    submitted = _submitted(folder.resolve(), count, options, cluster)
    tasks = [_Task(number=number, submitted=each, told=MessageFile(Path(each.paths.stdout)))
             for number, each in enumerate(submitted, start=1)]
    reporter.line(f"{several(count, 'job')} submitted, the first as {tasks[0].submitted.job_id}; {len(units)} units of "
                  f"work; what they write is in {claims.folder / LOGS}")
    board = Board(len(units), reporter)
    with Interruption() as interruption, reporter.progress(f"{count} jobs") as update:
        _wait(tasks, board, interruption, update)
    if interruption.signal is not None:
        raise Interrupted(f"stopped by {interruption.name}: {len(board.done)} of {len(units)} units of work are done, "
                          "and the jobs were cancelled; run the same command to continue")
    missing = [unit for unit in units if claims.settled(unit.name) is None]
    if missing and not Turns(claims.folder).ended:
        ended = "".join(f"\n  job {task.number} ({task.submitted.job_id}), {task.at}: "
                        f"{task.problem or task.submitted.state}" for task in tasks)
        raise RunError(f"{len(missing)} of {len(units)} units of work were not done, since every job ended{ended}\n  "
                       f"see {claims.folder / LOGS}, and run the same command to continue")


def _submitted(folder: Path, count: int, options: Mapping[str, Any], cluster: str) -> Sequence[Any]:
    import submitit

    logs = folder / JOBS / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(folder=str(logs), cluster=cluster)
        executor.update_parameters(**{"name": "fusionkit-compare",
                                      **{f"{cluster}_{name}": value for name, value in options.items()}})
        submitted: Sequence[Any] = executor.submit_array([ArrayJob(str(folder))] * count)
    except (NameError, ValueError, RuntimeError, OSError, AssertionError) as problem:
        raise UserError(Diagnostic("bad-argument", "the array job cannot be submitted",
                                   why=f"{type(problem).__name__}: {str(problem).strip().splitlines()[0]}",
                                   fix="run it where sbatch is, with the parameters of submitit's executor as "
                                       "--launcher-option NAME=VALUE; --jobs works without it")) from None
    return submitted


def _wait(tasks: Sequence[_Task], board: Board, interruption: Interruption, update: Progress) -> None:
    cancelled = False
    while True:
        over = all(task.submitted.done() for task in tasks)
        for task in tasks:
            for message in task.told.messages():
                board.take(task, message)
        board.show(update)
        if over:
            return
        if interruption.signal is not None and not cancelled:
            cancelled = True
            board.reporter.line(f"{interruption.name}: the jobs are cancelled; once more does not wait for them")
            for task in tasks:
                task.submitted.cancel()
        time.sleep(_POLL_SECONDS)
