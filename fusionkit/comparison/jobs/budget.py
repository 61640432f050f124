"""The time that a comparison may take, and the rule by which it is kept: whole folds for all rows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fusionkit.comparison.forecast import Forecast
from fusionkit.comparison.tables import duration
from fusionkit.errors import Diagnostic, UserError
from fusionkit.files import plain_json, write_json
from fusionkit.runs.lock import waited_for

RESERVE = 0.05
"""The share of a budget that is kept for predictions, metrics and the report."""
_FILE, _TURNS, _LOCK = "budget.json", "turns.json", "turns.lock"
_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of_budget(text: str | None) -> float | None:
    """The seconds of `8h`, `90min` or `1.5d`, None without a budget.

    Raises: UserError with `bad-argument`.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d)\s*", text)
    if found is None or not float(found[1]):
        raise UserError(Diagnostic("bad-argument", f"--budget cannot be {text!r}",
                                   fix="give a time with its unit, such as 8h, 90min or 1.5d"))
    return float(found[1]) * _UNITS[found[2]]


def rule_of(seconds: float, rows: int) -> str:
    """The rule in words, printed before anything runs."""
    return (f"budget of {duration(seconds)}: folds are trained one after the other, each for all {rows} networks. A "
            f"fold is begun only if it, and scikit-learn's rows of all folds begun, are expected to end within "
            f"{1 - RESERVE:.0%} of the budget, by what the folds before it took and, for the first and for "
            "scikit-learn, by the forecast; one that was begun is finished for all. The rest is kept for predictions, "
            "metrics and the report.")


def check_fits(seconds: float, forecast: Forecast, jobs: int, spent: float) -> None:
    """Refuse a budget in which not even one fold can be trained.

    Raises: UserError with `bad-argument`.
    """
    needed = (forecast.total(jobs, 1) + forecast.tables + spent) / (1 - RESERVE)
    if needed > seconds:
        slowest = forecast.slowest
        fewer = "compare fewer networks" if slowest is None else (
            f"leave out {slowest[0]}, which takes {duration(slowest[1])} of it in one process (of several that are "
            f"named together: --with ...,not:{slowest[0].partition('{')[0]})")
        raise UserError(Diagnostic(
            "bad-argument", f"a budget of {duration(seconds)} is too small for one fold of {forecast.rows} networks",
            why=f"by a few measured steps it takes about {duration(needed)}, with {RESERVE:.0%} for predictions and "
            "metrics", fix=f"give --budget {max(1, round(needed / 60 * 1.1))}min, or {fewer}"))


@dataclass(frozen=True)
class Budget:
    """When a call must have ended, in seconds since 1970, for all of its jobs, and what each unit was expected to take.

    `seconds` are those of one split, by the key of a unit; `tables` those of scikit-learn's rows for one turn, which
    one process fits after all networks.
    """

    begin: float
    end: float
    jobs: int
    seconds: Mapping[str, float]
    tables: float = 0.0

    def write(self, folder: Path) -> None:
        """Write it where the jobs read it."""
        write_json(folder / _FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Budget | None:
        """The budget of a folder, if it has one."""
        found = plain_json(folder / _FILE)
        return cls(**found) if found else None


class Turns:
    """Which folds have been begun: a decision that one job makes for all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.budget = folder, Budget.read(folder)

    @property
    def state(self) -> Mapping[str, Any]:
        """The turns that are open, and whether another one may be."""
        return plain_json(self.folder / _TURNS) or {"open": [], "closed": False}

    def admits(self, turn: int, needed: Callable[[Sequence[int]], float]) -> bool:
        """Whether units of a turn may be begun.

        `needed` gives the seconds that are expected until some turns have ended, from now on.
        """
        if self.budget is None:
            return True
        if turn in self.state["open"]:
            return True
        if self.state["closed"]:
            return False
        with waited_for(self.folder / _LOCK):
            state = self.state  # another job may have decided meanwhile
            if turn in state["open"] or state["closed"]:
                return turn in state["open"]
            asked = [*state["open"], turn]
            ends = time.time() + needed(asked) + self.budget.tables * len(asked)
            latest = self.budget.end - RESERVE * (self.budget.end - self.budget.begin)
            fits = ends <= latest or not state["open"]
            write_json(self.folder / _TURNS, {"open": asked, "closed": False} if fits else
                       {**state, "closed": True})
            return fits

    def done(self, turns: Sequence[int]) -> Sequence[int]:
        """Those of the turns that were begun, which is all without a budget."""
        return list(turns) if self.budget is None else [turn for turn in turns if turn in self.state["open"]]

    @property
    def ended(self) -> bool:
        """Whether no further turn will be begun, of which some are left."""
        return self.budget is not None and bool(self.state["closed"])
