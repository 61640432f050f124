"""Lays out boxes in columns and lines between them that never cross a box. Pure geometry: no text, no colours.

A drawing reads like a page: from left to right and, if it would be too wide, continued in a band below.
Between two columns there are two strips: one where lines run straight next to their labels, one where they bend.
Lines bend only in bending strips, which contain no boxes.

Source: layers, dummies and sweeps as in Sugiyama, Tagawa, Toda 1981, Methods for visual understanding of
hierarchical system structures, doi:10.1109/TSMC.1981.4308636; straightness weights as in Gansner et al. 1993,
A technique for drawing directed graphs, doi:10.1109/32.221135, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from fusionkit.drawing.bands import HIGH, WIDE, Page, choose_breaks
from fusionkit.drawing.crossings import Segment, Slot, reduce_crossings, rounds

BOX_GAP, LINE_GAP, ENTRY = 22.0, 11.0, 11.0
"""Pixels between two boxes of a column, around a line that passes, and between the ends of lines at a box."""
BEND, SLOPE, WIDEST_BEND, ARROW = 14.0, 0.14, 130.0, 8.0
_SETTLING, _STILL, _INERTIA = 24, 0.05, 1e-6
_STIFFNESS = {0: 8.0, 1: 2.0, 2: 1.0}
"""The weight for a piece of a line to be straight, by how many of its ends are boxes."""


class Box(NamedTuple):
    """A box to be placed, with its minimum size in pixels."""

    key: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """One value from a box to all its readers; without readers it has an open end, like a result.

    `width` and `height` are the space for its label where it leaves the box, in pixels.
    """

    source: str
    targets: tuple[str, ...]
    width: float
    height: float


class BoxPosition(NamedTuple):
    """The upper left corner of a box, and its size."""

    x: float
    y: float
    width: float
    height: float


Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Track:
    """A piece of a line. `target` is the box that it enters, None if it continues or has an open end.

    With four points, a smooth curve leads from the second to the third; with more, all are corners to be rounded.
    """

    points: tuple[Point, ...]
    target: str | None


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """Positions of boxes by key, the tracks of each line in the given order, and the total size."""

    places: dict[str, BoxPosition]
    tracks: tuple[tuple[Track, ...], ...]
    width: float
    height: float


def arrange(boxes: Sequence[Box], lines: Sequence[Line], wide: float = WIDE, high: float = HIGH) -> GraphLayout:
    """The layout of boxes given in execution order, in as many bands as is most readable on a screen of that size.

    Every line must lead from a box to later ones. The last layouts are remembered: while a graph is written, most
    changes move no box.
    """
    return _arranged(tuple(boxes), tuple(lines), (wide, high))


@lru_cache(maxsize=32)
def _arranged(boxes: tuple[Box, ...], lines: tuple[Line, ...], screen: tuple[float, float]) -> GraphLayout:
    single = _Arrangement(boxes, lines)
    layout = single.layout()
    breaks = choose_breaks(single.widths(), single.heights(), single.crossing(), screen)
    return _Arrangement(boxes, lines, breaks).layout() if breaks else layout


class _Arrangement:
    """One layout under construction; `breaks` are the columns after which a new band starts."""

    def __init__(self, boxes: Sequence[Box], lines: Sequence[Line], breaks: Sequence[int] = ()) -> None:
        self.boxes = {box.key: box for box in boxes}
        self.lines = lines
        depth = self._depths()
        # A break is two columns without boxes: where lines leave the old band, and where they enter the new one.
        column = {key: layer + 2 * sum(layer > cut for cut in breaks) for key, layer in depth.items()}
        self.turns = {cut + 1 + 2 * index for index, cut in enumerate(sorted(breaks))}
        self.slots = {box.key: Slot(column[box.key], box.height, box.key) for box in boxes}
        self.layers: list[list[Slot]] = [[] for _ in range(max(column.values(), default=0) + 1)]
        for slot in self.slots.values():
            self.layers[slot.layer].append(slot)
        self.segments = [self._lead(number, line) for number, line in enumerate(lines)]
        self._leave()

    def _depths(self) -> dict[str, int]:
        """The column of each box: the length of the longest path to it."""
        depth = dict.fromkeys(self.boxes, 0)
        position = {key: index for index, key in enumerate(self.boxes)}
        for line in sorted(self.lines, key=lambda line: position[line.source]):
            for target in line.targets:
                assert position[line.source] < position[target], "boxes are out of order; please report"
                depth[target] = max(depth[target], depth[line.source] + 1)
        return depth

    def _lead(self, number: int, line: Line) -> list[Segment]:
        """The segments of one line: a trunk of dummies with a branch to each reader."""
        segments: list[Segment] = []
        trunk = self.slots[line.source]
        waiting = [self.slots[target] for target in line.targets]
        while waiting:
            following = trunk.layer + 1
            segments.extend(self._join(number, trunk, slot) for slot in waiting if slot.layer == following)
            waiting = [slot for slot in waiting if slot.layer > following]
            if waiting:
                dummy = Slot(following, 0)
                self.layers[following].append(dummy)
                segments.append(self._join(number, trunk, dummy))
                trunk = dummy
        return segments

    def _join(self, number: int, source: Slot, target: Slot) -> Segment:
        turn = source.layer in self.turns
        stiffness = 0.0 if turn else _STIFFNESS[(source.key is not None) + (target.key is not None)]
        segment = Segment(number, source, target, stiffness, turn)
        source.outs.append(segment)
        target.ins.append(segment)
        return segment

    def _leave(self) -> None:
        """Spread the lines that leave a box over its side, in the given order, enlarging it if needed."""
        leaving: dict[str, list[int]] = {}
        for number, line in enumerate(self.lines):
            leaving.setdefault(line.source, []).append(number)
        self.exits = [0.0] * len(self.lines)
        for key, numbers in leaving.items():
            step = max(self.lines[number].height for number in numbers)
            for place, number in enumerate(numbers):
                self.exits[number] = (place - (len(numbers) - 1) / 2) * step
            self.slots[key].height = max(self.slots[key].height, (len(numbers) + 1) * step)
        for segment in (segment for group in self.segments for segment in group):
            segment.leaves = self.exits[segment.line] if segment.source.key else 0.0

    def layout(self) -> GraphLayout:
        """The final positions of everything."""
        self.layers = reduce_crossings(self.layers)
        for turn in self.turns:
            self.layers[turn + 1] = [slot.outs[0].target for slot in self.layers[turn]]
        self._enter()
        self._settle()
        page = Page(self.layers, sorted(self.turns), self.widths())
        places = {key: BoxPosition(*page.corner(slot), self._column(slot.layer), slot.height)
                  for key, slot in self.slots.items()}
        tracks = [tuple(self._track(segment, page) for segment in group) or (self._open_end(number, page),)
                  for number, group in enumerate(self.segments)]
        return GraphLayout(places, tuple(tracks), page.width, page.height)

    def _enter(self) -> None:
        """Spread the lines that enter a box over its side in the order of their origins."""
        rank = {id(slot): index for layer in self.layers for index, slot in enumerate(layer)}
        for slot in self.slots.values():
            slot.ins.sort(key=lambda segment: (rank[id(segment.source)], segment.leaves))
            for place, segment in enumerate(slot.ins):
                segment.enters = (place - (len(slot.ins) - 1) / 2) * ENTRY
            slot.height = max(slot.height, (len(slot.ins) + 1) * ENTRY)

    def _settle(self) -> None:
        """Set heights: each slot moves to where its lines are straightest, as far as its neighbours allow."""
        columns = [_Column(layer) for layer in self.layers]
        for column in columns:
            column.settle(ins=False, outs=False)
        for column in columns[1:]:
            column.settle(ins=True, outs=False)
        for column in columns[-2::-1]:
            column.settle(ins=False, outs=True)
        for _ in range(rounds(_SETTLING, self.layers)):
            moved = max(column.settle(ins=True, outs=True) for column in (*columns, *columns[::-1]))
            if moved < _STILL:
                break

    def widths(self) -> list[tuple[float, float, float]]:
        """For each column the widths of its boxes, of the labels after it, and of the bends after those."""
        return [(self._column(index), self._labels(layer), self._bends(layer))
                for index, layer in enumerate(self.layers)]

    def heights(self) -> list[float]:
        """The height of each column."""
        return [sum(slot.height + (BOX_GAP if slot.key else LINE_GAP) for slot in layer) for layer in self.layers]

    def crossing(self) -> list[int]:
        """How many lines run from each column to the next, a line with several readers counted once."""
        return [len({segment.line for slot in layer for segment in slot.outs}) for layer in self.layers]

    def _column(self, index: int) -> float:
        return max((self.boxes[slot.key].width for slot in self.layers[index] if slot.key), default=0.0)

    def _labels(self, layer: list[Slot]) -> float:
        keys = {slot.key for slot in layer if slot.key}
        return max((line.width for line in self.lines if line.source in keys), default=0.0)

    def _bends(self, layer: list[Slot]) -> float:
        """Longer bends for lines with a large vertical distance, so that none is steep."""
        far = max((abs(segment.source.at + segment.leaves - segment.target.at - segment.enters)
                   for slot in layer for segment in slot.outs if not segment.turn), default=0.0)
        return min(BEND + min(far, 20) + far * SLOPE, WIDEST_BEND) + ARROW

    def _track(self, segment: Segment, page: Page) -> Track:
        source, target = segment.source, segment.target
        if segment.turn:
            return Track(page.turn(segment), None)
        leaving, entering = page.top(source) + segment.leaves, page.top(target) + segment.enters
        first = page.ends[source.layer] if source.key else page.starts[source.layer]
        last = page.starts[target.layer]
        return Track(((first, leaving), (page.strips[source.layer], leaving), (last - ARROW, entering),
                      (last, entering)), target.key)

    def _open_end(self, number: int, page: Page) -> Track:
        line = self.lines[number]
        slot = self.slots[line.source]
        x, y = page.ends[slot.layer], page.top(slot) + self.exits[number]
        return Track(((x, y), (x + line.width, y)), None)


class _Column:
    """The slots of one column, each with the minimum distance of its centre from that of the first."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self.room = [0.0]
        for before, after in pairwise(slots):
            gap = BOX_GAP if before.key and after.key else LINE_GAP
            self.room.append(self.room[-1] + (before.height + after.height) / 2 + gap)

    def settle(self, ins: bool, outs: bool) -> float:
        """Move slots as close to where their lines pull them as order and distances allow; returns the largest move."""
        wanted, weights = [], []
        for slot, room in zip(self.slots, self.room, strict=False):
            place, weight = _pulled(slot, slot.ins if ins else (), slot.outs if outs else ())
            wanted.append(place - room)
            weights.append(weight)
        moved = 0.0
        for slot, room, at in zip(self.slots, self.room, _rising(wanted, weights), strict=False):
            moved = max(moved, abs(slot.at - at - room))
            slot.at = at + room
        return moved


def _pulled(slot: Slot, ins: Sequence[Segment], outs: Sequence[Segment]) -> Point:
    """The position that the lines of a slot pull it to, and the strength; its own position without lines."""
    total, weight = slot.at * _INERTIA, _INERTIA
    for segment in ins:
        total += segment.stiffness * (segment.source.at + segment.leaves - segment.enters)
        weight += segment.stiffness
    for segment in outs:
        total += segment.stiffness * (segment.target.at + segment.enters - segment.leaves)
        weight += segment.stiffness
    return total / weight, weight


def _rising(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Isotonic regression: the rising sequence closest to the wanted one in weighted squares, by pooling violators."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(wanted, weights, strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            other = blocks.pop()
            total = other[1] + block[1]
            mean = (other[0] * other[1] + block[0] * block[1]) / total
            block = (mean, total, other[2] + block[2])
        blocks.append(block)
    return [value for value, _, count in blocks for _ in range(count)]
