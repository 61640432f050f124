"""The share of comparable pairs of cases in the right order, for columns of weights. Contains no component.

Pairs are those of an event and a case that is known to have had it later: one with a later time, or censored at the
same. Cases enter from the last time to the first; sums of their weights by risk are in a Fenwick tree (Fenwick 1994,
doi:10.1002/spe.4380240306), so that time is N log N for each column of weights, and memory that of the weights.
Source: Harrell et al. 1982, Evaluating the Yield of Medical Tests, doi:10.1001/jama.1982.03320430047030; pairs by
predicted curves: Antolini et al. 2005, doi:10.1002/sim.2427.
"""
# Axes: N cases, R columns of weights, U distinct risks.

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from fusionkit.api import Bools, Floats, Ints, ratio

_ROWS = 256


def concordance(risk: Floats, time: Floats, event: Bools, own: Floats, weights: Floats) -> Floats:
    """The share of comparable pairs in the right order, equal risks half: `own` weighs the event, `weights` the other.

    *Shapes*: (N,) and (N, R) to (R,), NaN without a pair.
    """
    # The order of sums, and so their last bit, is not that in which cases are given.
    order = np.lexsort((risk, event, -time))
    event, own, weights = event[order], own[order], weights[order]
    ranks = np.unique(risk[order], return_inverse=True)[1]
    # A time may be infinite, so that differences would not do.
    ranked = time[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])) if len(order) else []
    tree = _Sums(int(ranks.max(initial=-1)) + 1, weights.shape[1])
    right, every = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    for start, end in pairwise(starts):
        first = start + int(np.searchsorted(event[start:end], True))
        for place in range(start, first):
            tree.add(int(ranks[place]), weights[place])
        for place in range(first, end):
            if tree.count:
                right += own[place] * tree.below(int(ranks[place]))
                every += own[place] * tree.total
        for place in range(first, end):
            tree.add(int(ranks[place]), weights[place])
    return ratio(right, every)


class _Sums:
    """Sums of weights over ranks, (R,) each."""

    def __init__(self, ranks: int, columns: int) -> None:
        self.sums = np.zeros((ranks + 1, columns))
        self.total = np.zeros(columns)
        self.count = 0
        self._paths: dict[tuple[int, int], Ints] = {}

    def add(self, rank: int, weights: Floats) -> None:
        """Let a case of a rank enter."""
        self.sums[self._path(rank + 1, 1)] += weights
        self.total += weights
        self.count += 1

    def below(self, rank: int) -> Floats:
        """The weight of lower ranks, and half of that of the rank itself."""
        found: Floats = (self.sums[self._path(rank, -1)].sum(axis=0) + self.sums[self._path(rank + 1, -1)].sum(axis=0))
        return found / 2

    def _path(self, place: int, way: int) -> Ints:
        path = self._paths.get((place, way))
        if path is None:
            places = []
            while 0 < place < len(self.sums):
                places.append(place)
                place += way * (place & -place)
            path = self._paths[places[0] if places else 0, way] = np.array(places, dtype=np.int64)
        return path


def concordance_of_curves(at: Callable[[Floats], Floats], time: Floats, event: Bools, own: Floats, weights: Floats
                          ) -> Floats:
    """The same, of predicted curves: a pair is right where the case of the event has the lower survival at its time.

    `at` gives survival at some times, (A,) to (N, A). Time is N squared for each column, memory that of the weights.
    """
    right, every = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    events = np.flatnonzero(event)
    events = events[np.argsort(time[events], kind="stable")]
    for start in range(0, len(events), _ROWS):
        rows = events[start:start + _ROWS]
        survival = at(time[rows]).T
        pairs = (time[rows, None] < time) | ((time[rows, None] == time) & ~event)
        mine = survival[np.arange(len(rows)), rows][:, None]
        order = (mine < survival) + 0.5 * (mine == survival)
        right += np.einsum("nr,nr->r", own[rows], (pairs * order) @ weights)
        every += np.einsum("nr,nr->r", own[rows], pairs.astype(np.float64) @ weights)
    return ratio(right, every)
