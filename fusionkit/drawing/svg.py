"""Draws a plan as SVG: kinds by colour and outline, shapes on the lines, costs in the boxes.

A layout of our own rather than graphviz, which is a program that users would have to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from fusionkit.drawing.bands import HIGH, WIDE
from fusionkit.drawing.labels import (
    INK,
    OUTLINES,
    TINTS,
    WIDEST_TEXT,
    Card,
    CardLine,
    Labels,
    Wire,
    clean,
    labels_of,
    shorten,
    text_width,
)
from fusionkit.drawing.layout import Box, BoxPosition, GraphLayout, Line, Point, Track, arrange
from fusionkit.drawing.mermaid import mermaid
from fusionkit.planning.plan import Plan

__all__ = ["mermaid", "svg"]

MUTED, WIRE, PAPER, MISTAKE, DIFFERS = "#454d58", "#5a6472", "#ffffff", "#b3261e", "#7a3e9d"
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, 'DejaVu Sans', sans-serif"

_NAME, _TITLE, _ROW, _COST, _BADGE, _LABEL = 18.0, 13.0, 11.0, 10.0, 9.0, 10.0
_PAD, _MARGIN = 12.0, 26.0
_WIDEST_NOTE, _NARROWEST = 900.0, 430.0
_ROW_STEP, _TITLE_STEP, _COST_STEP = 15.0, 18.0, 14.0
_DASH = ' stroke-dasharray="5 3.5"'


def svg(plan: Plan) -> str:
    """The drawing of a plan as the text of an SVG file.

    It reads like a page: from left to right and, if it would be too wide, continued in a band below.
    """
    return drawn(labels_of(plan))


def drawn(labels: Labels, *, live: bool = False, wide: float = WIDE, high: float = HIGH) -> str:
    """The drawing of boxes and wires with these texts, for a screen of `wide` by `high` pixels.

    With `live` it is one to be shown while the graph changes: groups are named by `data-node`, and by `data-wire` with
    `data-to` (its readers), have the classes `faulty` and `unknown`, and boxes leave room for costs that come later.
    """
    faces = [_Face(card, live) for card in labels.cards]
    layout = arrange([Box(face.card.key, face.width, face.height) for face in faces],
                     [_line(wire) for wire in labels.wires], wide, high)
    return _document(labels, faces, layout, live)


class _Face:
    """One card with measured texts: their positions, and the space it needs."""

    def __init__(self, card: Card, live: bool) -> None:
        self.card = card
        self.title = shorten(card.title, _TITLE, WIDEST_TEXT)
        self.rows = [row for given in card.rows for row in _split(given)]
        self.pad = _PAD + (5 if card.kind in ("input", "fusion") else 0)
        badges = sum(_badge_width(badge) + 5 for badge in card.badges)
        widths = [text_width(self.title, _TITLE, bold=True) + badges + (5 if badges else 0)]
        widths.extend(_row_width(_fitted(row)) for row in self.rows)
        widths.append(text_width(card.cost, _COST))
        self.content = max(widths)
        self.width = max(self.content + 2 * self.pad, 84)
        costs = card.cost or (live and card.kind != "input")
        self.words = _TITLE_STEP + _ROW_STEP * len(self.rows) + (_COST_STEP if costs else 0)
        self.height = self.words + 15


def _split(row: CardLine) -> Iterator[CardLine]:
    """The row itself, or its detail on a separate line if both are too wide for one."""
    if not row.detail or _row_width(row) <= WIDEST_TEXT:
        yield row
        return
    yield CardLine(row.text)
    yield CardLine("", row.detail)


def _fitted(row: CardLine) -> CardLine:
    """The row with its text truncated to the widest box."""
    return CardLine(shorten(row.text, _ROW, WIDEST_TEXT), shorten(row.detail, _ROW, WIDEST_TEXT))


def _row_width(row: CardLine) -> float:
    return text_width(row.text, _ROW) + (6 if row.text and row.detail else 0) + text_width(row.detail, _ROW)


def _badge_width(badge: str) -> float:
    return text_width(badge, _BADGE) + (22 if badge == "frozen" else 11)


def _line(wire: Wire) -> Line:
    return Line(wire.source, wire.targets, text_width(wire.label, _LABEL) + (16 if wire.targets else 24), 18)


def _document(labels: Labels, faces: Sequence[_Face], layout: GraphLayout, live: bool) -> str:
    notes = [(shorten(note, _ROW, _WIDEST_NOTE), note) for note in labels.notes]
    name = clean(labels.name)
    title = shorten(name, _NAME, _WIDEST_NOTE)
    marks, notation = _legend(faces, labels.wires), _notation(labels)
    content = max(layout.width, text_width(title, _NAME, bold=True), *(text_width(note, _ROW) for note, _ in notes),
                  min(sum(item.width for item in marks), _NARROWEST), *(item.width for item in notation))
    rows = _wrapped(marks, content) + _wrapped(notation, content)
    top = _MARGIN + 42 + 16 * len(notes)
    foot = top + layout.height + 44
    width, height = _number(content + 2 * _MARGIN), _number(foot + 20 * (len(rows) - 1) + _MARGIN)
    # The drawing is centred if its texts are wider than its boxes.
    pen = _Pen(_MARGIN + (content - layout.width) / 2, top, live)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" font-family="{_FONTS}">',
        f"<title>{escape(name)}</title>",
        f"<desc>{escape('; '.join(labels.notes))}</desc>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        _text(_MARGIN, _MARGIN + 14, title, _NAME, colour=INK, bold=True, full=name),
        *(_text(_MARGIN, _MARGIN + 35 + 16 * row, note, _ROW, colour=MUTED, full=full)
          for row, (note, full) in enumerate(notes)),
        *(part for wire, tracks in zip(labels.wires, layout.tracks, strict=True) for part in pen.wire(wire, tracks)),
        *(part for face in faces for part in pen.box(face, layout.places[face.card.key])),
        *(part for row, items in enumerate(rows) for part in _legend_row(items, foot + 20 * row)),
        "</svg>",
    ]) + "\n"


class _Pen:
    """Draws the layout, shifted to the position of the drawing."""

    def __init__(self, left: float, top: float, live: bool) -> None:
        self.left = left
        self.top = top
        self.live = live

    def _at(self, point: Point) -> Point:
        return point[0] + self.left, point[1] + self.top

    def wire(self, wire: Wire, tracks: Sequence[Track]) -> Iterator[str]:
        """One value: its lines to all readers, arrows, and its shape at the start."""
        ways = [tuple(map(self._at, track.points)) for track in tracks]
        path = " ".join(_smooth(way) if len(way) == 4 else _rounded(way) for way in ways)
        yield f"<g{self._wire_named(wire)}><title>{escape(wire.tooltip)}</title>"
        # The wider white line beneath separates lines that cross.
        yield f'<path d="{path}" fill="none" stroke="{PAPER}" stroke-width="4.5"/>'
        yield f'<path d="{path}" fill="none" stroke="{WIRE}" stroke-width="1.4"{_DASH if wire.maybe_absent else ""}/>'
        yield from (_arrow(way[-1]) for way, track in zip(ways, tracks, strict=True)
                    if track.target or not wire.targets)
        x, y = ways[0][0]
        yield _text(x + 7, y - 4.5, wire.label, _LABEL, colour=MUTED)
        yield from (part for way, track in zip(ways, tracks, strict=True)
                    if track.target in wire.faulty or (wire.faulty and len(wire.targets) == 1)
                    for part in _clash(way, bool(track.target)))
        yield "</g>"

    def _wire_named(self, wire: Wire) -> str:
        if not self.live:
            return ""
        classes = " ".join(["wire", *(["faulty"] if wire.faulty else []), *(["unknown"] if wire.label == "?" else [])])
        to = " ".join(wire.targets)
        return f' class="{classes}" data-wire={quoteattr(wire.name)} data-to={quoteattr(to)}'

    def _box_named(self, card: Card) -> str:
        if not self.live:
            return ""
        classes = " ".join(["node", card.kind, *(["faulty"] if card.faulty else []),
                            *(["unknown"] if card.unknown else [])])
        inside = f" data-inside={quoteattr(' '.join(card.inside))}" if card.inside else ""
        return f' class="{classes}" data-node={quoteattr(card.key)}{inside}'

    def box(self, face: _Face, place: BoxPosition) -> Iterator[str]:
        """One input or node: outline, title with badges, rows, cost."""
        card, (x, y) = face.card, self._at((place.x, place.y))
        yield f"<g{self._box_named(card)}><title>{escape(card.tooltip)}</title>"
        yield from _outline(card.kind, x, y, place.width, place.height, dashed=card.optional or card.unknown)
        if card.faulty:
            yield _rectangle(x - 3, y - 3, place.width + 6, place.height + 6, radius=9,
                             look=f'fill="none" stroke="{MISTAKE}" stroke-width="2"')
        if card.mark:
            dash = _DASH if card.mark == "gone" else ""
            yield _rectangle(x - 4, y - 4, place.width + 8, place.height + 8, radius=9,
                             look=f'fill="none" stroke="{DIFFERS}" stroke-width="2.4"{dash}')
        if card.inside:
            yield _rectangle(x + 4, y - 4, place.width - 8, 4, radius=2,
                             look=f'fill="{TINTS[card.kind]}" stroke="{OUTLINES[card.kind]}" stroke-width="1"')
        left, line = x + face.pad, y + (place.height - face.words) / 2 + 13
        yield _text(left, line, face.title, _TITLE, colour=INK, bold=True, full=card.title)
        right = left + text_width(face.title, _TITLE, bold=True) + 8
        for badge in card.badges:
            yield from _badge(badge, right, line - 10.5, OUTLINES[card.kind])
            right += _badge_width(badge) + 5
        for index, row in enumerate(face.rows):
            line += _ROW_STEP + (2 if index == 0 else 0)
            yield from _row(row, left, line)
        if card.cost:
            yield _text(left, line + _COST_STEP, card.cost, _COST, colour=MUTED)
        yield "</g>"


def _clash(way: Sequence[Point], enters: bool) -> Iterator[str]:
    """A piece of a wire that its reader cannot take: thicker, in another colour, and with a sign at the reader."""
    path = _smooth(way) if len(way) == 4 else _rounded(way)
    yield f'<path d="{path}" fill="none" stroke="{MISTAKE}" stroke-width="2.6"/>'
    if enters:
        x, y = way[-1]
        yield f'<circle cx="{_number(x - 9)}" cy="{_number(y)}" r="7" fill="{MISTAKE}"/>'
        yield _text(x - 10.8, y + 3.8, "!", _ROW, colour=PAPER, bold=True)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, text: str, size: float, *, colour: str, bold: bool = False, full: str = "") -> str:
    """A line of text; if truncated, its full text is shown on hover."""
    weight = ' font-weight="600"' if bold else ""
    hover = f"<title>{escape(full)}</title>" if full not in ("", text) else ""
    return (f'<text x="{_number(x)}" y="{_number(y)}" font-size="{size:g}"{weight} fill="{colour}">'
            f"{hover}{escape(text)}</text>")


def _row(row: CardLine, x: float, y: float) -> Iterator[str]:
    shown = _fitted(row)
    if row.text:
        yield _text(x, y, shown.text, _ROW, colour=INK, full=row.text)
        x += text_width(shown.text, _ROW) + 6
    if row.detail:
        yield _text(x, y, shown.detail, _ROW, colour=MUTED, full=row.detail)


def _points(*points: Point) -> str:
    return " ".join(_number(value) for point in points for value in point)


def _smooth(way: Sequence[Point]) -> str:
    """Straight, one S-shaped turn, straight."""
    start, bend, rest, end = way
    middle = (bend[0] + rest[0]) / 2
    turn = _points((middle, bend[1]), (middle, rest[1]), rest)
    return f"M{_points(start)} L{_points(bend)} C{turn} L{_points(end)}"


def _rounded(way: Sequence[Point]) -> str:
    """Straight pieces whose corners are rounded."""
    path = f"M{_points(way[0])}"
    for before, corner, after in zip(way, way[1:], way[2:], strict=False):
        path += f" L{_points(_towards(corner, before))} Q{_points(corner, _towards(corner, after))}"
    return f"{path} L{_points(way[-1])}"


def _towards(corner: Point, other: Point) -> Point:
    """The point at which the rounding of a corner starts, on the way to another point."""
    far = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    share = min(7.0, far / 2) / far if far else 0.0
    return corner[0] + (other[0] - corner[0]) * share, corner[1] + (other[1] - corner[1]) * share


def _arrow(tip: Point) -> str:
    x, y = tip
    return f'<path d="M{_points(tip)} L{_points((x - 8, y - 4))} L{_points((x - 8, y + 4))} Z" fill="{WIRE}"/>'


def _outline(kind: str, x: float, y: float, width: float, height: float, *, dashed: bool = False) -> Iterator[str]:
    """Kinds differ in outline as well as in colour: round, plain, cut corners, double."""
    look = f'fill="{TINTS[kind]}" stroke="{OUTLINES[kind]}" stroke-width="1.4"{_DASH if dashed else ""}'
    if kind == "fusion":
        cut = min(10.0, height / 3)
        corners = [(x + cut, y), (x + width - cut, y), (x + width, y + cut), (x + width, y + height - cut),
                   (x + width - cut, y + height), (x + cut, y + height), (x, y + height - cut), (x, y + cut)]
        yield f'<path d="M{_points(*corners)} Z" {look}/>'
        return
    radius = {"input": min(height / 2, 22.0), "head": 3.0}.get(kind, 7.0)
    yield _rectangle(x, y, width, height, radius=radius, look=look)
    if kind == "head":
        inner = f'fill="none" stroke="{OUTLINES[kind]}" stroke-width="0.8"'
        yield _rectangle(x + 3, y + 3, width - 6, height - 6, radius=1.5, look=inner)


def _rectangle(x: float, y: float, width: float, height: float, *, radius: float, look: str) -> str:
    return (f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}" '
            f'rx="{_number(radius)}" {look}/>')


def _badge(badge: str, x: float, y: float, colour: str) -> Iterator[str]:
    width = _badge_width(badge)
    yield _rectangle(x, y, width, 13, radius=6.5, look=f'fill="{PAPER}" stroke="{colour}" stroke-width="0.9"')
    frozen = badge == "frozen"
    if frozen:
        yield _snowflake(x + 9, y + 6.5, colour)
    yield _text(x + (16 if frozen else 5.5), y + 9.7, badge, _BADGE, colour=INK)


def _snowflake(x: float, y: float, colour: str) -> str:
    arms = ((0.0, 4.0), (3.5, 2.0), (3.5, -2.0))
    path = " ".join(f"M{_points((x - a, y - b), (x + a, y + b))}" for a, b in arms)
    return f'<path d="{path}" stroke="{colour}" stroke-width="1.2" stroke-linecap="round"/>'


@dataclass(frozen=True, slots=True)
class _Item:
    """One entry of the legend: a kind, `dashed`, `frozen`, or text only."""

    mark: str
    words: str

    @property
    def width(self) -> float:
        return text_width(self.words, _COST) + (48 if self.mark else 22)


def _legend(faces: Sequence[_Face], lines: Sequence[Wire]) -> list[_Item]:
    """The kinds and then the marks used in the drawing."""
    kinds = {face.card.kind for face in faces}
    items = [_Item(kind, kind) for kind in OUTLINES if kind in kinds]
    if any(wire.maybe_absent for wire in lines):
        items.append(_Item("dashed", "may be missing"))
    if any(face.card.unknown for face in faces):
        items.append(_Item("", "dashed box, ?: shape not known yet"))
    if any(face.card.faulty for face in faces):
        items.append(_Item("mistake", "a mistake; where it is at a wire, ! stands at its end"))
    if any(face.card.mark for face in faces):
        items.append(_Item("differs", "differs from the other graph; the word says how, dashed: gone"))
    if any(face.card.inside for face in faces):
        items.append(_Item("", "a box with a lid: a chain of nodes, opened by a click"))
    if any("frozen" in face.card.badges for face in faces):
        items.append(_Item("frozen", "weights fixed, evaluation mode"))
    return items


def _notation(labels: Labels) -> list[_Item]:
    """Explanations of the shapes on the lines and the texts in the boxes."""
    return [_Item("", "on a line: B, the batch, then the size of each axis"),
            *(_Item("", f"{layout}: B {' '.join(axes)}") for layout, axes in labels.layouts.items()),
            _Item("", "in a box: component, options other than the defaults, cost of one case; all on hover")]


def _wrapped(items: Sequence[_Item], widest: float) -> list[list[_Item]]:
    rows: list[list[_Item]] = [[]]
    for item in items:
        if rows[-1] and sum(other.width for other in rows[-1]) + item.width - 22 > widest:
            rows.append([])
        rows[-1].append(item)
    return rows


def _legend_row(items: Sequence[_Item], y: float) -> Iterator[str]:
    x = _MARGIN
    for item in items:
        if item.mark in OUTLINES:
            yield from _outline(item.mark, x, y - 9.5, 20, 12)
        elif item.mark == "dashed":
            yield f'<path d="M{_points((x, y - 3.5))} h20" stroke="{WIRE}" stroke-width="1.4"{_DASH}/>'
        elif item.mark == "mistake":
            yield _rectangle(x, y - 9.5, 20, 12, radius=4, look=f'fill="none" stroke="{MISTAKE}" stroke-width="2"')
        elif item.mark == "differs":
            yield _rectangle(x, y - 9.5, 20, 12, radius=4, look=f'fill="none" stroke="{DIFFERS}" stroke-width="2.4"')
        elif item.mark == "frozen":
            yield _snowflake(x + 10, y - 3.5, OUTLINES["encoder"])
        yield _text(x + (26 if item.mark else 0), y, item.words, _COST, colour=MUTED)
        x += item.width
