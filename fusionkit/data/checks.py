"""Checks of a cohort as a whole, before training starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from fusionkit.components.task import TargetPart
from fusionkit.data.case_files import File
from fusionkit.data.description import DataDescription
from fusionkit.data.division import Division
from fusionkit.data.findings import Findings
from fusionkit.data.geometry.advice import with_geometry
from fusionkit.data.grouped_folds import PARTS
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.labels import named
from fusionkit.data.readers.advice import Advice
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.lookup import COLUMNS
from fusionkit.data.readers.reader import Sizes, show_sizes
from fusionkit.data.signature import HeadTarget, InputNeed, fits
from fusionkit.data.table import Table
from fusionkit.data.target_spec import TargetSpec
from fusionkit.data.targets import TargetValues
from fusionkit.errors import Diagnostic, Severity, Span, did_you_mean
from fusionkit.printable import in_one_line

_NAMED = 4  # cases that a warning about an input gives as examples


def missing_columns(table: Table, needed: Sequence[str], spans: Callable[[int], Span], use: str, *,
                    known: Collection[str], findings: Findings) -> list[str]:
    """The needed columns that the table lacks; reports `unknown-column` for each that is not in `known`.

    `spans` maps the number of a needed column to its location in the data file.
    """
    missing: list[str] = []
    for number, column in enumerate(needed):
        if column in table:
            continue
        if column not in known and column not in missing:
            findings.add(Diagnostic(
                "unknown-column", f"the table has no column {column!r}", spans(number),
                why=f"{use} reads it; the columns of {table.file!r} are {', '.join(table.columns[:40])}",
                fix=did_you_mean(column, [c for c in table.columns if c], "name one of its columns")), column)
        missing.append(column)
    return missing


def check_ids(table: Table, column: str, findings: Findings) -> tuple[str, ...]:
    """The id of every case; reports `blank-id` and `duplicate-id`."""
    ids = table.cells(column)
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name:
            findings.add(Diagnostic("blank-id", f"this case has no {column!r}", table.span(row, column),
                                    why="cases are joined and reported by their id",
                                    fix="fill in the cell, or remove the row if it is empty"), column)
            continue
        if (shown := in_one_line(name)) != name:
            findings.add(Diagnostic("bad-id", f"the id '{shown}' contains invisible characters",
                                    table.span(row, column), why="it could not be told from another id",
                                    fix="write ids of letters, digits and signs"), column)
        # Composed and decomposed forms of a letter look alike everywhere an id is shown.
        same = normalize("NFC", name)
        if same in first:
            other = table.cell(first[same], column) != name
            findings.add(Diagnostic("duplicate-id", f"the id {name!r} occurs twice"
                                    f"{', in other code points' if other else ''}", table.span(row, column),
                                    why=f"it already names the case on line {table.span(first[same]).line}",
                                    fix="give each case its own id, or remove the copy"), column)
        first.setdefault(same, row)
    return tuple(name or f"on line {table.span(row, column).line}" for row, name in enumerate(ids))


def check_described(description: DataDescription, heads: Mapping[str, HeadTarget], inputs: Mapping[str, InputNeed],
                    require_targets: bool, findings: Findings) -> None:
    """Report inputs and targets of the network that the data file does not describe."""
    file = str(description.file)
    for name, need in inputs.items():
        if name not in description.inputs:
            findings.add(Diagnostic("input-not-described", f"the data file has no input {name!r}",
                                    need.span or description.span("inputs"), why=f"the graph reads it; {file} describes"
                                    f" {', '.join(description.inputs) or 'none'}",
                                    fix=did_you_mean(name, description.inputs, f"add {name!r} to 'inputs' in {file}")))
    for name, head in heads.items():
        if require_targets and name not in description.targets:
            match = did_you_mean(name, description.targets, "") or ""
            findings.add(Diagnostic("target-not-described", f"the data file has no target {name!r}",
                                    head.span or description.span("targets"),
                                    why=f"the head {name!r} of the graph learns it; {file} describes "
                                        f"{', '.join(description.targets) or 'none'}",
                                    fix=match if match.startswith("did") else
                                        f"add '{name}: {{column: COLUMN}}' to 'targets' in {file}"))


def check_present(name: str, need: InputNeed, present: Sequence[bool], *, spec: InputSpec, table: Table,
                  ids: Sequence[str], skip: frozenset[int], findings: Findings) -> None:
    """Report `absent-input` for cases that lack an input which is not optional in the graph."""
    columns = spec.columns
    for row, there in enumerate(present):
        if there or need.optional or row in skip:
            continue
        blank = next((column for column in columns if not table.cell(row, column)), None)
        span = table.span(row, blank or (columns[-1] if columns else None))
        why = "all its columns are blank" if spec.source is COLUMNS else f"column {blank!r} is blank" if blank else (
            f"no file matches {spec.template!r}" if spec.template and spec.bag else
            "its file does not exist" if spec.template else "there is nothing of it")
        findings.add(Diagnostic("absent-input", f"case {ids[row]!r} has no {name!r}", span, why=why,
                                fix=f"fill it in, or write 'optional: true' on input {name!r} of the graph"), name)


def check_shared(files: Sequence[File], division: Division, table: Table, ids: Sequence[str],
                 findings: Findings) -> None:
    """Warn about `shared-file`: one file that belongs to cases on both sides of the split."""
    part = division.sides(len(table))
    first: dict[tuple[object, ...], File] = {}
    for file in files:
        other = first.setdefault(file.identity, file)
        if part[other.row] != part[file.row]:
            findings.add(Diagnostic(
                "shared-file", f"cases {ids[other.row]!r} ({part[other.row]}) and {ids[file.row]!r} "
                f"({part[file.row]}) have the same file {str(file.path)!r}", table.span(file.row),
                why="a test case would have been seen in training", fix="put both cases on one side of the split",
                severity="warning"), file.spec.name)


def advise(spec: InputSpec, files: Mapping[int, Facts], ids: Sequence[str], findings: Findings) -> None:
    """Report the warnings about the metadata of all files of an input, by row: the reader's, and those of geometry."""
    facts = list(files.values())
    found = [*with_geometry(spec.source.advise(spec.options, facts), spec.options, facts),
             *([] if spec.region is None else spec.region.source.advise(spec.region.options, facts))]
    add_advice(spec, found, [ids[row] for row in files], findings)


def add_advice(spec: InputSpec, found: Sequence[Advice], names: Sequence[str], findings: Findings) -> None:
    """Report warnings about an input, whose cases have these names."""
    for advice in found:
        shown = [repr(names[place]) for place in advice.cases]
        rest = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
        about = f" (case{'s' if len(shown) > 1 else ''} {', '.join(shown[:_NAMED])}{rest})" if shown else ""
        findings.add(Diagnostic(advice.code, f"input {spec.name!r}: {advice.message}{about}", spec.span, advice.why,
                                advice.fix, severity="warning"), spec.name)


def check_some_input(present: Mapping[str, Sequence[bool]], table: Table, ids: Sequence[str],
                     findings: Findings) -> None:
    """Report `empty-case` for cases without any input.

    With several inputs such a case is a mistake. With one, as in the single-input networks of a comparison, it is what
    an optional input means: the case is kept without a result, and one warning gives their number.
    """
    empty = [row for row in range(len(table)) if present and not any(there[row] for there in present.values())]
    if len(present) == 1 and 0 < len(empty) < len(table):
        findings.add(Diagnostic("empty-case", f"{len(empty)} of {len(table)} cases lack {next(iter(present))!r}, the "
                                "only input: they get no result", table.span(empty[0]), severity="warning"))
        return
    for row in empty:
        findings.add(Diagnostic("empty-case", f"case {ids[row]!r} has none of the inputs {', '.join(present)}",
                                table.span(row), fix="fill in one of them, or remove the row"))


def resolve_sizes(spec: InputSpec, need: InputNeed, promised: Sizes | None,
                  shapes: Mapping[int, tuple[int, ...]], *, table: Table, ids: Sequence[str],
                  findings: Findings) -> tuple[int, ...] | None:
    """The size of one input in all cases; reports `wrong-size`, once if all differ from the graph, else by row."""
    usual: Sizes | None = promised
    if shapes:
        # In the order of the rows, not of the threads, so that ties are resolved deterministically.
        usual = Counter(shapes[row] for row in sorted(shapes)).most_common(1)[0][0]
    if promised is not None and need.sizes is not None and not fits(promised, need.sizes):
        usual = promised
    if usual is None:
        # No case has it. A network that knows the size may be used on these cases all the same.
        known = need.sizes or (None,)
        return None if None in known else tuple(size for size in known if size is not None)
    wanted: Sizes = need.sizes if need.sizes is not None else (None,) * len(usual)
    if not fits(usual, wanted):
        graph = f" ({need.span})" if need.span else ""
        findings.add(Diagnostic("wrong-size", f"input {spec.name!r} is {show_sizes(usual)}; the graph takes "
                                f"{show_sizes(wanted)}{graph}", spec.span,
                                why=f"the reader {spec.reader!r} gives {_axes(len(usual))}, without the batch axis",
                                fix=spec.source.size_fix(spec.name, spec.options, wanted, usual)))
        return None
    for row, shape in sorted(shapes.items()):
        if shape != usual:
            columns = spec.columns
            findings.add(Diagnostic(
                "wrong-size", f"case {ids[row]!r}, input {spec.name!r}: its size is {show_sizes(shape)}, not "
                f"{show_sizes(usual)}", table.span(row, columns[-1] if columns else None),
                why=f"{sum(s == usual for s in shapes.values())} of {len(shapes)} cases have {show_sizes(usual)}, and "
                    "all must be equal", fix=spec.source.size_fix(spec.name, spec.options, usual, shape)), spec.name)
    merged = tuple(one if one is not None else other for one, other in zip(usual, wanted, strict=True))
    return None if None in merged else tuple(size for size in merged if size is not None)


def _axes(count: int) -> str:
    return {1: "a vector", 2: "tokens (number, width)", 3: "an image (channels, height, width)",
            4: "a volume (channels, depth, height, width)"}.get(count, f"{count} axes")


def check_size_known(spec: InputSpec, need: InputNeed, size: tuple[int, ...] | None, present: Sequence[bool],
                     findings: Findings) -> None:
    """Report `unknown-size`: no case has an input whose size is known only from its files."""
    if size is None and not any(present) and need.optional:
        findings.add(Diagnostic("unknown-size", f"no case has the input {spec.name!r}, and its size is not "
                                "given", need.span or spec.span, why="the graph takes a size from the data",
                                fix="write the sizes in the graph, or correct 'path' of the input"), spec.name)


def check_targets_present(specs: Sequence[TargetSpec], table: Table, ids: Sequence[str], findings: Findings) -> None:
    """Report `target-missing` for cases with all target columns blank; targets may share a column."""
    columns = list(dict.fromkeys(column for spec in specs for column in spec.all_columns))
    cells = [[named(cell, spec.values) for cell in table.cells(column)]
             for spec in specs for column in spec.all_columns]
    for row in range(len(table)) if columns else ():
        if not any(column[row] for column in cells):
            findings.add(Diagnostic("target-missing", f"case {ids[row]!r} has no target", table.span(row, columns[0]),
                                    why=f"{', '.join(map(repr, columns[:8]))} {'is' if len(columns) == 1 else 'are'} "
                                        "blank, so the case cannot be used for training",
                                    fix="fill it in, or remove the row"), columns[0])


def check_classes(name: str, head: HeadTarget, values: TargetValues, spec: TargetSpec, *, division: Division,
                  table: Table, findings: Findings) -> None:
    """Report `class-absent`: a class, or a label, without a case in a part of the split."""
    of_classes = head.declared_task.cells == "class"
    parts = {} if division.folds is not None else {
        part: np.array(rows) for part in PARTS if (rows := division.rows(part))}
    for code, label in enumerate(head.classes):
        column = spec.column or (label if label in spec.columns else spec.columns[code])
        answers = values.values if of_classes else values.values[:, code]
        ways = [(answers == code, f"of class {label!r}")] if of_classes else [
            (answers > 0, f"of class {label!r}"), (answers == 0, f"without label {label!r}")]
        for holds, words in ways:
            found = holds & values.present
            if not found.any():
                why = "every case has another class" if words.startswith("of") else "every case has it"
                option = "classes" if of_classes else "labels"
                fix = f"correct the cells of the target, or remove {label!r} from the head's {option!r}"
                fault: _Fault | None = ("is in the whole table", why, fix, "error")
            elif division.folds is not None:
                fault = _fold_fault(name, division, np.bincount(division.folds[found], minlength=division.fold_count))
            else:
                fault = _part_fault(name, parts, found, not of_classes)
            if fault is not None:
                where, why, fix, severity = fault
                findings.add(Diagnostic("class-absent", f"no case {words} {where}", table.header(column), why, fix,
                                        severity), name)


_Fault = tuple[str, str, str, Severity]


def _part_fault(name: str, parts: Mapping[str, NDArray[np.int64]], found: NDArray[np.bool_], multilabel: bool
                ) -> _Fault | None:
    counts = {part: int(found[rows].sum()) for part, rows in parts.items()}
    empty = [part for part, count in counts.items() if count == 0]
    if not empty:
        return None
    # A rare label may well be missing from a small test set; its metrics are then left out.
    severity: Severity = "warning" if multilabel and "train" not in empty else "error"
    return (f"is in {' and '.join(empty)}", "there are " + ", ".join(f"{n} in {part}" for part, n in counts.items()),
            f"move cases of the class there, or draw the split with 'fraction' and 'stratify: {name}'", severity)


def _fold_fault(name: str, division: Division, counts: NDArray[np.int64]) -> _Fault | None:
    empty = np.flatnonzero(counts == 0).tolist()
    if not empty:
        return None
    spread = "by fold there are " + ", ".join(map(str, counts.tolist()))
    fix = f"use fewer folds, with 'stratify: {name}', or merge rare classes with 'values'"
    if division.names:
        spread = "there are " + ", ".join(f"{count} in {site!r}" for site, count in zip(division.names, counts.tolist(),
                                                                                     strict=True))
        fix = "merge rare classes with 'values', or values of the column that is left out"
    if len(empty) == division.fold_count - 1:
        only = int(counts.argmax())
        why = f"{spread}; none is left for training when it is tested"
        return f"is outside {division.told(only)}", why, fix, "error"
    return f"is in {' and '.join(map(division.told, empty[:6]))}", spread, fix, "warning"


def check_own_parts(name: str, head: HeadTarget, values: TargetValues, spec: TargetSpec, *, division: Division,
                    table: Table, findings: Findings) -> None:
    """Report what the task of a target with columns of its own finds wrong with the training cases and other parts."""
    def part(name: str, rows: Sequence[int]) -> TargetPart:
        return TargetPart(name, values.values[[row for row in rows if values.present[row]]])

    folds = [(division.told(number), *division.fold(number)) for number in range(division.fold_count)]
    train = [part(f"the training cases of {fold}", rows) for fold, rows, _ in folds] or [
        part("the training cases", division.rows("train") if division.parts else range(len(table)))]
    others = [part(fold, rows) for fold, _, rows in folds] or [
        part(name, division.rows(name)) for name in PARTS if name != "train" and division.rows(name)]
    for fault in head.declared_task.method.judge_parts(train, others, head.classes):
        place = table.header(spec.by_key[fault.key])
        findings.add(Diagnostic(fault.code, f"target {name!r}: {fault.message}", place, fault.why, fault.fix,
                                fault.severity), name)


def check_target_varies(name: str, spec: TargetSpec, values: TargetValues, rows: Sequence[int], *, table: Table,
                        findings: Findings) -> None:
    """Report `one-value` for a regression target that is the same in all training cases."""
    for position, column in enumerate(spec.all_columns):
        known = values.values[[row for row in rows if values.present[row]], position]
        known = known[~np.isnan(known)]
        if len(known) > 1 and len(np.unique(known)) == 1:
            findings.add(Diagnostic("one-value", f"target column {column!r} has one value in all {len(known)} training "
                                    "cases", table.header(column), why=f"{name!r} cannot be learned from it",
                                    fix="check the column and the split"), column)
