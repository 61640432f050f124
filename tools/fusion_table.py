"""Writes docs/fusion-table.md from the installed fusions: what each takes, its absence, losses and costs.

Run: python tools/fusion_table.py
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from component_docs import SIZES, bundled, example

from fusionkit.components.component import Component
from fusionkit.shapes.layouts import TensorShape
from fusionkit.testing.probing.examples import Example
from fusionkit.testing.probing.options import choices
from fusionkit.testing.probing.sizes import layouts

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fusion-table.md"
_HEADER = """\
# All fusions in one table

Made from the installed components by `tools/write_docs.py`; a test keeps it fresh. What each computes:
[one by one](components/fusions.md), [fusions](fusions.md), [attention](attention.md),
[several levels](hierarchical.md), [late fusion](late-fusion.md).
Which to try first: [choosing](choosing.md).

`inputs`: how many, `any` from one up. `takes`: v vectors, t tokens, i images, o volumes. `absent`: the word of the
[contract](plugins.md#absence). `losses`: auxiliary losses that it gives. Costs are those of default options with as
few inputs as the example says, each a vector of 64, 16 tokens of 64, a 14x14 image of 64 channels or a 6x14x14 volume
of 64: the first of these that it takes, or the sizes that are written. `M` is millions, `k` thousands.

| id | category | inputs | takes | absent | losses | example | parameters | multiply-adds | source |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The text of docs/fusion-table.md."""
    order = sorted((made for made in bundled("fusion") if isinstance(made, Component)),
                   key=lambda fusion: (fusion.category, fusion.id))
    counts = Counter(fusion.category for fusion in order)
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return _HEADER + "".join(map(_row, order)) + f"\n{len(order)} fusions: {told}.\n"


def _row(component: Component) -> str:
    ports = component.parsed.ports
    seen = example(component.id)
    cells = [f"`{component.id}`", component.category, "any" if ports[-1].variadic else str(len(ports)),
             takes(component), component.absent, ", ".join(seen.losses), inputs_of(seen),
             short(seen.parameters), short(seen.multiply_adds), component.paper or ""]
    return f"| {' | '.join(cells)} |\n"


def takes(component: Component) -> str:
    """The layouts that it takes, a letter each."""
    letters = {"vector": "v", "tokens": "t", "image": "i", "volume": "o"}
    found = {shape.layout for layout in layouts(component, choices(component)[0]) for shape in layout.sizes[0][0]}
    return " ".join(letter for layout, letter in letters.items() if layout in found)


def inputs_of(seen: Example) -> str:
    """The inputs of an example in short."""
    shapes = list(seen.inputs.values())
    if shapes and all(shape.sizes == SIZES.get(shape.layout) for shape in shapes):
        return f"{len(shapes)} {shapes[0].layout}" if len({shape.layout for shape in shapes}) == 1 else _sizes(shapes)
    return _sizes(shapes) or seen.problem


def _sizes(shapes: list[TensorShape]) -> str:
    return ", ".join("x".join(map(str, shape.sizes)) for shape in shapes)


def short(number: int) -> str:
    """A number with three digits and its magnitude."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
