"""`fusionkit headers`: values of DICOM headers as a table beside that of the cases."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fusionkit.cli.arguments import add_data_root_option
from fusionkit.interface.console import Console

SUMMARY = "Write values of DICOM headers, such as age and tube voltage, as a table for the columns of a data file."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("data", metavar="DATA", help="a data description with 'from_dicom' on an input of columns")
    parser.add_argument("-o", "--output", metavar="FILE.csv", help="the table to write (default: the one that "
                        "'from_dicom' names)")
    parser.add_argument("--identifying", action="store_true",
                        help="allow elements that may say who a person is, such as names and dates")
    add_data_root_option(parser)


def run(args: Namespace, console: Console) -> int:
    """Read the headers and write the table."""
    from fusionkit.data.description import describe
    from fusionkit.data.header_tables import header_table
    from fusionkit.errors import DataError, Diagnostic
    from fusionkit.files import write_text
    from fusionkit.registry.lookup import discover

    registry = discover()
    description = describe(args.data, roots=args.data_roots, registry=registry)
    made = header_table(description, registry, identifying=args.identifying)
    path = Path(args.output) if args.output else made.path
    if path.resolve() == description.cases.resolve():
        raise DataError(Diagnostic("bad-argument", f"{str(path)!r} is the table of the cases, which is not overwritten",
                                   fix="choose another file with '-o'"))
    write_text(path, made.text)
    for warning in made.warnings:
        console.note(warning.render())
    console.line(f"{made.rows} cases, {len(made.columns)} columns: {path}")
    console.data({"file": str(path), "cases": made.rows, "columns": list(made.columns)})
    return 0
