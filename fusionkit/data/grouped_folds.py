"""Splits rows into parts or folds that keep groups together and strata balanced."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

PARTS = ("train", "validation", "test")
_NAMES = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_QUARTILES = 4


def part_of(cell: str) -> str | None:
    """The part that a cell of a split column names, or None."""
    return _NAMES.get(cell.lower())


def fold_of(groups: Sequence[str], strata: Sequence[str] | None, count: int, seed: int) -> NDArray[np.int64]:
    """The fold, 0 to count - 1, in which each row is tested; rows of one group share it.

    Every stratum is spread as evenly over the folds as the groups allow. The order of the rows does not matter.
    """
    return _allot(groups, strata, [1.0] * count, seed)


def fraction_of(
    groups: Sequence[str], strata: Sequence[str] | None, fractions: Mapping[str, float], seed: int
) -> tuple[str, ...]:
    """The part of each row, with the given fractions for `validation` and `test` and the rest for training."""
    names = [name for name in PARTS if name == "train" or name in fractions]
    weights = [1.0 - sum(fractions.values()) if name == "train" else fractions[name] for name in names]
    return tuple(names[part] for part in _allot(groups, strata, weights, seed))


def divided(groups: Sequence[str], parts: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """The groups that occur in more than one part: group -> part -> rows."""
    rows: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (group, part) in enumerate(zip(groups, parts, strict=True)):
        rows[group][part].append(row)
    return {group: dict(where) for group, where in rows.items() if len(where) > 1}


def quartiles(values: NDArray[np.float64]) -> tuple[str, ...]:
    """The quartile of each number, as strata; NaN is a stratum of its own."""
    known = values[~np.isnan(values)]
    edges = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) else np.zeros(_QUARTILES - 1)
    return tuple("" if np.isnan(value) else str(int(np.searchsorted(edges, value))) for value in values)


def _allot(
    groups: Sequence[str], strata: Sequence[str] | None, weights: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """The part of each row: large groups first, each to the part that is furthest below its share.

    A part's deficit is measured as in a chi-square: for every stratum, and for all rows together, the squared
    distance from the share, divided by the share.
    """
    names, group_of_row = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    _, stratum_of_row = np.unique(np.asarray(strata if strata is not None else [""] * len(groups)),
                                  return_inverse=True)
    counts_GS = np.zeros((len(names), int(stratum_of_row.max(initial=0)) + 1))
    np.add.at(counts_GS, (group_of_row, stratum_of_row), 1.0)
    # The last column counts all rows, so that the parts have the right sizes even if every stratum is small.
    counts_GS = np.concatenate([counts_GS, counts_GS.sum(1, keepdims=True)], axis=1)
    share_PS = np.outer(weights, counts_GS.sum(0))
    share_PS[:, -1] /= counts_GS.shape[1] - 1
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts_GS[order, -1], kind="stable")]
    held_PS = np.zeros_like(share_PS)
    part_of_group = np.zeros(len(names), dtype=np.int64)
    for group in order:
        added_S = counts_GS[group]
        cost_P = ((2.0 * held_PS * added_S + added_S**2) / share_PS).sum(1)
        part = int(np.lexsort((held_PS[:, -1] / np.asarray(weights), np.round(cost_P, 9)))[0])
        part_of_group[group] = part
        held_PS[part] += added_S
    return np.asarray(part_of_group[group_of_row], dtype=np.int64)
