"""Inputs that a reader gives for all cases at once: reading them, and what a run keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.data import masked_inputs
from fusionkit.data.checks import add_advice
from fusionkit.data.dataset import MaskedCounts
from fusionkit.data.description import DataDescription
from fusionkit.data.findings import Findings
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.readers.cohort_reader import CohortCases, SequenceFault, Sequences
from fusionkit.data.readers.reader import ReadError, is_decoder_failure
from fusionkit.data.readers.whole_reader import CohortReader
from fusionkit.data.signature import InputNeed
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic

KINDS = {"text": "vocabulary", "events": "number of variables", "series": "number of channels",
         "tokens": "number of columns"}
"""What the kinds of a token are called, by layout."""
_MOST = 8.0
"""Standardised values are clipped there, those of kinds that stay as they are not."""


@dataclass(frozen=True, slots=True)
class SequenceFit:
    """What a run keeps of an input that a reader gave for all cases.

    `record` has hashes of what decides the meaning of an id, `kinds` how many there are. `names` are variables or
    channels; `means` and `deviations` those of the training cases for each, empty where values are not standardised.
    `fixed` are the kinds that stay as they are, `units` the units of variables, where the data tell them.
    """

    layout: str
    kinds: int
    record: dict[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    fixed: tuple[int, ...] = ()
    units: dict[str, str] = field(default_factory=dict)


def fit_of(layout: str, found: Sequences, rows: Sequence[int]) -> SequenceFit:
    """What a run keeps: means and deviations of the values of some rows, which must be training rows only."""
    arrays = [array for row in rows if (array := found.arrays[row]) is not None] if found.scaled else []
    means, deviations = np.zeros(found.kinds), np.ones(found.kinds)
    for kind in sorted({*range(found.kinds if found.scaled else 0)} - {*found.fixed}):
        values = np.concatenate([values_of(layout, array, kind) for array in arrays] or [np.zeros(0)])
        if values.size:
            means[kind], deviations[kind] = values.mean(), values.std() or 1.0
    return SequenceFit(layout, found.kinds, dict(found.record), found.names,
                       tuple(map(float, means)) if found.scaled else (),
                       tuple(map(float, deviations)) if found.scaled else (), found.fixed, dict(found.units))


def values_of(layout: str, array: NDArray[Any], kind: int) -> NDArray[Any]:
    """The values of one variable, of one channel where it was observed, or of one column where it is known."""
    if layout == "tokens":
        known: NDArray[Any] = array[np.isfinite(array[:, kind]), kind]
        return known
    count = (array.shape[1] - 1) // 2
    rows, column = (array[:, 1] == kind, 2) if layout == "events" else (array[:, count + kind] > 0, kind)
    found: NDArray[Any] = array[rows, column]
    return found


def prepared(array: NDArray[Any], fit: SequenceFit) -> NDArray[Any]:
    """The array that a network is given: ids unchanged, other values standardised and clipped at 8 deviations.

    What is not known of a column is its mean: zero where it is standardised.
    """
    if fit.layout == "text":
        return array
    made = array.astype(np.float64)
    if fit.means:
        means, deviations = np.array(fit.means), np.array(fit.deviations)
        most = np.where(np.isin(np.arange(fit.kinds), fit.fixed), np.inf, _MOST)
        if fit.layout == "events":
            kinds = made[:, 1].astype(np.int64)
            made[:, 2] = ((made[:, 2] - means[kinds]) / deviations[kinds]).clip(-most[kinds], most[kinds])
        elif fit.layout == "tokens":
            made = ((made - means) / deviations).clip(-most, most)
        else:
            observed = made[:, fit.kinds : 2 * fit.kinds] > 0
            scaled = ((made[:, : fit.kinds] - means) / deviations).clip(-most, most)
            made[:, : fit.kinds] = np.where(observed, scaled, 0.0)
    if fit.layout == "tokens":
        made = np.nan_to_num(made)
    return made.astype(np.float32)


def gather(spec: InputSpec, files: Sequence[Path | None], train: Sequence[int], *, table: Table, ids: Sequence[str],
           before: SequenceFit | None, description: DataDescription, findings: Findings) -> Sequences | None:
    """The input of all cases, None where the reader refuses all of it; what is wrong is reported.

    `before` is what the run that it is for keeps of it; `preprocessing-differs` is reported where that differs.
    """
    assert isinstance(spec.source, CohortReader), "another reader; please report"
    try:
        cases = cases_of(spec, files, train, table=table, ids=ids)
        found = spec.source.gather(replace(cases, names=before.names if before is not None else ()), spec.options)
    except ReadError as problem:
        found = Sequences((), 0, faults=(SequenceFault(problem, option=next(iter(spec.placed), None)),))
    except BaseException as problem:  # a reader, or a library that it calls, may raise anything
        if not is_decoder_failure(problem):
            raise
        found = Sequences((), 0, faults=(SequenceFault(ReadError(
            "unreadable-file", f"the reader {spec.reader!r} fails on it", f"{type(problem).__name__}: {problem}",
            "check the files of this input; if they are right, please report it")),))
    for fault in found.faults:
        _report(fault, spec, table=table, ids=ids, description=description, findings=findings)
    add_advice(spec, found.advice, ids, findings)
    if len(found.arrays) < len(ids):
        return None
    _check_record(spec.name, before, found, description, findings)
    _check_units(spec.name, before, found, description, findings)
    return found


def cases_of(spec: InputSpec, files: Sequence[Path | None], train: Sequence[int], *, table: Table, ids: Sequence[str]
             ) -> CohortCases:
    """What the reader of an input is given."""
    cells = {column: table.cells(column) for column in spec.columns}
    return CohortCases(tuple(ids), cells, tuple(files), spec.placed, tuple(train))


def _report(fault: SequenceFault, spec: InputSpec, *, table: Table, ids: Sequence[str], description: DataDescription,
            findings: Findings) -> None:
    problem = fault.error
    if fault.row is None:
        span = description.span("inputs", spec.name, fault.option) if fault.option else spec.span
        message = f"input {spec.name!r}: {problem.message}"
    else:
        columns = spec.columns
        span = table.span(fault.row, fault.column or (columns[-1] if columns else None))
        message = f"case {ids[fault.row]!r}, input {spec.name!r}: {problem.message}"
    findings.add(Diagnostic(problem.code, message, span, problem.why, problem.fix), spec.name)


_WRITTEN = {"text": "'text: NUMBER'", "events": "'events: NUMBER'", "series": "'series: [null, CHANNELS]'",
            "tokens": "'tokens: [null, COLUMNS]'"}


def check_layout(spec: InputSpec, need: InputNeed, findings: Findings) -> bool:
    """Whether the reader gives what the graph takes; reports `wrong-layout`."""
    gives = spec.source.gives
    tokens = "tokens" if gives == "tokens" and need.masked else "array"
    takes = tokens if need.layout == "tokens" else need.layout if need.layout in KINDS else "array"
    if not need.layout or gives == takes:
        return True
    graph = f" ({need.span})" if need.span else ""
    findings.add(Diagnostic(
        "wrong-layout", f"input {spec.name!r} is {gives if gives != 'array' else 'an array'}; the graph takes "
        f"{need.layout}{graph}", spec.span, why=f"the reader {spec.reader!r} gives "
        f"{gives if gives != 'array' else 'arrays of numbers'}", fix=f"write {_WRITTEN[gives]} on input {spec.name!r} "
        "of the graph, or choose another reader" if gives != "array" else
        f"write 'read: {takes}' on input {spec.name!r} of the data file, or another layout in the graph"), spec.name)
    return False


def counted(spec: InputSpec, need: InputNeed, found: Sequences, *, table: Table, ids: Sequence[str],
            findings: Findings) -> tuple[MaskedCounts, tuple[int, int]]:
    """How many tokens each row has, and the sizes of the longest; reports `wrong-size` and `too-many-tokens`."""
    shapes = {row: (len(array), found.kinds) for row, array in enumerate(found.arrays) if array is not None}
    if not _kinds_differ(spec, need, found.kinds, findings):
        masked_inputs.check_most(spec, need, shapes, table=table, ids=ids, findings=findings)
    return masked_inputs.counts_of(need, shapes), (max([1, *(count for count, _ in shapes.values())]), found.kinds)


def _kinds_differ(spec: InputSpec, need: InputNeed, kinds: int, findings: Findings) -> bool:
    """Whether the data have more ids than the graph, or fewer; reports `wrong-size`."""
    wanted = need.sizes[1] if need.sizes else None
    if wanted in (None, kinds):
        return False
    word, graph = KINDS[spec.source.gives], f" ({need.span})" if need.span else ""
    key = {"text": "'vocabulary: {}'", "events": "'variables: {}'", "series": "'series: [null, {}]'",
           "tokens": "'tokens: [null, {}]'"}[spec.source.gives]
    findings.add(Diagnostic(
        "wrong-size", f"the {word} of input {spec.name!r} is {kinds:,}; that of the graph is {wanted:,}{graph}",
        spec.span, why=f"the reader {spec.reader!r} counts them" if spec.source.gives != "text" else
        f"the reader {spec.reader!r} gives ids from 0 to {kinds - 1:,}",
        fix=f"write {key.format(kinds)} in the graph, or 'auto' to take it from the data"), spec.name)
    return True


def _check_record(name: str, before: SequenceFit | None, found: Sequences, description: DataDescription,
                  findings: Findings) -> None:
    for option, was in before.record.items() if before is not None else ():
        now = found.record.get(option, "not known")
        if was != now:
            findings.add(Diagnostic(
                "preprocessing-differs", f"input {name!r} is not read as in training: {option!r} differs",
                description.span("inputs", name, option), why=f"in training its SHA-256 was {was[:16]}...; here it is "
                f"{now[:16]}...", fix="give the file that the run was trained with"), name)


def _check_units(name: str, before: SequenceFit | None, found: Sequences, description: DataDescription,
                 findings: Findings) -> None:
    """Reports `preprocessing-differs` for a variable in another unit than in training."""
    for variable, was in before.units.items() if before is not None else ():
        now = found.units.get(variable, was)
        if was != now:
            findings.add(Diagnostic(
                "preprocessing-differs", f"input {name!r} is not read as in training: {variable!r} is in {now}",
                description.span("inputs", name), f"in training it was in {was}",
                f"write its factor: 'convert: {{{variable}: {{{now}: FACTOR}}}}'"), name)
