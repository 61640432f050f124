"""Folds what a large drawing need not show: chains of boxes into one, wires of one bundle into one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from fusionkit.drawing.labels import Card, CardLine, Labels, Wire

FOLDED_ABOVE = 40
"""A graph of more nodes is folded where nobody asked for it or against it."""
MOST_BOXES = 400
"""The boxes of a drawing above which it is made where somebody asks for it: its layout takes seconds."""
SHORTEST = 3
"""The fewest boxes that are folded."""


_SHOWN = ("input", "head")
"""What a network reads and gives is never inside."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Whether a drawing is folded, None for large graphs alone; the boxes that stay open, one or more of each chain.

    With `large` it is drawn however many boxes it has.
    """

    wanted: bool | None = None
    open: tuple[str, ...] = ()
    large: bool = False


def folded(labels: Labels, open_: Collection[str] = ()) -> Labels:
    """The drawing with one box for each chain: three or more nodes, each reading only the one before and read only by
    the next.

    A chain with a mistake, with a word on a difference or with a box in `open_` stays as it is.
    """
    cards = {card.key: card for card in labels.cards}
    leads = {chain[0]: chain for chain in _chains(labels) if not any(
        cards[key].faulty or cards[key].mark or key in open_ for key in chain)}
    inside = {key: first for first, chain in leads.items() for key in chain}
    made = [_folded_card([cards[key] for key in leads[card.key]]) if card.key in leads else card
            for card in labels.cards if inside.get(card.key, card.key) == card.key]
    wires = [replace(wire, source=inside.get(wire.source, wire.source)) for wire in labels.wires
             if not (wire.source in inside and wire.targets and all(
                 inside.get(target) == inside[wire.source] for target in wire.targets))]
    return replace(labels, cards=tuple(made), wires=tuple(_joined(wires)))


def _chains(labels: Labels) -> Iterator[list[str]]:
    following, before = _links(labels)
    for card in labels.cards:
        previous = before.get(card.key)
        if card.kind in _SHOWN or (previous is not None and following.get(previous) == card.key):
            continue
        chain = [card.key]
        while (after := following.get(chain[-1])) is not None and before.get(after) == chain[-1]:
            chain.append(after)
        if len(chain) >= SHORTEST:
            yield chain


def _links(labels: Labels) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """The only reader of each box, and the only box that each box reads; None where there are several."""
    shown = {card.key for card in labels.cards if card.kind in _SHOWN}
    readers: dict[str, set[str]] = {}
    sources: dict[str, set[str]] = {}
    ends: set[str] = set()
    for wire in labels.wires:
        readers.setdefault(wire.source, set()).update(wire.targets)
        if not wire.targets:
            ends.add(wire.source)  # a result: it is read by people
        for target in wire.targets:
            sources.setdefault(target, set()).add(wire.source)
    following = {key: _only(found - shown) if key not in ends | shown and len(found) == 1 else None
                 for key, found in readers.items()}
    return following, {key: _only(found) for key, found in sources.items()}


def _only(found: set[str]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None


def _folded_card(chain: Sequence[Card]) -> Card:
    first, last = chain[0], chain[-1]
    uses = list(dict.fromkeys(row.text for card in chain for row in card.rows if row.text))
    return replace(
        last, key=first.key, title=f"{first.title} \u2026 {last.title}", badges=(), cost="", optional=False,
        rows=(CardLine(f"{len(chain)} nodes"), CardLine("", ", ".join(uses))),
        tooltip="; ".join(card.tooltip for card in chain), unknown=any(card.unknown for card in chain),
        inside=tuple(card.key for card in chain))


def _joined(wires: Sequence[Wire]) -> Iterator[Wire]:
    """One wire for those of one bundle between the same boxes."""
    groups: dict[tuple[str, tuple[str, ...]], list[Wire]] = {}
    for wire in wires:
        groups.setdefault((wire.source, wire.targets), []).append(wire)
    for wire in wires:
        group = groups[wire.source, wire.targets]
        if len(group) < 2 or not wire.targets or any(each.faulty for each in group):
            yield wire
        elif wire is group[0]:
            shapes = {each.label.rpartition(": ")[2] for each in group}
            yield replace(wire, label=f"{len(group)} x {shapes.pop()}" if len(shapes) == 1 else f"{len(group)} outputs",
                          tooltip="; ".join(each.tooltip for each in group),
                          maybe_absent=any(each.maybe_absent for each in group))
