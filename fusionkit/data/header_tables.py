"""The table of header values beside the table of cases: how it is made of files, and how it is joined when read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

from fusionkit.data import case_files, path_template
from fusionkit.data.description import DataDescription
from fusionkit.data.findings import Findings
from fusionkit.data.header_values import cells_of, columns_of, identifies, tells_sites
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.readers.columns_options import ColumnsOptions, HeaderSource
from fusionkit.data.readers.lookup import reader_of
from fusionkit.data.readers.reader import FileReader, ReadError
from fusionkit.data.table import Table, read_table, read_table_and_faults
from fusionkit.errors import DataError, Diagnostic, Span
from fusionkit.registry.lookup import Registry


@dataclass(frozen=True)
class JoinedTable(Table):
    """A table with the columns of others: `sides` are those, with the row of each in the other table, if it has one."""

    sides: Mapping[str, tuple[Table, Sequence[int | None]]] = field(default_factory=dict)

    def span(self, row: int, column: str | None = None) -> Span:
        """The location of a cell, in the table that it comes from."""
        other, rows = self.sides.get(column or "", (None, ()))
        there = rows[row] if rows else None
        if other is None or there is None:
            return super().span(row, None if other is not None else column)
        return other.span(there, column)

    def header(self, column: str | None = None) -> Span:
        """The location of a column's name."""
        other = self.sides.get(column or "", (None, ()))[0]
        return super().header(column) if other is None else other.header(column)


def read_cases(description: DataDescription) -> tuple[Table, list[Diagnostic]]:
    """The table of cases, with the columns of headers joined to it, and the faults after which rows can still be read.

    Raises: `DataError` as `read_table`, and with `no-header-table`.
    """
    table, faults = read_table_and_faults(description.cases, description.blank, description.span("cases"),
                                          description.numbers, sheet=description.sheet)
    for name, spec in description.inputs.items():
        source = getattr(spec.options, "from_dicom", None)
        if source is not None and description.id in table:
            table = _joined(table, description, name, source, faults)
    return table, faults


def _joined(table: Table, description: DataDescription, name: str, source: HeaderSource, faults: list[Diagnostic]
            ) -> Table:
    span = description.span("inputs", name, "from_dicom")
    try:
        path = path_template.inside(description.folder, source.table, description.roots)
    except ReadError as problem:
        raise DataError(Diagnostic(problem.code, problem.message, span, problem.why, problem.fix)) from None
    write = f"write it with `fusionkit headers {description.file} -o {source.table}`"
    if not path.is_file():
        raise DataError(Diagnostic("no-header-table", f"input {name!r} takes columns from {str(path)!r}, which is not "
                                   "there", span, "header values are read once, not at every start", write))
    other = read_table(path, description.blank, span, description.numbers)
    if description.id not in other:
        raise DataError(Diagnostic("no-header-table", f"{str(path)!r} has no column {description.id!r}, the id of the "
                                   "cases", other.header(), fix=write))
    names = other.cells(description.id)
    places = {id: row for row, id in enumerate(names)}
    twice = next((row for row, id in enumerate(names) if places[id] != row), None)
    if twice is not None:
        raise DataError(Diagnostic("duplicate-id", f"the id {names[twice]!r} occurs twice in {str(path)!r}",
                                   other.span(twice, description.id), fix=write))
    rows = [places.get(id) for id in table.cells(description.id)]
    missing = rows.count(None)
    if missing:
        faults.append(Diagnostic("not-in-headers", f"{missing} of {len(rows)} cases have no row in {str(path)!r}", span,
                                 "their columns of header values are blank", write, "warning"))
    known = getattr(table, "sides", {})
    both = [column for column in other.columns if column in table and column != description.id
            and not (column in known and known[column][0].file == other.file)]
    if both:
        faults.append(Diagnostic("header-column", f"{', '.join(map(repr, both))} of {str(path)!r} "
                                 "are columns of another table of the cases too", span, "those of the table of cases, "
                                 "or of the input that is named first, are read",
                                 "name them otherwise under 'tags', or remove them from the table of cases", "warning"))
    added = [column for column in other.columns if column not in table]
    cells = [tuple("" if row is None else other.cell(row, column) for column in added) for row in rows]
    return with_columns(table, added, cells, (other, rows))


def with_columns(table: Table, added: Sequence[str], cells: Sequence[tuple[str, ...]],
                 side: tuple[Table, Sequence[int | None]]) -> JoinedTable:
    """The table with more columns, whose cells are given by row; `side` is where they stand, and in which rows."""
    plain = {each.name: getattr(table, each.name) for each in fields(Table) if each.init}
    return JoinedTable(**plain | {
        "columns": (*table.columns, *added), "sides": {**getattr(table, "sides", {}), **dict.fromkeys(added, side)},
        "rows": tuple((*own, *more) for own, more in zip(table.rows, cells, strict=True))})


@dataclass(frozen=True, slots=True)
class HeaderTable:
    """The text of a table of header values as CSV, where it belongs, how many rows it has, and warnings."""

    text: str
    path: Path
    rows: int
    columns: tuple[str, ...]
    warnings: tuple[Diagnostic, ...]


def header_table(description: DataDescription, registry: Registry, *, identifying: bool = False) -> HeaderTable:
    """The values that the data file takes from DICOM headers, one row a case; only headers are read.

    `identifying` allows elements that may say who a person is.
    Raises: `DataError` with `no-headers`, `identifying-header`, and the codes of files and headers.
    """
    table, _ = read_table_and_faults(description.cases, description.blank, description.span("cases"),
                                     description.numbers, sheet=description.sheet)
    found = {name: spec.options.from_dicom for name, spec in description.inputs.items()
             if isinstance(spec.options, ColumnsOptions) and spec.options.from_dicom is not None}
    if not found:
        raise DataError(Diagnostic("no-headers", "no input takes columns from DICOM headers",
                                   description.span("inputs"),
                                   fix="write 'from_dicom: {path: \"ct/{id}\"}' on an input of columns"))
    findings, warnings = Findings(), _warnings(description, found, identifying)
    ids = table.cells(description.id)
    rows: list[dict[str, str]] = [{} for _ in ids]
    doubts: Counter[tuple[str, str]] = Counter()
    for name, source in found.items():
        for row, texts in _texts(description, name, source, table, registry, findings=findings):
            for column, keyword in source.tags.items():
                cells, doubt = cells_of(keyword, texts.get(keyword, ""))
                rows[row].update(zip(columns_of(column, keyword), cells, strict=True))
                doubts[keyword, doubt or ""] += 1
    findings.raise_errors()
    warnings += [Diagnostic("header-value", f"{keyword} of {count} cases: {doubt}", severity="warning")
                 for (keyword, doubt), count in doubts.items() if doubt]
    columns = [each for source in found.values() for column, keyword in source.tags.items()
               for each in columns_of(column, keyword)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([description.id, *columns])
    writer.writerows([id, *(row.get(column, "") for column in columns)] for id, row in zip(ids, rows, strict=True))
    first = next(iter(found.values()))
    return HeaderTable(stream.getvalue(), description.folder / first.table, len(ids), tuple(columns), tuple(warnings))


def _warnings(description: DataDescription, found: Mapping[str, HeaderSource], identifying: bool) -> list[Diagnostic]:
    told = []
    for name, source in found.items():
        span = description.span("inputs", name, "from_dicom")
        persons = [keyword for keyword in source.tags.values() if identifies(keyword)]
        if persons:
            told.append(Diagnostic(
                "identifying-header", f"input {name!r} takes {', '.join(persons)}, which may say who a person is", span,
                "a table of them is data that identifies, and a network may learn persons or days by heart",
                "remove it from 'tags', or write `--identifying`", "warning" if identifying else "error"))
        sites = [keyword for keyword in source.tags.values() if tells_sites(keyword)]
        if sites:
            told.append(Diagnostic(
                "site-header", f"input {name!r} takes {', '.join(sites)}, by which a network can tell scanners and "
                "hospitals apart", span, "where cases of one class come from one site, it learns the site",
                "remove it from 'tags', or compare with a network without it", "warning"))
    if any(each.severity == "error" for each in told):
        raise DataError([each for each in told if each.severity == "error"])
    return told


def _texts(description: DataDescription, name: str, source: HeaderSource, table: Table, registry: Registry, *,
           findings: Findings) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The texts of the elements of each case that has files, by row."""
    span = description.span("inputs", name, "from_dicom")
    reader = reader_of("dicom", registry, span)
    assert isinstance(reader, FileReader), "no reader of DICOM; please report"
    options = reader.options.model_validate({"missing_ok": True, **source.of_reader()})
    spec = replace(description.inputs[name], source=reader, options=options, template=source.path, template_span=span,
                   roots=description.roots)
    missing = [column for column in path_template.columns(source.path) if column not in table]
    if missing:
        raise DataError(Diagnostic("unknown-column", f"'path' of 'from_dicom' names {missing[0]!r}, which the table "
                                   "does not have", span, fix=f"its columns are {', '.join(table.columns[:12])}"))
    ids = table.cells(description.id)
    paths, _ = case_files.locate(spec, table, ids, findings)
    for row, path in enumerate(paths):
        if path is None:
            continue
        try:
            yield row, _read(spec.of_row(partial(table.cell, row)), reader, path, source)
        except ReadError as problem:
            findings.add(Diagnostic(problem.code, f"case {ids[row]!r}, {str(path)!r}: {problem.message}",
                                    table.span(row), problem.why, problem.fix), name)


def _read(spec: InputSpec, reader: FileReader, path: Path, source: HeaderSource) -> Mapping[str, str]:
    assert reader.declared.headers is not None, "a reader of DICOM without headers; please report"
    found: Mapping[str, str] = reader.declared.headers(path, spec.options, tuple(dict.fromkeys(source.tags.values())))
    return found
