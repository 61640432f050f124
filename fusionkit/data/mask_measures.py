"""Measures masks of every case, and puts the numbers beside the cells of the table."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fusionkit.data import case_files
from fusionkit.data import disk_cache as disk
from fusionkit.data.case_files import unreadable
from fusionkit.data.geometry.roi_options import RoiOptions
from fusionkit.data.geometry.steps import left_to_geometry, shaped
from fusionkit.data.header_tables import JoinedTable, with_columns
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.mask_files import region_of
from fusionkit.data.partial_cohort import PartialCohort
from fusionkit.data.processors import usable_processors
from fusionkit.data.readers.mask_statistics import measure
from fusionkit.data.readers.reader import ReadError, is_decoder_failure
from fusionkit.errors import Diagnostic

_AS_STORED = {"window": None, "clip": None, "normalise": None, "percentile": None, "mask": None, "outside": "keep",
              "size": None, "spacing": None, "like": None, "centre": "middle"}
"""The options by which a file is measured: in its units, and on its grid."""
Numbers = list[float | None]


def measure_masks(loading: PartialCohort) -> PartialCohort:
    """The table with a column for each number of the inputs of `mask_statistics`; files that cannot be read are told.

    Cases without an image or a mask have blank cells.
    """
    for name in loading.inputs:
        spec = loading.description.inputs.get(name)
        if spec is None or spec.measures is None:
            continue
        there = [column for column in spec.options.numeric if column in loading.table]
        if there:
            loading.findings.add(Diagnostic(
                "duplicate-column", f"input {name!r} measures {there[0]!r}, and the table has a column of this name",
                spec.span, None, "give the input another name, or rename the column"), name)
            continue
        places = (*spec.measures.mask.named_columns, *spec.measures.image.named_columns)
        rows, wrong = _of_rows(loading, spec) if loading.has_all(places, f"input {name!r}") else (
            {}, frozenset(range(len(loading.table))))
        width = len(spec.options.numeric)
        cells = [tuple("" if number is None else repr(number) for number in rows.get(row, [None] * width))
                 for row in range(len(loading.table))]
        loading = replace(loading, table=_added(loading, spec, cells), unmeasured={**loading.unmeasured, name: wrong})
    return loading


def _added(loading: PartialCohort, spec: InputSpec, cells: Sequence[tuple[str, ...]]) -> JoinedTable:
    """The table with numbers that no mark of decimals concerns, and that stand in no file."""
    nowhere = (loading.table, [None] * len(loading.table))
    made = with_columns(loading.table, spec.options.numeric, cells, nowhere)
    numbers = dict.fromkeys(spec.options.numeric, range(len(cells)))
    return replace(made, numbers={**made.numbers, **numbers})


def _of_rows(loading: PartialCohort, spec: InputSpec) -> tuple[dict[int, Numbers], frozenset[int]]:
    """The numbers of the rows that have an image and a mask, and the rows of which one cannot be read."""
    assert spec.measures is not None, "nothing is measured; please report"
    image, mask, findings = spec.measures.image, spec.measures.mask, loading.findings
    images, wrong = case_files.locate(image, loading.table, loading.ids, findings)
    masks, faulty = case_files.locate(mask, loading.table, loading.ids, findings)
    rows = [row for row in range(len(loading.table))
            if images[row] is not None and masks[row] is not None and row not in wrong | faulty]

    def read(row: int) -> Numbers | ReadError:
        path, other = images[row], masks[row]
        assert path is not None and other is not None, "a case without files; please report"
        try:
            return _measured(spec, image.of_row(partial(loading.table.cell, row)), path, other, loading.reading.cache)
        except ReadError as problem:
            return problem

    found: dict[int, Numbers] = {}
    with ThreadPoolExecutor(loading.reading.workers or min(8, usable_processors())) as pool:
        for row, numbers in zip(rows, pool.map(read, rows), strict=True):
            if not isinstance(numbers, ReadError):
                found[row] = numbers
                continue
            column = spec.columns[-1] if spec.columns and spec.columns[-1] in loading.table else None
            findings.add(Diagnostic(numbers.code, f"case {loading.ids[row]!r}, input {spec.name!r}, "
                                    f"{str(images[row])!r}: {numbers.message}", loading.table.span(row, column),
                                    numbers.why, numbers.fix), spec.name)
    return found, (wrong | faulty | frozenset(rows)) - found.keys()


def _measured(spec: InputSpec, image: InputSpec, path: Path, mask: Path, cache: Path | None) -> Numbers:
    assert spec.measures is not None, "nothing is measured; please report"
    names = spec.measures.options.measured
    try:
        settings = {**image.options.model_dump(mode="json", exclude={"path", "missing_ok", "roi", *_AS_STORED}),
                    "label": spec.measures.options.model_dump(mode="json")["label"], "values": list(names),
                    "mask": disk.stamps(mask)}
        key = disk.key(path, f"{image.reader}/mask_statistics", settings)
        known = None if cache is None else disk.load_facts(cache, key)
        if isinstance(known, dict) and isinstance(numbers := known.get("measured"), list):
            return numbers
        found = _read(spec.measures.mask, image, path, mask, names)
    except OSError as problem:
        raise unreadable(problem) from None
    except ReadError:
        raise
    except BaseException as problem:  # a damaged file can make a decoder raise anything
        if not is_decoder_failure(problem):
            raise
        raise ReadError("unreadable-file", f"the reader {image.reader!r} fails on it",
                        f"{type(problem).__name__}: {problem}", "copy the file from its source again") from problem
    if cache is not None:
        disk.store(cache, key, np.zeros(0, dtype=np.float32), {"measured": found})
    return found


def _read(reader: InputSpec, image: InputSpec, path: Path, mask: Path, names: tuple[str, ...]) -> Numbers:
    options = image.options
    kept = {name: value for name, value in _AS_STORED.items() if hasattr(options, name)}
    as_channel = RoiOptions.model_validate({"mask": reader.template, "outside": "channel", "empty": "whole"})
    options = options.model_copy(update={**kept, "roi": as_channel})
    array, facts = image.source.examine(path, left_to_geometry(options))
    if array.ndim != 4 or len(array) != 1:
        raise ReadError("wrong-rank", f"its array is {list(array.shape)}, and masks are measured in volumes of one "
                        "channel", None, "name another input in 'of'")
    array, facts = shaped(array, facts, options, part=region_of(reader, mask, facts))
    return measure(array[0], array[1] > 0, facts.outcome_grid, names)
