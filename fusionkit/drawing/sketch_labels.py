"""The texts of a drawing of a graph that may not be buildable yet: every node, with shapes where they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fusionkit.drawing.folding import FOLDED_ABOVE, MOST_BOXES, Fold, folded
from fusionkit.drawing.labels import (
    OUTLINES,
    Card,
    CardLine,
    Labels,
    Wire,
    clean,
    counted,
    headline,
    input_card,
    layouts_of,
    node_card,
    wire_of,
)
from fusionkit.drawing.svg import drawn
from fusionkit.errors import Diagnostic
from fusionkit.graph.nodes import Input, Node, Step
from fusionkit.planning.plan import Value
from fusionkit.planning.sketch import Sketch
from fusionkit.syntax.tree import to_plain
from fusionkit.syntax.writer import write_in_braces

UNKNOWN = "?"
"""The label of a wire whose shape is not known."""


def sketch_svg(sketch: Sketch, wide: float, high: float, *, marks: Mapping[str, str] | None = None) -> str:
    """The live drawing of a sketch, for a screen of `wide` by `high` pixels; see `drawn` for what marks its parts.

    `marks` are words on what differs from another graph, by node or input.
    """
    labels = labels_of_sketch(sketch)
    if marks:
        labels = replace(labels, cards=tuple(
            replace(card, mark=marks[card.key], badges=(*card.badges, marks[card.key])) if card.key in marks else card
            for card in labels.cards))
    return drawn(labels, live=True, wide=wide, high=high)


def folded_svg(sketch: Sketch, wide: float, high: float, fold: Fold) -> str | None:
    """The live drawing with chains folded; None where it would have more boxes than `fold` lets it have."""
    wanted = len(sketch.graph.nodes) > FOLDED_ABOVE if fold.wanted is None else fold.wanted
    labels = labels_of_sketch(sketch)
    if wanted:
        labels = folded(labels, fold.open)
    return drawn(labels, live=True, wide=wide, high=high) if fold.large or len(labels.cards) <= MOST_BOXES else None


def labels_of_sketch(sketch: Sketch) -> Labels:
    """The texts of a sketch. A wire that cannot be placed, as one that closes a cycle, is named in its reader."""
    faults = sketch.faulty
    return Labels(sketch.graph.name, tuple(_headline(sketch)), tuple(_cards(sketch, faults)),
                  tuple(_wires(sketch, faults)), layouts_of(sketch.plan))


def _headline(sketch: Sketch) -> Iterator[str]:
    if sketch.complete:
        yield from headline(sketch.plan)
        return
    mistakes = sum(found.severity == "error" for found in sketch.diagnostics)
    yield (f"{counted(len(sketch.graph.inputs), 'input')}, {counted(len(sketch.graph.nodes), 'node')}, of which "
           f"{len(sketch.plan.nodes)} with known shapes; {counted(mistakes, 'mistake')}")


def _cards(sketch: Sketch, faults: dict[str, list[Diagnostic]]) -> Iterator[Card]:
    inputs = {value.name: input_card(value) for value in sketch.plan.inputs}
    nodes = {node.name: node_card(node) for node in sketch.plan.nodes}
    for item in sketch.graph.inputs:
        yield _marked(inputs.get(item.name) or _unknown_input(item), faults.get(item.name, []))
    for node in sketch.graph.nodes:
        yield _marked(nodes.get(node.name) or _unknown_node(node), faults.get(node.name, []))


def _marked(card: Card, faults: list[Diagnostic]) -> Card:
    if not faults:
        return card
    missing = [CardLine("reads", f"{fault.owner.reads} ({'cycle' if fault.code == 'cycle' else 'not there'})")
               for fault in faults if fault.owner and fault.owner.reads and fault.code in ("cycle", "unknown-name")]
    told = "; ".join([card.tooltip, *(fault.message for fault in faults)])
    return replace(card, rows=(*card.rows, *missing), badges=(*card.badges, "mistake"), tooltip=clean(told),
                   faulty=True)


def _unknown_input(item: Input) -> Card:
    return Card(item.name, "input", item.name, clean(f"input {item.name}: {item.layout}, size not known"),
                (CardLine(item.layout, "size not known"),), unknown=True)


def _unknown_node(node: Node) -> Card:
    kind = node.steps[-1].kind
    rows = tuple(CardLine(step.use or "no component", clean(_options(step))) for step in node.steps)
    return Card(node.name, kind if kind in OUTLINES else "other", node.name,
                clean(f"{node.name}: shape not known; " + "; ".join(f"{row.text} {row.detail}" for row in rows)), rows,
                unknown=True)


def _options(step: Step) -> str:
    """The options as written."""
    return write_in_braces(to_plain(step.options)).strip("{}") if step.options is not None else ""


def _wires(sketch: Sketch, faults: dict[str, list[Diagnostic]]) -> Iterator[Wire]:
    """What every box gives to those after it, in the order of the boxes; results have an open end."""
    position = {name: place for place, name in enumerate(
        [*(item.name for item in sketch.graph.inputs), *(node.name for node in sketch.graph.nodes)])}
    given = sketch.values
    known = {value.name: value for values in given.values() for value in values}
    readers: dict[str, dict[str, bool]] = {}
    for node in sketch.graph.nodes:
        spans = {fault.span for fault in faults.get(node.name, [])}
        for ref in node.sources:
            if position.get(ref.name, len(position)) >= position[node.name]:
                continue  # it closes a cycle, or leads from what could not be read
            for name in _read(given, ref.name, ref.member):
                before = readers.setdefault(name, {}).get(node.name, False)
                readers[name][node.name] = before or ref.span in spans or ref.port_span in spans - {None}
    results = {value.name for node in sketch.plan.nodes if node.node.is_head for value in node.features}
    order = sorted({*readers, *results}, key=lambda name: (position[name.partition(".")[0]], name not in known, name))
    for name in order:
        targets = readers.get(name, {})
        clashes = tuple(target for target, faulty in targets.items() if faulty)
        if name in known:
            yield wire_of(known[name], tuple(targets), clashes)
        else:
            source = name.partition(".")[0]
            yield Wire(source, tuple(targets), UNKNOWN, False, f"{name}: shape not known", name, clashes)


def _read(given: Mapping[str, Sequence[Value]], name: str, member: str | None) -> list[str]:
    """The values that a reference stands for."""
    if member:
        return [f"{name}.{member}"]
    return [value.name for value in given.get(name, ())] or [name]
