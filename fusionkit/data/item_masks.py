"""The masks and boxes of the items of a bag that are not registered: each file has its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fusionkit.data import case_files, path_template
from fusionkit.data.companions import Companions
from fusionkit.data.geometry.region import PatientBox
from fusionkit.data.geometry.roi_options import RoiOptions
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.numbers import NumberFormats
from fusionkit.errors import Span

_PARTS = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)  # of a pattern: a set of characters, or one character


def stars(pattern: str) -> int:
    """How many `*` a pattern has."""
    return _PARTS.findall(pattern).count("*")


def matched(pattern: str, name: str) -> tuple[str, ...]:
    """What each `*` of a pattern stands for in a name that it matches."""
    found = re.fullmatch("".join(_expression(part) for part in _PARTS.findall(pattern)), name, re.DOTALL)
    assert found is not None, f"{name!r} does not match {pattern!r}; please report"
    return found.groups()


def _expression(part: str) -> str:
    if part == "*":
        return "([^/]*?)"
    if part == "?":
        return "[^/]"
    if len(part) == 1:
        return re.escape(part)
    inner = part[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{'' if inner[:1] != '^' else chr(92)}{inner}]"


def columns(spec: InputSpec) -> list[tuple[tuple[str, ...], str]]:
    """The columns of a table of items that say where the mask or the box of an item is, after where each is written."""
    found = [(("of", *reader.written), column) for reader in (spec.region, spec.foreground) if reader is not None
             for column in path_template.columns(str(reader.options.path))]
    roi: RoiOptions | None = getattr(spec.options, "roi", None)
    if roi is None:
        return found
    found += [(("of", "roi", "box"), column) for column in roi.columns]
    return found + ([(("of", "roi", "extent"), roi.extent)] if isinstance(roi.extent, str) else [])


def companions(spec: InputSpec, cells: Mapping[str, str], *, told: Sequence[str] = (), span: Span | None = None,
               numbers: NumberFormats | None = None) -> Companions:
    """The mask, or the box, and the foreground of one item, each None where its cells are blank.

    `cells` are those of its row by column, `told` is what each `*` of its pattern stands for. `numbers` says how cells
    of a box are read. Raises: PlaceError.
    """
    try:
        box = None if numbers is None else _box(getattr(spec.options, "roi", None), cells, numbers)
        return Companions(mask=_file(spec.region, cells, told), box=box, foreground=_file(spec.foreground, cells, told))
    except case_files.PlaceError as fault:
        fault.span = span
        raise


def _file(reader: InputSpec | None, cells: Mapping[str, str], told: Sequence[str]) -> Path | None:
    if reader is None:
        return None
    first, *rest = str(reader.options.path).split("*")
    # Each `*` is filled in as a column is, no name of which is empty.
    template = first + "".join(f"{{*{place}}}{piece}" for place, piece in enumerate(rest))
    filled = path_template.fill(template, {**cells, **{f"*{place}": text for place, text in enumerate(told)}})
    if filled is None:
        return None
    try:
        return case_files.existing(reader, filled)
    except case_files.PlaceError as fault:
        if fault.code == "missing-file":
            fault.fix = "add the mask of this item, or correct its path; in a 'table' of items its cell may be blank"
        raise


def _box(roi: RoiOptions | None, cells: Mapping[str, str], numbers: NumberFormats) -> PatientBox | None:
    """The box that a row of the table of items gives."""
    if roi is None or not roi.columns:
        return None
    found = [_number(column, cells, numbers) for column in roi.columns]
    extent = _number(roi.extent, cells, numbers) if isinstance(roi.extent, str) else roi.extent
    if extent is not None and extent <= 0:
        raise case_files.PlaceError("box-outside", f"its extent {extent:g} is not above 0",
                                    "it is the edge of a box in mm", "correct the cell")
    return None if None in (*found, extent) else PatientBox.told([*found, extent], roi.space)  # type: ignore[list-item]


def _number(column: str, cells: Mapping[str, str], numbers: NumberFormats) -> float | None:
    number = numbers.of(column).read(cells[column]) if cells[column] else None
    if cells[column] and (number is None or not math.isfinite(number)):
        raise case_files.PlaceError("not-a-number", f"{cells[column]!r} in column {column!r} is no number",
                                    "'roi' takes the place of a box from it", "correct the cell, or leave it blank")
    return number
