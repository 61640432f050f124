"""A plan as a Mermaid flowchart, which GitHub, GitLab and many editors draw inside Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fusionkit.drawing.labels import INK, OUTLINES, TINTS, Card, Wire, cards, clean, headline, wires
from fusionkit.planning.plan import Plan

_FRAMES = {"input": ("([", "])"), "encoder": ("(", ")"), "fusion": ("{{", "}}"), "head": ("[[", "]]")}
# Characters with a special meaning in a label are written as entity codes between # and ;.
_CODES = {ord(letter): f"#{ord(letter)};" for letter in "#;&<>\"'`\\[](){}|*_~$%@:"}


def mermaid(plan: Plan) -> str:
    """The text of a Mermaid flowchart, without the fences of Markdown."""
    boxes, lines = cards(plan), wires(plan)
    names = {card.key: f"n{number}" for number, card in enumerate(boxes)}
    readers = [(wire, target) for wire in lines for target in wire.targets]
    return "\n".join([
        "---",
        # Mermaid parses directives before quotes.
        f"title: {json.dumps(clean(plan.name).replace('%%', '% %'))}",
        "---",
        "flowchart LR",
        *(f"  %% {_comment(line)}" for line in headline(plan)),
        *(f"  {names[card.key]}{_box(card)}" for card in boxes),
        *(f"  {names[wire.source]} {_arrow(wire)} {names[target]}" for wire, target in readers),
        *(f"  {part}" for part in _styles(boxes, names)),
    ]) + "\n"


def _label(text: str) -> str:
    return text.translate(_CODES)


def _comment(text: str) -> str:
    """The text of a comment; braces would be parsed as a directive even there."""
    return text.replace("{", "(").replace("}", ")")


def _box(card: Card) -> str:
    opening, closing = _FRAMES[card.kind]
    badges = f" ({', '.join(card.badges)})" if card.badges else ""
    rows = [f"{row.text} {row.detail}".strip() for row in card.rows]
    words = [f"<b>{_label(card.title)}</b>{_label(badges)}", *map(_label, rows)]
    if card.cost:
        words.append(f"<small>{_label(card.cost)}</small>")
    return f'{opening}"{"<br/>".join(words)}"{closing}:::{card.kind}'


def _arrow(wire: Wire) -> str:
    return f'{"-.->" if wire.maybe_absent else "-->"}|"{_label(wire.label)}"|'


def _styles(boxes: list[Card], names: dict[str, str]) -> Iterator[str]:
    kinds = [kind for kind in OUTLINES if any(card.kind == kind for card in boxes)]
    for kind in kinds:
        yield f"classDef {kind} fill:{TINTS[kind]},stroke:{OUTLINES[kind]},color:{INK}"
    for card in boxes:
        if card.optional:
            yield f"style {names[card.key]} stroke-dasharray:5 3"
