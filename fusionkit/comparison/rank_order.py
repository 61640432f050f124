"""All networks ranked over the folds, and which of them are not shown to differ from each other.

Within each fold and repeat the networks are ranked, 1 for the best, ties with their mean rank. Two networks differ
where the corrected resampled t test of their values says so, with p corrected by Holm for all pairs. Nemenyi's critical
difference of mean ranks is given beside it: it takes the folds for independent data sets, which folds of one cohort are
not, so that it is too small here, and nothing is decided by it.

Sources: Demsar 2006, Statistical comparisons of classifiers over multiple data sets, JMLR 7:1-30, section 3.2.2; Nadeau
and Bengio 2003, doi:10.1023/A:1024068626366, for the test.

Axes: K networks, J folds and repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.comparison.scoring import HeadRanking, ScoreRow
from fusionkit.comparison.significance import corrected_t
from fusionkit.comparison.train import Unit
from fusionkit.evaluation.bootstrap import LEVEL
from fusionkit.evaluation.differences import holm
from fusionkit.evaluation.formatting import figures

_GRID = 2001
_FAR = 8.5


@dataclass(frozen=True)
class RankOrder:
    """Networks by their mean rank, the best first.

    `groups` are the first and the last place of networks of which no two are shown to differ, none of them within
    another. `critical` is Nemenyi's difference of mean ranks for `count` independent data sets. `left_out` are networks
    without a value for all cases or folds.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    groups: tuple[tuple[int, int], ...]
    critical: float
    count: int
    left_out: tuple[str, ...] = ()

    def letters(self, place: int) -> str:
        """The groups of a network as letters: two networks that share one are not shown to differ."""
        return " ".join(_letter(number) for number, (first, last) in enumerate(self.groups) if first <= place <= last)

    def to_json(self) -> dict[str, Any]:
        """The order as plain data."""
        return {"mean_ranks": {name: round(rank, 6) for name, rank in zip(self.names, self.ranks, strict=True)},
                "not_shown_to_differ": [list(self.names[first : last + 1]) for first, last in self.groups],
                "nemenyi_critical_difference": self.critical, "folds": self.count, "left_out": list(self.left_out)}


def rank_order(ranking: HeadRanking, units: Sequence[Unit], seeds: int = 1) -> RankOrder | None:
    """The order of the networks of a head; None without several folds, or with fewer than two networks that have all.

    Several seeds of a fold are averaged before, as for the differences from the reference.
    """
    if len(units) // seeds < 2 or all(unit.fold is None for unit in units):
        return None
    whole = [row for row in ranking.rows if row.cases == ranking.cases and None not in row.values]
    if len(whole) < 2:
        return None
    goodness_KJ = np.array([_by_fold(ranking, row, seeds) for row in whole])
    ranks_K = np.mean([_ranks(-column) for column in goodness_KJ.T], axis=0)
    order = np.argsort(ranks_K, kind="stable")
    share = float(np.mean([len(unit.test) / max(len(unit.train), 1) for unit in units]))
    groups = _groups(len(whole), _differing(goodness_KJ[order], share))
    kept = {row.name for row in whole}
    count = goodness_KJ.shape[1]
    return RankOrder(tuple(whole[place].name for place in order), tuple(ranks_K[order].tolist()), groups,
                     critical_difference(len(whole), count), count,
                     tuple(row.name for row in ranking.rows if row.name not in kept))


def _by_fold(ranking: HeadRanking, row: ScoreRow, seeds: int) -> Floats:
    """The values of a network for every fold and repeat (J,), turned so that larger is better."""
    goodness = ranking.measure.declared.goodness
    values = np.array([goodness(value) for value in row.values if value is not None])
    mean: Floats = values.reshape(seeds, -1).mean(axis=0)
    return mean


def _ranks(values: Floats) -> Floats:
    """The ranks of values from 1, the smallest first, ties with their mean."""
    order = np.sort(values)
    left, right = np.searchsorted(order, values, "left"), np.searchsorted(order, values, "right")
    ranks: Floats = (left + right + 1) / 2
    return ranks


def _differing(goodness_KJ: Floats, share: float) -> set[tuple[int, int]]:
    """The pairs of places that are shown to differ, after Holm's correction for all pairs."""
    pairs = list(combinations(range(len(goodness_KJ)), 2))
    found = [corrected_t((goodness_KJ[one] - goodness_KJ[other]).tolist(), share) for one, other in pairs]
    # The same difference in every fold has no p, and is as clear as can be.
    corrected = holm([0.0 if each.p is None else each.p for each in found])
    return {pair for pair, p in zip(pairs, corrected, strict=True) if p is not None and p < 1 - LEVEL}


def _groups(count: int, differing: set[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The longest runs of places in which no two differ, without those that lie within another."""
    found: list[tuple[int, int]] = []
    for first in range(count):
        last = first
        while last + 1 < count and not any((place, last + 1) in differing for place in range(first, last + 1)):
            last += 1
        if not found or last > found[-1][1]:
            found.append((first, last))
    return tuple(found)


def critical_difference(networks: int, data_sets: int) -> float:
    """Nemenyi's: mean ranks over independent data sets differ at 5 % if they are this far apart.

    Example:
        >>> round(critical_difference(4, 14), 2)
        1.25
    """
    return range_quantile(networks) / math.sqrt(2) * math.sqrt(networks * (networks + 1) / (6 * data_sets))


def range_quantile(count: int, share: float = LEVEL) -> float:
    """The range of `count` standard normal numbers below which it lies with this probability, by bisection."""
    low, high = 0.0, 2 * _FAR
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _range_distribution(middle, count) < share else (low, middle)
    return high


def _range_distribution(width: float, count: int) -> float:
    """P(range <= width) of `count` standard normal numbers: the largest at z, all others within the width below it."""
    z = np.linspace(-_FAR, _FAR, _GRID)
    within = _normal(z) - _normal(z - width)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    # The ends of the grid add nothing, so that the sum is the trapezoidal rule.
    return float(count * (density * within ** (count - 1)).sum() * (z[1] - z[0]))


def _normal(z: Floats) -> Floats:
    made: Floats = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in z.tolist()])
    return made


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"a{number - 25}"


def order_table(order: RankOrder) -> tuple[list[str], list[list[str]]]:
    """The networks with their mean rank and groups: columns and rows."""
    return ["", "mean rank", "group"], [[name, figures(rank), order.letters(place)] for place, (name, rank) in
                                        enumerate(zip(order.names, order.ranks, strict=True))]


def order_texts(order: RankOrder) -> list[str]:
    """How to read `order_table`."""
    found = ["Networks with a letter in common are not shown to differ: resampled t test with the correction of Nadeau "
             "and Bengio, p corrected by Holm for all pairs, 0.05. That does not show that they are equal.",
             f"Nemenyi's critical difference of mean ranks would be {figures(order.critical)} for {order.count} "
             "independent data sets. Folds of one cohort share their training cases, so that it is too small here."]
    if order.left_out:
        found.append(f"Not ranked, since they have no value for all cases or folds: {', '.join(order.left_out)}.")
    return found
