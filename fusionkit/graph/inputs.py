"""Reads one input of a graph file: its layout, its sizes, and how many tokens a case may have."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from fusionkit.errors import Diagnostic, Span, did_you_mean
from fusionkit.graph.nodes import Input
from fusionkit.shapes.layouts import CODED, ITEMS, KINDS_KEY, LAYOUTS
from fusionkit.syntax.fields import FieldReader, shown
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree

INPUT_KEYS = (*LAYOUTS, ITEMS, *CODED, "optional", "max", "of", *KINDS_KEY.values())
MAX_NUMBERS = 1 << 32
"""The most numbers that one case of an input may have: 16 GiB, beyond which a typing error is more likely."""
_EXAMPLES = {"text": "{text: 512}", "events": "{events: 256}"}
_COUNTS = ("tokens", "steps")
"""Axes that may vary in number, which null says."""


def read_input(name: str, tree: Tree, span: Span, found: list[Diagnostic]) -> Input | None:
    """One entry of `inputs`; what is wrong with it is added to `found`."""
    form = FieldReader(tree, f"input {name!r}", INPUT_KEYS, found)
    optional = form.flag("optional")
    written = [layout for layout in (*LAYOUTS, ITEMS, *CODED) if form.has(layout)]
    if len(written) != 1:
        if not form.broken:
            form.report("bad-input", f"input {name!r} needs one layout, but has {', '.join(written) or 'none'}",
                        form.key_span(written[1]) if written else span,
                        fix="keep one of them" if written else "give it one of vector, tokens, image, volume, items or "
                        f"{' or '.join(CODED)}, for example {{vector: [7]}}")
        return Input(name, "vector", (None,), optional, span)
    layout = written[0]
    _check_kinds_key(name, layout, form)
    tree = form.tree.entries[layout]
    if layout in KINDS_KEY:
        return _coded(name, layout, form, optional)
    if layout == ITEMS:
        return _items(name, form, tree, optional)
    varies = isinstance(tree, Items) and bool(tree.items) and _is_null(tree.items[0])
    if layout == "series" and not varies:
        form.report("bad-input", f"'series' of input {name!r} cannot be {shown(tree)}", tree.span,
                    why="cases have another number of steps each", fix="write '[null, CHANNELS]', and how many steps a "
                    "case may have at most as 'max'")
        return Input(name, layout, (None, None), optional, span, True)
    masked = varies and layout in ("tokens", "series")
    most = _most(name, form, masked)
    owner = form.text("of") if masked and layout == "tokens" else None
    return Input(name, layout, _sizes(name, layout, tree, most, form), optional, span, masked, most, owner)


def check_owners(inputs: Sequence[Input], forms: FieldReader) -> None:
    """Refuse `of` beside anything but tokens whose number varies, and one that names no other input with some."""
    several = [item.name for item in inputs if item.masked and item.of is None]
    for item in inputs:
        tree = forms.tree.entries[item.name]
        written = tree.entries.get("of") if isinstance(tree, Mapping) else None
        if written is None:
            continue
        if item.of is None:
            forms.report("bad-input", f"'of' of input {item.name!r} has no meaning", written.span,
                         why="it says of which items or tokens these are about one each",
                         fix="write 'tokens: [null, WIDTH]', or remove 'of'")
        elif item.of not in several:
            forms.report("bad-input", f"'of' of input {item.name!r} names {item.of!r}, which has no items or tokens of "
                         "its own whose number varies", written.span,
                         fix=did_you_mean(item.of, several, "name an input with 'items', or remove 'of'"))


def _check_kinds_key(name: str, layout: str, form: FieldReader) -> None:
    """Refuse the keys that belong to another layout."""
    for owner, key in KINDS_KEY.items():
        if form.has(key) and owner != layout:
            form.report("bad-input", f"{key!r} of input {name!r} has no meaning", form.key_span(key),
                        why=f"it belongs to an input of the layout {owner!r}", fix=f"remove {key!r}")


def _coded(name: str, layout: str, form: FieldReader, optional: bool) -> Input:
    """An input of ids: the most tokens that a case may have, and how many ids there are."""
    tree, key = form.tree.entries[layout], KINDS_KEY[layout]
    most = _whole(tree)
    if most is None and not _is_null(tree):
        form.report("bad-input", f"{layout!r} of input {name!r} cannot be {shown(tree)}", tree.span,
                    why="it is the most tokens that a case may have, without a list",
                    fix=f"write a whole number, for example '{_EXAMPLES[layout]}', or null for any number")
    if form.has("max"):
        form.report("bad-input", f"'max' of input {name!r} has no meaning", form.key_span("max"),
                    why=f"{layout!r} itself says how many tokens a case may have", fix="remove 'max'")
    written = form.tree.entries.get(key)
    kinds = None if written is None else _size(name, written, key, form)
    return Input(name, layout, (None, kinds), optional, form.span, True, most)


def _items(name: str, form: FieldReader, tree: Tree, optional: bool) -> Input:
    """Several images, volumes or vectors of a case; vectors are masked tokens."""
    kinds = ("image", "volume", "vector")
    most = _most(name, form, masked=True)
    written = [kind for kind in kinds if isinstance(tree, Mapping) and kind in tree.entries]
    if len(written) != 1 or not isinstance(tree, Mapping) or len(tree.entries) > 1:
        form.report("bad-input", f"'items' of input {name!r} must say what one item is, not {shown(tree)}",
                        tree.span, fix="write for example 'items: {image: [3, 224, 224]}'; an item is an image, a "
                        "volume or a vector")
        return Input(name, "tokens", (None, None), optional, form.span, True, most)
    sizes = _sizes(name, written[0], tree.entries[written[0]], most, form)
    layout = "tokens" if written[0] == "vector" else ITEMS
    return Input(name, layout, (None, *sizes), optional, form.span, True, most)


def _most(name: str, form: FieldReader, masked: bool) -> int | None:
    """The key `max`: the most tokens of a case."""
    if not form.has("max"):
        return None
    if not masked:
        form.report("bad-input", f"'max' of input {name!r} has no meaning", form.key_span("max"),
                    why="it limits a number of tokens that varies between cases",
                    fix="write 'tokens: [null, WIDTH]' or 'items: {...}', or remove 'max'")
        return None
    tree = form.tree.entries["max"]
    most = _whole(tree)
    if most is None:
        form.report("bad-input", f"'max' of input {name!r} cannot be {shown(tree)}", tree.span,
                    fix="write a whole number of at least 1")
    return most


def _sizes(name: str, layout: str, tree: Tree, most: int | None, form: FieldReader
           ) -> tuple[int | None, ...]:
    axes: tuple[str, ...] = {**LAYOUTS, **CODED}[layout].axes
    values = list(tree) if isinstance(tree, Items) else [tree] * len(axes) if _is_auto(tree) else []
    if len(values) != len(axes):
        expected = f"{len(axes)} size{'s' if len(axes) > 1 else ''}"
        given = str(len(values)) if isinstance(tree, Items) else f"{shown(tree)} without brackets"
        form.report("bad-input", f"{layout!r} of input {name!r} takes a list of {expected}, not {given}",
                        tree.span, why="the batch axis is not written" if len(values) == len(axes) + 1 else None,
                        fix=f"write [{tree.text}]" if isinstance(tree, Leaf) and len(axes) == 1 else
                        f"write [{', '.join(axes)}] as numbers; a size may be 'auto'")
        return (None,) * len(axes)
    # Only tokens may vary in number, and only the axis that counts them.
    sizes = tuple(None if axis in _COUNTS and _is_null(value) else _size(name, value, axis, form)
                  for value, axis in zip(values, axes, strict=True))
    count = prod(size or 1 for size in sizes) * (most or 1)
    if count > MAX_NUMBERS:
        form.report("bad-input", f"input {name!r} would have {count:,} numbers in each case", tree.span,
                        why=f"at most {MAX_NUMBERS:,} are allowed", fix="resample or crop it to smaller sizes")
    return sizes


def _size(name: str, tree: Tree, axis: str, form: FieldReader) -> int | None:
    if _is_auto(tree):
        return None
    value = _whole(tree)
    if value is None:
        form.report("bad-input", f"the size {axis!r} of input {name!r} cannot be {shown(tree)}", tree.span,
                        fix="write a whole number of at least 1, or 'auto' to take it from the data")
    return value


def _is_auto(tree: Tree) -> bool:
    return isinstance(tree, Leaf) and tree.value == "auto"


def _whole(tree: Tree) -> int | None:
    """A whole number of at least 1 that may be a size, else None."""
    value = tree.value if isinstance(tree, Leaf) else None
    return value if type(value) is int and 0 < value < 1 << 24 else None


def _is_null(tree: Tree) -> bool:
    return isinstance(tree, Leaf) and tree.value is None
