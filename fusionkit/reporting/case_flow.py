"""The way of the cases from the table to the results: boxes with counts, as SVG and as Mermaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

from fusionkit.printable import printable
from fusionkit.reporting.run_files import RunFiles

BEFORE = ("Before the table", "TO BE WRITTEN BY THE AUTHORS:", "eligible, excluded and why")
_TESTED = ("test", "fold ")
_WIDTH, _LINE, _PAD, _GAP, _ROW_GAP, _LETTERS = 210, 16, 10, 18, 34, 32
_ACROSS = 4


@dataclass(frozen=True)
class FlowBox:
    """A box of the diagram; `aside` stands beside the way, `open` is for the authors to fill in."""

    lines: tuple[str, ...]
    aside: bool = False
    open: bool = False


@dataclass(frozen=True)
class CaseFlow:
    """The boxes from top to bottom: the table with notes beside it, the parts, and what was evaluated.

    `tested` are the places of the parts whose cases were evaluated, none where other data was.
    """

    before: FlowBox
    table: FlowBox
    notes: tuple[FlowBox, ...]
    parts: tuple[FlowBox, ...]
    results: tuple[FlowBox, ...]
    tested: tuple[int, ...]


def case_flow(run: RunFiles) -> CaseFlow | None:
    """The diagram of a run; None where it recorded no counts."""
    if "all" not in run.parts:
        return None
    every = run.parts["all"]
    notes = [f"{counts['without_target']} without target {head!r}" for head, counts in every["heads"].items()
             if counts["without_target"]]
    absent = [f"{count} without {name!r}" for name, count in every["absent_inputs"].items() if count]
    told = [f"{count} warning{'s' * (count != 1)} {code!r}" for code, count in run.cohort.get("warnings", {}).items()]
    asides = [FlowBox((title, *lines), aside=True) for title, lines in (
        ("Not learnt or scored:", notes), ("Absent inputs, not excluded:", absent), ("Warnings of the data:", told))
        if lines]
    asides.append(FlowBox(("Refused cases: none", "a training does not start with any"), aside=True))
    parts = {name: part for name, part in run.parts.items() if name != "all"}
    results = [FlowBox((f"Evaluated: {head}", *_people(found["counts"]), *_kinds(found["counts"].get("per_class", {}))))
               for head, found in run.heads.items()]
    tested = tuple(place for place, name in enumerate(parts) if name.startswith(_TESTED))
    return CaseFlow(FlowBox(BEFORE, open=True), FlowBox((f"Table {run.cohort['table']}", *_people(every))),
                    tuple(asides), tuple(FlowBox(tuple(_part(name, part))) for name, part in parts.items()),
                    tuple(results), tested)


def _people(counts: Mapping[str, Any]) -> list[str]:
    patients = counts.get("patients")
    return [f"{counts['cases']} cases" + ("" if patients is None else f" of {patients} patients")]


def _kinds(counts: Mapping[str, int]) -> list[str]:
    return [", ".join(f"{count} {name}" for name, count in counts.items())] if counts else []


def _part(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    yield name
    yield from _people(part)
    for head, counts in part["heads"].items():
        yield f"{head}: " + ("; ".join(_kinds(counts["counts"])) or f"{counts['with_target']} with a target")


def flow_mermaid(flow: CaseFlow) -> str:
    """The diagram as Mermaid."""
    lines = ["flowchart TD", f"  before[{_quoted(flow.before)}] --> table[{_quoted(flow.table)}]"]
    lines += [f"  table -.- note{place}[{_quoted(box)}]" for place, box in enumerate(flow.notes)]
    lines += [f"  table --> part{place}[{_quoted(box)}]" for place, box in enumerate(flow.parts)]
    sources = [f"part{place}" for place in flow.tested] or ["table"]
    lines += [f"  {source} --> result{place}[{_quoted(box)}]" for source in sources
              for place, box in enumerate(flow.results)]
    return "\n".join(lines) + "\n"


def _quoted(box: FlowBox) -> str:
    text = "<br>".join(escape(printable(line), quote=False).replace('"', "#quot;") for line in box.lines)
    return f'"{text}"'


@dataclass(frozen=True)
class _Placed:
    box: FlowBox
    lines: tuple[str, ...]
    x: float
    y: float

    @property
    def height(self) -> float:
        return 2 * _PAD + _LINE * len(self.lines)


def flow_svg(flow: CaseFlow) -> str:
    """The diagram as SVG."""
    across = max(2, min(_ACROSS, max(len(flow.parts), len(flow.results))))
    width = across * (_WIDTH + _GAP) - _GAP
    before = _rows([flow.before], 0, 1)
    table = _rows([flow.table], _below(before), 1)
    asides = _column(flow.notes, _WIDTH + _GAP, table[0].y)
    parts = _rows(flow.parts, _below([*table, *asides]), across)
    results = _rows(flow.results, _below([*table, *asides, *parts]), across)
    every = [*before, *table, *asides, *parts, *results]
    height = max(each.y + each.height for each in every)
    lines = [_arrow(before[0], table[0])]
    lines += [_side(table[0], note) for note in asides]
    lines += [_arrow(table[0], part) for part in parts[:across]]
    # From the last row of parts alone: arrows from the others would cross it.
    lowest = max((part.y for part in parts), default=0.0)
    sources = [parts[place] for place in flow.tested if parts[place].y == lowest] or table
    lines += [_arrow(source, result) for source in sources for result in results]
    size = f'viewBox="-2 -2 {width + 4:g} {height + 4:g}" width="{width + 4:g}" height="{height + 4:g}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="DejaVu Sans, sans-serif" font-size="11">\n'
            + "\n".join([*lines, *(_drawn(each) for each in every)]) + "\n</svg>\n")


def _placed(box: FlowBox, x: float, y: float) -> _Placed:
    lines = [part for line in box.lines for part in wrap(printable(line), _LETTERS) or [""]]
    return _Placed(box, tuple(lines), x, y)


def _rows(boxes: Sequence[FlowBox], y: float, across: int) -> list[_Placed]:
    found: list[_Placed] = []
    for first in range(0, len(boxes), across):
        row = [_placed(box, place * (_WIDTH + _GAP), y) for place, box in enumerate(boxes[first:first + across])]
        y = max(each.y + each.height for each in row) + _GAP
        found += row
    return found


def _column(boxes: Sequence[FlowBox], x: float, y: float) -> list[_Placed]:
    found: list[_Placed] = []
    for box in boxes:
        found.append(_placed(box, x, y))
        y += found[-1].height + _GAP / 2
    return found


def _below(placed: Sequence[_Placed]) -> float:
    return max(each.y + each.height for each in placed) + _ROW_GAP


def _arrow(above: _Placed, below: _Placed) -> str:
    x, y, to_x, to_y = above.x + _WIDTH / 2, above.y + above.height, below.x + _WIDTH / 2, below.y
    middle = to_y - _ROW_GAP / 2
    return (f'<path d="M{x:g} {y:g}V{middle:g}H{to_x:g}V{to_y:g}" fill="none" stroke="#555"/>'
            f'<path d="M{to_x - 4:g} {to_y - 7:g}L{to_x:g} {to_y:g}L{to_x + 4:g} {to_y - 7:g}Z" fill="#555"/>')


def _side(table: _Placed, note: _Placed) -> str:
    y, from_y = note.y + note.height / 2, table.y + table.height / 2
    middle = table.x + _WIDTH + _GAP / 2
    return (f'<path d="M{table.x + _WIDTH:g} {from_y:g}H{middle:g}V{y:g}H{note.x:g}" fill="none" stroke="#999" '
            'stroke-dasharray="3 3"/>')


def _drawn(each: _Placed) -> str:
    fill = "#fff4d6" if each.box.open else "#f6f6f6" if each.box.aside else "#ffffff"
    dash = ' stroke-dasharray="4 3"' if each.box.open else ""
    texts = "".join(
        f'<text x="{each.x + _PAD:g}" y="{each.y + _PAD + _LINE * (place + 0.75):g}"'
        f'{" font-weight=" + chr(34) + "bold" + chr(34) if not place else ""}>{escape(line)}</text>'
        for place, line in enumerate(each.lines))
    return (f'<rect x="{each.x:g}" y="{each.y:g}" width="{_WIDTH}" height="{each.height:g}" rx="3" fill="{fill}" '
            f'stroke="#555"{dash}/>{texts}')
