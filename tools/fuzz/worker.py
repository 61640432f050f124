"""The process that runs cases, one number a line; a decoder may crash it, and its session then starts another.

    python -m tools.fuzz.worker MODULE SEED WORKSPACE
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import shutil
import sys
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import IO

from tools.fuzz.steps import Outcome, Step, escape, judged

CRASHES = "crashes.txt"
"""The file of a workspace in which a process that crashes or hangs leaves its traceback."""
_ADDRESSES = 24 << 30


class Cases:
    """The cases of a kind by number: the same for the same module and seed."""

    def __init__(self, module: ModuleType, seed: int, workspace: Path) -> None:
        self.module = module
        self.seed = seed
        self.material = workspace / "material"
        self.scratch = workspace / "cases"
        if not self.material.is_dir():
            made = workspace / "making"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
            module.prepare(made)
            made.rename(self.material)

    def make(self, number: int, folder: Path) -> list[Step]:
        """Write one case into a folder, and give its steps, which must run there."""
        folder.mkdir(parents=True)
        draw = Random(f"{self.module.__name__}/{self.seed}/{number}")  # noqa: S311 - nothing secret
        steps: list[Step] = self.module.make(draw, self.material, folder)
        return steps

    def run(self, number: int) -> Outcome:
        """The outcome of one case."""
        folder, before = self.scratch / str(number), Path.cwd()
        shutil.rmtree(folder, ignore_errors=True)
        try:
            steps = self.make(number, folder)
            os.chdir(folder)
            return judged(steps)
        except Exception as error:
            return escape(f"the fuzzer itself: {type(error).__name__}: {error}")
        finally:
            os.chdir(before)
            shutil.rmtree(folder, ignore_errors=True)


def serve(cases: Cases, requests: IO[str], answers: IO[str]) -> None:
    """Answer `run NUMBER` with its outcome, and `make NUMBER FOLDER`, which writes the case to be kept, with `{}`."""
    for line in requests:
        word, number, *folder = line.rstrip("\n").split(" ", 2)
        if word == "run":
            answer = cases.run(int(number)).as_json()
        else:
            cases.make(int(number), Path(folder[0]))
            answer = {}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Serve one session. Answers keep the real standard output; whatever else is printed goes into a file."""
    name, seed, place = sys.argv[1:]
    workspace = Path(place)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, resource.RLIM_INFINITY))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with (workspace / CRASHES).open("w", encoding="utf-8") as crashes, answers:
        os.dup2(crashes.fileno(), 1)
        os.dup2(crashes.fileno(), 2)
        faulthandler.enable(crashes)
        serve(Cases(import_module(name), int(seed), workspace), sys.stdin, answers)


if __name__ == "__main__":
    main()
