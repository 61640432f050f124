"""python -m tools.fuzz {graphs,tables,images,runs} [--minutes N] [--cases N] [--seed S] [--only NUMBER]."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tools.fuzz.session import Session, workspace

KINDS = {name: f"tools.fuzz.{name}" for name in ("graphs", "tables", "images", "runs")}
"""The module of each kind."""
NEEDS = {"tables": ("pyarrow", "python_calamine"), "images": ("nibabel",)}
"""Packages of the extra `test` without which a kind cannot be fuzzed: a case must not depend on what is installed."""
SAVED = "fuzz-escapes"


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    made = argparse.ArgumentParser(prog="python -m tools.fuzz", description=(
        "Damage valid input at random and run fusionkit on it. Each case must work, or be refused with exit code 2, a "
        "code, a place and a fix. What does not escapes: its folder holds the input and a traceback."))
    made.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    made.add_argument("--minutes", type=float, metavar="N", help="how long to go on (default 1, if no --cases)")
    made.add_argument("--cases", type=int, metavar="N", help="how many cases to run at most")
    made.add_argument("--seed", type=int, default=0, metavar="S",
                      help="a case depends on its kind, this seed and its number only (default 0)")
    made.add_argument("--only", type=int, metavar="NUMBER", help="run this case, keep it, and print all about it")
    made.add_argument("--save", type=Path, default=Path(SAVED), metavar="FOLDER",
                      help=f"where escapes are kept (default {SAVED})")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one session; the exit code is 1 if something escaped."""
    args = parser().parse_args(argv)
    lacking = [name for name in NEEDS.get(args.kind, ()) if find_spec(name) is None]
    if lacking:
        sys.stderr.write(f"fuzzing {args.kind} needs {' and '.join(lacking)}: pip install -e '.[test]'\n")
        return 2
    with workspace() as place, Session(args.kind, KINDS[args.kind], args.seed, args.save, Path(place),
                                       told=lambda line: sys.stderr.write(f"{line}\n")) as session:
        if args.only is not None:
            outcome = session.outcome(args.only)
            sys.stdout.write(f"{outcome.verdict} {outcome.label}\n{outcome.detail}\n"
                             f"{session.keep(args.only, outcome)}\n")
            return int(outcome.verdict == "escape")
        numbers = itertools.count() if args.cases is None else range(args.cases)
        minutes = args.minutes or (1 if args.cases is None else float("inf"))
        session.run(numbers, 60 * minutes)
        sys.stdout.write(f"{session.table()}\n")
        return int(session.total("escape") > 0)


if __name__ == "__main__":
    sys.exit(main())
