"""Bands of a drawing: where a wide one is wrapped, and how lines run from the end of a band to the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fusionkit.drawing.crossings import Segment, Slot

WIDE, HIGH = 1600.0, 950.0
"""A drawing of this size is fully visible at full size on a common screen."""
MOST_BANDS = 24
_LANE, _EDGE, _BAND_GAP = 8.0, 12.0, 22.0
_BREAK_WORTH, _TURN_WORTH = 0.95, 0.985
"""The factor on a drawing's score for a break, and for each line that must turn at it."""
_CROSSING_COST = 12.0

Widths = Sequence[tuple[float, float, float]]


def choose_breaks(widths: Widths, heights: Sequence[float], crossing: Sequence[int], screen: tuple[float, float]
                  ) -> list[int]:
    """The columns after which to break, so that the drawing has to shrink least to fit a screen; often none.

    `screen` is its width and height. Each break has a small cost, larger if many lines must turn.
    """
    best, most = [], 0.0
    for count in range(1, min(MOST_BANDS, len(widths)) + 1):
        breaks = _spread(widths, crossing, count)
        worth = _scale(widths, heights, crossing, breaks, screen) * _BREAK_WORTH ** len(breaks)
        worth *= _TURN_WORTH ** sum(crossing[cut] for cut in breaks)
        if worth > most + 1e-9:
            best, most = breaks, worth
        if most == 1:
            break
    return best


def _spread(widths: Widths, crossing: Sequence[int], count: int) -> list[int]:
    """Breaks into bands of about the same width, shifted slightly to where few lines cross."""
    ends, total = [], 0.0
    for column in widths:
        total += sum(column)
        ends.append(total)
    breaks: list[int] = []
    for part in range(1, count):
        ideal = total * part / count
        free = range(breaks[-1] + 1 if breaks else 0, len(widths) - 1)
        if free:
            breaks.append(min(free, key=lambda at: abs(ends[at] - ideal) + _CROSSING_COST * crossing[at]))
    return breaks


def _scale(widths: Widths, heights: Sequence[float], crossing: Sequence[int], breaks: Sequence[int],
           screen: tuple[float, float]) -> float:
    """The scale factor at which the drawing fits a screen."""
    edges = [-1, *breaks, len(widths) - 1]
    bands = [range(first + 1, last + 1) for first, last in pairwise(edges)]
    wide = max(sum(sum(widths[index]) for index in band) for band in bands)
    high = sum(max(heights[index] for index in band) for band in bands)
    high += sum(_channel(crossing[cut]) for cut in breaks)
    return min(screen[0] / wide, screen[1] / high, 1.0) if wide and high else 1.0


def _channel(lines: int) -> float:
    return 2 * _BAND_GAP + _LANE * (lines - 1)


class Page:
    """Maps columns to x and slots to y: `starts`, `ends` and `strips` are where boxes start and end, and labels end."""

    def __init__(self, layers: Sequence[Sequence[Slot]], turns: Sequence[int], widths: Widths) -> None:
        self.layers = layers
        self.band_of: list[int] = []
        for index in range(len(layers)):
            self.band_of.append(sum(index > turn for turn in turns))
        indent = max((_EDGE + _LANE * (len(layers[turn]) - 1) for turn in turns), default=0.0)
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.strips: list[float] = []
        at = indent
        for index, (column, labels, bends) in enumerate(widths):
            if index and self.band_of[index] != self.band_of[index - 1]:
                at = indent
            self.starts.append(at)
            self.ends.append(at + column)
            self.strips.append(at + column + labels)
            at += column + labels + bends
        self._stack(turns)
        reach = [self.starts[turn] + _EDGE + _LANE * (len(layers[turn]) - 1) for turn in turns]
        self.width = max([*self.strips, *reach], default=0.0)

    def _stack(self, turns: Sequence[int]) -> None:
        """Put each band below the previous one, with a channel between for the lines that turn."""
        self.offsets: list[float] = []
        self.bottoms: list[float] = []
        top = 0.0
        for band in range(len(turns) + 1):
            slots = [slot for index, layer in enumerate(self.layers) if self.band_of[index] == band for slot in layer]
            first = min((slot.at - slot.height / 2 for slot in slots), default=0.0)
            last = max((slot.at + slot.height / 2 for slot in slots), default=0.0)
            self.offsets.append(top - first)
            self.bottoms.append(top + last - first)
            if band < len(turns):
                top = self.bottoms[-1] + _channel(len(self.layers[turns[band]]))
        self.height = self.bottoms[-1]

    def top(self, slot: Slot) -> float:
        """The y of the middle of a slot."""
        return round(slot.at + self.offsets[self.band_of[slot.layer]], 1)

    def corner(self, slot: Slot) -> tuple[float, float]:
        """The upper left corner of a slot."""
        return self.starts[slot.layer], self.top(slot) - slot.height / 2

    def turn(self, segment: Segment) -> tuple[tuple[float, float], ...]:
        """Corners of a line's path from the end of its band to the start of the next, nested with its neighbours.

        The uppermost line goes furthest right, lowest through the channel and least far left, so that lines keep
        their order and do not cross.
        """
        source, target = segment.source, segment.target
        neighbours = self.layers[source.layer]
        place = next(index for index, slot in enumerate(neighbours) if slot is source)
        inner = len(neighbours) - 1 - place
        right = self.starts[source.layer] + _EDGE + _LANE * inner
        left = self.starts[target.layer] - _EDGE - _LANE * place
        level = self.bottoms[self.band_of[source.layer]] + _BAND_GAP + _LANE * inner
        leaving, entering = self.top(source), self.top(target)
        return ((self.starts[source.layer], leaving), (right, leaving), (right, level), (left, level),
                (left, entering), (self.starts[target.layer], entering))
