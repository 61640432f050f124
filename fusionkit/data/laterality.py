"""Left and right: what a mirror image contradicts, and the words that change with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fusionkit.data.augmentation import SWAP, Augmentation
from fusionkit.data.description import DataDescription
from fusionkit.data.findings import Findings
from fusionkit.data.readers.columns import Categories
from fusionkit.data.signature import HeadTarget
from fusionkit.errors import DataError, Diagnostic

_SIDES = (("left", "right"), ("links", "rechts"), ("sinistra", "destra"), ("gauche", "droite"))
_SHORT = (("l", "r"), ("od", "os"), ("lt", "rt"))


@dataclass(frozen=True, slots=True)
class Swapped:
    """Two categories of a column in the vector of an input: two places of a one-hot code, or two codes in one place."""

    input: str
    places: tuple[int, ...]
    codes: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Sides:
    """What changes in a case that is mirrored: categories of inputs, and two classes of a head by its name."""

    cells: tuple[Swapped, ...] = ()
    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def sides_of(description: DataDescription, layouts: Mapping[str, Categories], heads: Mapping[str, HeadTarget]) -> Sides:
    """What `swap` of a data file exchanges. `layouts` are the categories of the inputs of columns."""
    cells, classes = [], {}
    swap = description.augmentation.swap if description.augmentation else {}
    for name, options, column, names, start in _columns(description, layouts):
        pair = swap.get(column)
        if pair is not None and set(pair) <= set(names):
            found = (names.index(pair[0]), names.index(pair[1]))
            codes = options == "codes"
            cells.append(Swapped(name, (start,) if codes else (start + found[0], start + found[1]),
                                 (found[0] + 1, found[1] + 1) if codes else None))
    for head, target in heads.items():
        spec = description.targets.get(head)
        pair = swap.get(spec.column) if spec is not None and spec.column is not None else None
        if pair is not None and set(pair) <= set(target.classes) and target.declared_task.cells == "class":
            classes[head] = (target.classes.index(pair[0]), target.classes.index(pair[1]))
    return Sides(tuple(cells), classes)


def check_sides(description: DataDescription, layouts: Mapping[str, Categories], heads: Mapping[str, HeadTarget],
                findings: Findings) -> None:
    """`flip-laterality`: cases that are mirrored, whose table or target speaks of left and right."""
    made = description.augmentation
    if made is None:
        return
    _check_swap(description, made, layouts, heads, findings=findings)
    mirrored = [group for group in made.groups() if any(
        each.declared.module(each.config).mirrors and getattr(each.config, "chance", 1) for each in made.moving(group))]
    if len(mirrored) > 1 and made.swap:
        names = " and ".join(group[0] for group in mirrored)
        findings.add(Diagnostic("flip-laterality", f"{names} are mirrored each by itself, and {SWAP!r} can follow one "
                                "of them", description.span("augment", SWAP),
                                fix="name them under 'together', or write 'flip: off' on all but one"))
    apart = [name for group in mirrored for name in group
             if (bag := description.inputs[name].bag) is not None and not bag.sliced]
    if apart and made.swap:
        findings.add(Diagnostic("flip-laterality", f"the items of {apart[0]!r} are mirrored each by itself, and "
                                f"{SWAP!r} is about the whole case", description.span("augment", SWAP),
                                fix=f"write 'flip: off' on {apart[0]!r}, or remove {SWAP!r}"))
    if not mirrored:
        return
    where = description.span("augment", next(name for name in mirrored[0] if name in made.inputs))
    for what, column, named in _of_one_side(description, layouts, heads, made.swap):
        fix = f"write 'flip: off' on {mirrored[0][0]!r}"
        if column and len(named) == 2:
            fix += f", or '{SWAP}: {{{column}: [{', '.join(named)}]}}' under 'augment' if they swap with it"
        findings.add(Diagnostic(
            "flip-laterality", f"{mirrored[0][0]!r} is mirrored left for right, and {what} is of one side", where,
            why=_untrue(named), fix=fix))


def check_mirrored_view(description: DataDescription, layouts: Mapping[str, Categories],
                        heads: Mapping[str, HeadTarget]) -> None:
    """Refuse mirror images at prediction, where nothing changes places with them.

    Raises: DataError with `flip-laterality`.
    """
    found = [Diagnostic("flip-laterality", f"'--tta lr' mirrors cases left for right, and {what} is of one side",
                        why=_untrue(named), fix="leave 'lr' out of --tta")
             for what, _, named in _of_one_side(description, layouts, heads, {})]
    if found:
        raise DataError(*found)


def _untrue(named: Sequence[str]) -> str:
    return f"{', '.join(map(repr, named[:4]))} would not be true of a mirror image"


def _of_one_side(description: DataDescription, layouts: Mapping[str, Categories], heads: Mapping[str, HeadTarget],
                 swap: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str | None, list[str]]]:
    """What is said of one side and does not change places: in a sentence, by which column, and in which words."""
    for what, words, column in _spoken(description, layouts, heads):
        found = _sided(words)
        pair = swap.get(column) if column else None
        if found and not (pair and set(found) <= {word for side in pair for word in _words(side)}):
            yield what, column, [word for word in words if set(_words(word)) & set(found)]


def _check_swap(description: DataDescription, made: Augmentation, layouts: Mapping[str, Categories],
                heads: Mapping[str, HeadTarget], *, findings: Findings) -> None:
    """Columns of `swap` that nothing reads, and values that they do not have."""
    read = {column: list(names) for _, _, column, names, _ in _columns(description, layouts)}
    for head, target in heads.items():
        spec = description.targets.get(head)
        if spec is not None and spec.column and target.declared_task.cells == "class":
            read.setdefault(spec.column, []).extend(target.classes)
    for column, pair in made.swap.items():
        span = description.span("augment", SWAP, column)
        unknown = [name for name in pair if name not in read.get(column, ())]
        if column not in read:
            findings.add(Diagnostic("bad-value", f"{SWAP!r} names {column!r}, which is no column of categories or "
                                    "classes that is read", span, fix=f"name one of {', '.join(read) or 'none'}"))
        elif unknown:
            findings.add(Diagnostic("bad-value", f"{SWAP!r} names {unknown[0]!r}, which column {column!r} lacks", span,
                                    fix=f"it has {', '.join(dict.fromkeys(read[column]))}"))


def _columns(description: DataDescription, layouts: Mapping[str, Categories]
             ) -> Iterator[tuple[str, str, str, Sequence[str], int]]:
    """Each column of categories: its input, how that encodes, the column, its categories, and its first place."""
    for name, layout in layouts.items():
        options = description.inputs[name].options
        place = len(options.measured) * (2 if options.fill == "indicator" else 1)
        for column, names in zip(options.categorical, layout, strict=True):
            yield name, options.encode, column, names, place
            place += 1 if options.encode == "codes" else len(names)


def _spoken(description: DataDescription, layouts: Mapping[str, Categories], heads: Mapping[str, HeadTarget]
            ) -> Iterator[tuple[str, Sequence[str], str | None]]:
    """What is said of a case: in a sentence, by which words, and the column whose values they are."""
    for name in layouts:
        options = description.inputs[name].options
        for column in (*options.measured, *options.categorical):
            yield f"column {column!r} of {name!r}", (column,), None
    for name, _, column, names, _ in _columns(description, layouts):
        yield f"column {column!r} of {name!r}", tuple(names), column
    for head, target in heads.items():
        spec = description.targets.get(head)
        yield f"a class of {head!r}", target.classes, spec.column if spec is not None else None


def _sided(words: Collection[str]) -> tuple[str, ...]:
    """The words of a side among these: one of a pair, and both of a pair of short ones."""
    parts = {part for word in words for part in _words(word)}
    found = [side for pair in _SIDES for side in pair if side in parts]
    short = [side for pair in _SHORT if set(pair) <= parts for side in pair]
    return tuple(found + short)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())
