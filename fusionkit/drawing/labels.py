"""The texts of a drawing for each input and node, and their widths; the same for every format."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fusionkit.planning.plan import Cost, Plan, PlannedNode, Value

# Outlines from the palette of Okabe and Ito, distinguishable with any colour vision; dark text on each tint has
# a contrast above 7.
OUTLINES = {"input": "#5f6b7a", "encoder": "#0072b2", "fusion": "#b35900", "head": "#00805c", "other": "#5f6b7a"}
TINTS = {"input": "#f1f3f6", "encoder": "#e4f1fb", "fusion": "#fdeeda", "head": "#dff5ec", "other": "#ffffff"}
INK = "#16191d"

WIDEST_TEXT = 224.0
"""Pixels after which a line of a box is truncated; its full text is shown on hover."""

# Advance widths of ASCII 32..126 in DejaVu Sans, the widest font in common use, in hundredths of its size.
_WIDTHS = tuple(map(int, """
    32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 64 64 34 34 84 84 84 53 100 68 69 70 77
    63 58 77 75 29 29 66 56 86 75 79 60 79 69 63 61 73 68 99 69 61 69 39 34 39 84 50 50 61 63 55 63 62 35 63 63 28
    28 58 28 97 63 61 63 63 41 52 39 63 59 82 59 59 52 64 34 64 84""".split()))  # noqa: SIM905 - a table, not a list
_BOLD = 1.13
_ELLIPSIS = "\u2026"


@lru_cache(maxsize=8192)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """An upper bound on the width of a line of text in pixels, in any common sans serif font of that size."""
    hundredths = sum(_WIDTHS[ord(letter) - 32] if " " <= letter <= "~" else _other_width(letter) for letter in text)
    return hundredths / 100 * size * (_BOLD if bold else 1)


def _other_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 105 if unicodedata.east_asian_width(letter) in "WF" or ord(letter) > 0xFFFF else 85


def shorten(text: str, size: float, widest: float) -> str:
    """The text, truncated with an ellipsis to at most `widest` pixels."""
    if text_width(text, size) <= widest:
        return text
    while text and text_width(text + _ELLIPSIS, size) > widest:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


def clean(text: str) -> str:
    """The text on one line, without characters that are not allowed in XML."""
    kept = text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(kept.split())


@dataclass(frozen=True, slots=True)
class CardLine:
    """One line of a box: a component or layout in dark text, details in lighter text."""

    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One box and its texts from the top: title with badges, rows, cost line; `tooltip` is shown on hover.

    `kind` (`input`, `encoder`, `fusion`, `head`; `other` where it is not known) sets colour and outline, which is
    dashed if the box is `optional`. `faulty`: there is a mistake in it; `unknown`: its shapes are not known. `mark` is
    a word on what differs from another graph, `inside` the boxes that are folded into this one.
    """

    key: str
    kind: str
    title: str
    tooltip: str
    rows: tuple[CardLine, ...]
    badges: tuple[str, ...] = ()
    cost: str = ""
    optional: bool = False
    faulty: bool = False
    unknown: bool = False
    mark: str = ""
    inside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """One value that leaves a box: its readers, its label, and whether it may be missing.

    `name` is the value's; `faulty` are the readers that cannot take it.
    """

    source: str
    targets: tuple[str, ...]
    label: str
    maybe_absent: bool
    tooltip: str
    name: str = ""
    faulty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """All texts of a drawing: title, the lines under it, boxes, wires, and the axes of each layout on them."""

    name: str
    notes: tuple[str, ...]
    cards: tuple[Card, ...]
    wires: tuple[Wire, ...]
    layouts: Mapping[str, tuple[str, ...]]


def labels_of(plan: Plan) -> Labels:
    """The texts of a plan."""
    return Labels(plan.name, headline(plan), tuple(cards(plan)), tuple(wires(plan)), layouts_of(plan))


def layouts_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The layouts of a plan's values, and the axes of each."""
    values = [*plan.inputs, *(value for node in plan.nodes for value in node.features)]
    return {value.shape.layout: value.shape.axes for value in values}


def cards(plan: Plan) -> list[Card]:
    """The boxes of a plan: inputs, then nodes in execution order."""
    return [input_card(value) for value in plan.inputs] + [node_card(node) for node in plan.nodes]


def wires(plan: Plan) -> list[Wire]:
    """The values of a plan that are read by some node, and the results; in the order of the boxes."""
    readers: dict[str, list[str]] = {}
    for node in plan.nodes:
        for value in node.reads:
            readers.setdefault(value.name, []).append(node.name)
    results = {value.name for node in plan.nodes if node.node.is_head for value in node.features}
    values = [*plan.inputs, *(value for node in plan.nodes for value in node.features)]
    return [wire_of(value, tuple(readers.get(value.name, ()))) for value in values
            if value.name in readers or value.name in results]


def headline(plan: Plan) -> tuple[str, ...]:
    """The lines under the title of a drawing: counts and costs, then the uncertainty method."""
    counts = [counted(len(plan.inputs), "input"), counted(len(plan.nodes), "node"), counted(len(plan.heads), "head")]
    total = plan.total
    if total:
        frozen = total.parameters - total.trainable
        counts.append(f"{amount(total.parameters)} parameters" + (f" ({amount(frozen)} frozen)" if frozen else ""))
        counts.append(f"{amount(total.multiply_adds)} multiply-adds a case")
    lines = [", ".join(counts)]
    if plan.uncertainty:
        options = ", ".join(_options(plan.uncertainty.config))
        lines.append(f"uncertainty: {plan.uncertainty.step.use}" + (f" ({options})" if options else ""))
    return tuple(clean(line) for line in lines)


def amount(number: int) -> str:
    """A count with three digits: 950, 14.3k, 3.99M."""
    if number < 1000:
        return str(number)
    value, units = number / 1000, "kMGTP"
    # From 999.5 it would be rounded up to four digits.
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}{units[0]}"


def counted(number: int, name: str) -> str:
    """A number of things: 1 node, 2 nodes."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def input_card(value: Value) -> Card:
    """The box of an input."""
    optional = value.present is not None
    sizes = ", ".join("any" if size is None else str(size) for size in value.shape.written)
    says = f"input {value.name}: {value.shape.layout} [{sizes}] ({', '.join(value.shape.axes)})"
    return Card(value.name, "input", value.name, clean(says + (", may be missing" if optional else "")),
                (CardLine(value.shape.layout),), ("optional",) if optional else (), optional=optional)


def node_card(node: PlannedNode) -> Card:
    """The box of a node."""
    rows = tuple(CardLine(call.component.id, clean(", ".join(_options(call.config)))) for call in node.lanes[0].calls)
    losses = [value.name.partition(".")[2] for value in node.values if value.shape.layout == "scalar"]
    if losses:
        rows = (*rows, CardLine("gives", ", ".join(losses)))
    return Card(node.name, node.kind, node.name, _tooltip(node), rows, tuple(_badges(node)), _cost(node.cost))


def _badges(node: PlannedNode) -> Iterator[str]:
    written = node.node
    if written.freeze:
        yield "frozen"
    if written.unfreeze > 1:
        yield f"from epoch {written.unfreeze}"
    if written.rate != 1:
        yield f"rate {written.rate:g}"
    if written.each:
        yield f"{'shared' if written.share else 'each'} x{len(node.lanes)}"
    if written.weights:
        yield "weights"
    if written.loss != 1:
        yield f"loss {written.loss:g}"


def _cost(cost: Cost | None) -> str:
    counts = ((cost.parameters, "params"), (cost.multiply_adds, "mult-adds")) if cost else ()
    return ", ".join(f"{amount(count)} {name}" for count, name in counts if count)


def _tooltip(node: PlannedNode) -> str:
    parts = [f"{node.name} ({node.kind})"]
    for call in node.lanes[0].calls:
        options = ", ".join(f"{name}: {value}" for name, value in call.config.model_dump(mode="json").items())
        parts.append(f"{call.component.id}" + (f" with {options}" if options else ""))
    if node.cost:
        parts.append(f"{node.cost.parameters} parameters, {node.cost.trainable} trainable, "
                     f"{node.cost.multiply_adds} multiply-adds a case")
    if node.node.weights:
        parts.append(f"weights from {node.node.weights}")
    return clean("; ".join(parts))


def wire_of(value: Value, targets: tuple[str, ...], faulty: tuple[str, ...] = ()) -> Wire:
    """The wire of a value to its readers."""
    source, _, member = value.name.partition(".")
    label = f"{member}: {value.shape}" if member else str(value.shape)
    absent = f", present where {value.present} is" if value.present else ""
    return Wire(source, targets, label, value.present is not None, clean(f"{value.name}: {value.shape}{absent}"),
                value.name, faulty)


def _options(config: Any) -> Iterator[str]:
    """The options that differ from their defaults, abbreviated; required options come first."""
    fields = sorted(type(config).model_fields.items(), key=lambda item: not item[1].is_required())
    for name, field in fields:
        value = getattr(config, name)
        if field.is_required() or value != field.get_default(call_default_factory=True):
            yield _in_words(name.replace("_", " "), value)


def _in_words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if isinstance(value, list | tuple):
        return f"{name} {'/'.join(map(str, value))}"
    return f"{name} {value}"
