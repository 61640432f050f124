"""Orders slots within layers to reduce line crossings: barycentre sweeps, then swaps of neighbours.

Source: Sugiyama, Tagawa, Toda 1981, doi:10.1109/TSMC.1981.4308636; swaps of neighbours as in Gansner et al.
1993, A technique for drawing directed graphs, doi:10.1109/32.221135, section 3.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

SWEEPS = 16
EFFORT = 60_000
"""Slots visited in all rounds of one kind; a drawing too large to be read gets fewer rounds, to save time."""
MOST_SWAPPED = 600
"""The most slots for which neighbours are swapped; larger drawings get sweeps only, to save time."""

_End = tuple[float, float]


@dataclass(slots=True, eq=False)
class Slot:
    """A slot in a column: a box, or the dummy through which a line passes the column; `at` is its centre."""

    layer: int
    height: float
    key: str | None = None
    ins: list[Segment] = field(default_factory=list)
    outs: list[Segment] = field(default_factory=list)
    at: float = 0.0


@dataclass(slots=True, eq=False)
class Segment:
    """A line between neighbouring columns; `leaves` and `enters` are its offsets from the centres of the slots.

    `stiffness` is its weight for being straight; `turn` is set if it leads from one band to the next.
    """

    line: int
    source: Slot
    target: Slot
    stiffness: float = 1.0
    turn: bool = False
    leaves: float = 0.0
    enters: float = 0.0


def reduce_crossings(layers: Sequence[Sequence[Slot]]) -> list[list[Slot]]:
    """The same layers, each in the best order found."""
    current = [list(layer) for layer in layers]
    best, fewest = current, count_crossings(current)
    swapping = sum(map(len, current)) <= MOST_SWAPPED
    for sweep in range(rounds(SWEEPS, layers)):
        if fewest == 0:
            break
        current = [list(layer) for layer in current]
        _sweep(current, forward=sweep % 2 == 0)
        if swapping:
            _swap_neighbours(current)
        crossings = count_crossings(current)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
    return best


def rounds(wanted: int, layers: Sequence[Sequence[Slot]]) -> int:
    """How many rounds over all slots to do: those wanted, fewer if there are very many slots."""
    return max(2, min(wanted, EFFORT // max(sum(map(len, layers)), 1)))


def count_crossings(layers: Sequence[Sequence[Slot]]) -> int:
    """How many pairs of lines cross between neighbouring layers."""
    rank = _ranks(layers)
    return sum(_crossings(layer, rank) for layer in layers)


def _ranks(layers: Sequence[Sequence[Slot]]) -> dict[int, int]:
    return {id(slot): index for layer in layers for index, slot in enumerate(layer)}


def _crossings(layer: Sequence[Slot], rank: dict[int, int]) -> int:
    ends = sorted((rank[id(slot)], segment.leaves, rank[id(segment.target)])
                  for slot in layer for segment in slot.outs)
    seen: list[int] = []
    total = 0
    for _, _, end in ends:
        total += len(seen) - bisect_right(seen, end)
        insort(seen, end)
    return total


def _sweep(layers: list[list[Slot]], forward: bool) -> None:
    """Order each layer by the mean position of its neighbours in the previous layer, or in the next one."""
    rank = _ranks(layers)
    for index in range(1, len(layers)) if forward else range(len(layers) - 2, -1, -1):
        centre = {id(slot): _barycentre(slot, rank, forward) for slot in layers[index]}
        layers[index].sort(key=lambda slot: centre[id(slot)])
        rank.update(_ranks([layers[index]]))


def _barycentre(slot: Slot, rank: dict[int, int], forward: bool) -> float:
    if forward:
        # The exit breaks ties between lines of one box; a thousandth keeps it below the order of boxes.
        ends = [rank[id(segment.source)] + segment.leaves / 1000 for segment in slot.ins]
    else:
        ends = [float(rank[id(segment.target)]) for segment in slot.outs]
    return sum(ends) / len(ends) if ends else float(rank[id(slot)])


def _swap_neighbours(layers: list[list[Slot]]) -> None:
    improved = True
    while improved:
        improved = False
        rank = _ranks(layers)
        for layer in layers:
            for index in range(len(layer) - 1):
                first, second = layer[index], layer[index + 1]
                if _between(second, first, rank) < _between(first, second, rank):
                    layer[index], layer[index + 1] = second, first
                    rank[id(first)], rank[id(second)] = index + 1, index
                    improved = True


def _between(first: Slot, second: Slot, rank: dict[int, int]) -> int:
    """Crossings of the lines of two neighbours if `first` comes before `second`."""
    ins = _inversions([(rank[id(s.source)], s.leaves) for s in first.ins],
                      [(rank[id(s.source)], s.leaves) for s in second.ins])
    outs = _inversions([(rank[id(s.target)], 0.0) for s in first.outs],
                       [(rank[id(s.target)], 0.0) for s in second.outs])
    return ins + outs


def _inversions(first: list[_End], second: list[_End]) -> int:
    return sum(b < a for a in first for b in second)
