"""Inputs of masked tokens or items in a cohort: arrays of another length for every case, and cases without any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from fusionkit.data.case_files import is_empty_bag
from fusionkit.data.dataset import MaskedCounts
from fusionkit.data.findings import Findings
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.readers.bag import BagOptions
from fusionkit.data.readers.reader import Sizes
from fusionkit.data.signature import InputNeed, fits
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic

_NAMED = 4  # cases that a warning names
Place = tuple[str, int]
"""An input and a row."""


def is_masked(need: InputNeed, shapes: Collection[tuple[int, ...]] = ()) -> bool:
    """Whether an input has masked tokens: as the graph says, or without a graph if only the number of tokens varies."""
    if need.sizes is not None:
        return need.masked
    # (n, c), (n, c, h, w) or (n, c, d, h, w); of three axes it may be an image, with another number of channels.
    return len({shape[1:] for shape in shapes}) == 1 and not {len(shape) for shape in shapes} - {2, 4, 5} and len(
        {shape[0] for shape in shapes}) > 1


def without_tokens(inputs: Mapping[str, InputNeed], specs: Mapping[str, InputSpec],
                   shapes: Mapping[Place, tuple[int, ...]], *, table: Table, ids: Sequence[str],
                   findings: Findings) -> set[Place]:
    """The places whose array has no tokens, which is a missing input.

    Reports `no-tokens` as a warning where the input may be missing, `absent-input` where not, and `empty-array` for
    inputs that are no masked tokens.
    """
    empty = sorted(place for place, shape in shapes.items() if is_empty_bag(shape))
    for name, need in inputs.items():
        rows = [row for owner, row in empty if owner == name]
        if not rows:
            continue
        loose, columns = need.masked or need.sizes is None, specs[name].columns
        column = columns[-1] if columns else None
        if loose and need.optional:
            shown = ", ".join(repr(ids[row]) for row in rows[:_NAMED])
            more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
            findings.add(Diagnostic(
                "no-tokens", f"input {name!r}: {len(rows)} of {len(table)} cases have an array without a row ({shown}"
                f"{more})", table.span(rows[0], column), why="a case without a token is one that lacks the input",
                fix="leave the cell of the file blank where nothing was taken; check the others", severity="warning"),
                name)
        for row in () if loose and need.optional else rows:
            size = list(shapes[name, row])
            code, message, why, fix = (
                ("absent-input", f"case {ids[row]!r} has no {name!r}", f"its array {size} has no token",
                 f"fill it in, or write 'optional: true' on input {name!r} of the graph") if need.masked else
                ("empty-array", f"case {ids[row]!r}, input {name!r}: it has no values",
                 f"the size of its array is {size}", "save it again"))
            findings.add(Diagnostic(code, message, table.span(row, column), why, fix), name)
    return set(empty)


def check_items(spec: InputSpec, need: InputNeed, findings: Findings) -> bool:
    """Whether the graph takes several items of a case, where the data have them; reports `wrong-layout`."""
    if need.sizes is None or need.masked:
        return True
    graph, what = f" ({need.span})" if need.span else "", "positions" if spec.bag is None else "items"
    findings.add(Diagnostic(
        "wrong-layout", f"input {spec.name!r} has several {what} for a case; the graph takes one {need.layout}{graph}",
        spec.span, why=f"the reader {spec.reader!r} gives another number of them for every case",
        fix=f"write 'tokens: [null, 1]' on input {spec.name!r} of the graph" if what == "positions" else
        f"write 'items: {{{need.layout}: {_shown(need.sizes)}}}' on input {spec.name!r} of the graph, or read one file "
        f"without 'read: bag'"), spec.name)
    return False


def evaluated(bag: BagOptions | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of a case with the items that evaluation takes."""
    return shape if bag is None or bag.most_evaluate is None else (min(shape[0], bag.most_evaluate), *shape[1:])


def counts_of(need: InputNeed, shapes: Mapping[int, tuple[int, ...]]) -> MaskedCounts:
    """How many tokens each row has that has the input."""
    return MaskedCounts(need.most, {row: shape[0] for row, shape in shapes.items()})


def longest(spec: InputSpec, need: InputNeed, promised: Sizes | None, shapes: Mapping[int, tuple[int, ...]], *,
            table: Table, ids: Sequence[str], findings: Findings) -> tuple[int, ...] | None:
    """The size of the case with most tokens; None if a width is unknown or wrong.

    Reports `wrong-size`, once if all cases differ from the graph, else by row, and `too-many-tokens`.
    """
    # Of the first row, not of the first thread that was done.
    first = shapes[min(shapes)] if shapes else (0, 0)
    wanted: Sizes = (None,) * (len(first) - 1) if need.sizes is None else need.sizes[1:]
    rank = len(wanted) + 1
    if promised is not None or (shapes and all(len(shape) != rank for shape in shapes.values())):
        given = promised if promised is not None else first
        findings.add(_wrong(spec, need, f"input {spec.name!r} is {_shown(given)}", wanted))
        return None
    rests = [shapes[row][1:] for row in sorted(shapes) if len(shapes[row]) == rank]
    usual = Counter(rests).most_common(1)[0][0] if rests else _known(wanted)
    if usual is None or not fits(usual, wanted):
        if usual is not None:
            findings.add(_wrong(spec, need, f"input {spec.name!r} is {_shown(usual, 'null')}", wanted))
        return None
    columns, what = spec.columns, "tokens" if rank == 2 else "items"
    for row, shape in sorted(shapes.items()):
        span = table.span(row, columns[-1] if columns else None)
        named = f"case {ids[row]!r}, input {spec.name!r}"
        if shape[1:] != usual:
            findings.add(Diagnostic(
                "wrong-size", f"{named}: its size is {_shown(shape)}, not {_shown(usual, 'null')}", span,
                why=_WHY[what], fix=f"save an array with one row for each {what[:-1]}, and the same sizes for all "
                "cases" if spec.bag is None else "write 'size' under 'of', which gives all items one size"), spec.name)
    check_most(spec, need, {row: shape for row, shape in shapes.items() if len(shape) == rank}, table=table, ids=ids,
               findings=findings)
    return max([1, *(shape[0] for shape in shapes.values() if len(shape) == rank)]), *usual


def check_most(spec: InputSpec, need: InputNeed, shapes: Mapping[int, tuple[int, ...]], *, table: Table,
               ids: Sequence[str], findings: Findings) -> None:
    """Reports `too-many-tokens`, once for all cases that have more than the graph takes."""
    columns, gives = spec.columns, spec.source.gives
    key = gives if gives in ("text", "events") else "max"
    what = "items" if any(len(shape) > 2 for shape in shapes.values()) else "tokens"
    counts = {row: shape[0] for row, shape in sorted(shapes.items())}
    over = [row for row, count in counts.items() if need.most is not None and count > need.most]
    if over:
        rest = f"{len(over) - 1} further case{'s' if len(over) > 2 else ''}"
        more = f" ({rest} too, up to {max(counts.values()):,})" if len(over) > 1 else ""
        findings.add(Diagnostic(
            "too-many-tokens", f"case {ids[over[0]]!r}, input {spec.name!r}: it has {counts[over[0]]:,} {what}; the "
            f"graph takes at most {need.most:,}{more}", table.span(over[0], columns[-1] if columns else None),
            why=f"{key!r} of input {spec.name!r} limits them, since memory and time grow with their number",
            fix=f"write '{key}: {max(counts.values())}' in the graph, or "
                f"{_FEWER.get(gives, f'save fewer {what} for a case')}"), spec.name)


_FEWER = {"text": "write a smaller 'length' in the data file", "events": "write a smaller 'keep' in the data file",
          "series": "write a smaller 'keep' in the data file",
          "tokens": "write longer steps in the data file, or a shorter window"}
_WHY = {"tokens": "tokens are (number, features), and only their number may vary",
        "items": "items are (number, channels, ...), and only their number may vary"}


def _known(sizes: Sizes) -> tuple[int, ...] | None:
    """Sizes of which none is left to the data."""
    known = tuple(size for size in sizes if size is not None)
    return known if len(known) == len(sizes) else None


def _wrong(spec: InputSpec, need: InputNeed, message: str, wanted: Sizes) -> Diagnostic:
    graph = f" ({need.span})" if need.span else ""
    tokens = len(wanted) == 1
    what = "masked tokens are an array (number, features)" if tokens else "items are an array (number, channels, ...)"
    return Diagnostic("wrong-size", f"{message}; the graph takes {_shown(wanted, 'null')}{graph}", spec.span,
                      why=f"{what} for each case, without the batch axis",
                      fix="correct the sizes in the graph, or save an array with one row for each "
                          f"{'token' if tokens else 'item'}" if spec.bag is None else
                          "correct the sizes in the graph, or write 'size' or 'channels' under 'of' in the data file")


def _shown(sizes: Iterable[int | None], *first: str) -> str:
    return "[" + ", ".join([*first, *("auto" if size is None else str(size) for size in sizes)]) + "]"
