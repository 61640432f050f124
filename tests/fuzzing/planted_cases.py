"""A kind of cases with faults planted in it: some fail in each way that a fuzzer has to survive."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

from tools.fuzz.steps import Outcome, Step, printed

ENDS = {
    "good": lambda: printed(0, "good\n", "", False),
    "refused": lambda: printed(2, "", "a.yaml:1:2: it is wrong [bad-option]\n  fix: change it\n", False),
    "raises": lambda: {}["missing"],
    "panics": lambda: (_ for _ in ()).throw(BaseException("panic")),
    "exits": lambda: os._exit(3),
    "aborts": os.abort,
    "hangs": lambda: time.sleep(600),
    "acts": lambda: printed(0, "\x1b]0;title\x07", "", False),
}


def prepare(material: Path) -> None:
    (material / "start.txt").write_text("start")


def make(draw: Random, material: Path, folder: Path) -> list[Step]:
    end = draw.choice(list(ENDS))
    (folder / "input.txt").write_text(f"{(material / 'start.txt').read_text()} {end} {draw.random()}")

    def step() -> Outcome:
        assert Path("input.txt").is_file(), "cases run in their folder"
        return ENDS[end]()  # type: ignore[no-any-return]

    return [step]
