"""What a run keeps of its training cases for those whom it evaluates, and predicted curves of survival."""
# Axes: N cases, T times, A times asked.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fusionkit.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class TrainingOutcomes:
    """What tasks keep of the training cases of a run, as plain data by name: see `TaskMethod.keep`.

    `records` has one entry for each run. `of` (N,) says by place whose training a case is judged against, such as that
    of its fold; None where all networks predicted a case together, and their records count alike.
    """

    records: tuple[Mapping[str, Any], ...]
    of: Ints | None = None

    def some(self, rows: Any) -> TrainingOutcomes:
        """Those of some cases."""
        return self if self.of is None else replace(self, of=self.of[rows])

    def mean(self, values: Sequence[Floats], cases: int) -> Floats:
        """Of numbers (A,) of each record those that count for each case, or their mean: (N, A)."""
        every = np.stack(values)
        return np.broadcast_to(every.mean(0), (cases, every.shape[1])) if self.of is None else every[self.of]


@dataclass(frozen=True, slots=True)
class SurvivalCurves:
    """The predicted probability of survival of each case at `times` (T,), rising: `survival` (N, T), 1 at time 0.

    Between two times it stays what it is (`steps`), or falls with a constant hazard. After the last it is not known,
    and stays.
    """

    times: Floats
    survival: Floats
    steps: bool

    def at(self, asked: Floats) -> Floats:
        """Survival of all cases at some times: (A,) to (N, A)."""
        return self._found(np.searchsorted(self.times, asked, side="right"), asked, slice(None))

    def own(self, asked: Floats) -> Floats:
        """Survival of each case at a time of its own: (N,) to (N,)."""
        return self._found(np.searchsorted(self.times, asked, side="right"), asked, np.arange(len(asked)))

    def some(self, rows: Any) -> SurvivalCurves:
        """Those of some cases."""
        return replace(self, survival=self.survival[rows])

    @property
    def last(self) -> float:
        """The time until which survival is known: steps have no end."""
        return float("inf") if self.steps or not len(self.times) else float(self.times[-1])

    def _found(self, place: Ints, asked: Floats, rows: Any) -> Floats:
        before = self._steps(place, rows)
        if self.steps or not len(self.times):
            return before
        edges = np.concatenate([[0.0], self.times])
        last = np.minimum(place + 1, len(self.times))
        lengths = np.maximum(edges[last] - edges[place], 1e-300)
        share = np.clip((asked - edges[place]) / lengths, 0, 1) * (last > place)
        # A survival of 0 has no logarithm: beyond this, nobody is left.
        lower, upper = (np.log(np.maximum(part, 1e-30)) for part in (before, self._steps(last, rows)))
        found: Floats = np.exp(lower + share * (upper - lower))
        return found

    def _steps(self, place: Ints, rows: Any) -> Floats:
        """Survival from the time before each place on, 1 before the first."""
        there = np.maximum(place - 1, 0)
        found = self.survival[:, there] if isinstance(rows, slice) else self.survival[rows, there]
        return np.where(place > 0, found, 1.0).astype(np.float64)


def joined_training(parts: Sequence[tuple[TrainingOutcomes | None, int]]) -> TrainingOutcomes | None:
    """Those of cases one after the other, each part with its number of cases; None if one has none."""
    records: list[Mapping[str, Any]] = []
    of: list[Ints] = []
    for part, cases in parts:
        if part is None:
            return None
        of.append(len(records) + (np.zeros(cases, dtype=np.int64) if part.of is None else part.of))
        records.extend(part.records)
    return TrainingOutcomes(tuple(records), np.concatenate(of))


def joined_curves(parts: Sequence[SurvivalCurves | None]) -> SurvivalCurves | None:
    """Those of cases one after the other, at the times of all; None if one has none, or they are of two kinds."""
    there = [part for part in parts if part is not None]
    if len(there) < len(parts) or len({part.steps for part in there}) != 1:
        return None
    times = np.unique(np.concatenate([part.times for part in there]))
    at = [part.survival if len(part.times) == len(times) else part.at(times).astype(np.float32) for part in there]
    return SurvivalCurves(times, np.concatenate(at), there[0].steps)


def mean_curves(parts: Sequence[SurvivalCurves | None]) -> SurvivalCurves | None:
    """The mean of several networks' curves of the same cases, at the times of all."""
    joined = joined_curves(parts)
    return joined and replace(joined, survival=joined.survival.reshape(len(parts), -1, len(joined.times)).mean(0))
