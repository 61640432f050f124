"""`fusionkit new --from TABLE`: a data file and a graph proposed from a table of cases."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.interface.console import Console

SUMMARY = "Propose a data file and a graph from a table of cases, each guess with its reason."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("--from", required=True, metavar="TABLE", dest="table",
                        help="the table of cases: CSV, a workbook, or Parquet; files of the cases lie beside it")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where to write (default: beside the table)")
    parser.add_argument("--target", metavar="COLUMN",
                        help="the column to be predicted, of survival that of the event or the time (default: a guess)")
    parser.add_argument("--id", metavar="COLUMN", dest="id_column",
                        help="the column that names a case (default: a guess)")


def run(args: Namespace, console: Console) -> int:
    """Write both files, print the guesses, and what remains to be done."""
    from fusionkit.interface.proposal import propose

    made = propose(args.table, output=args.output, target=args.target, id_column=args.id_column)
    rows = [(each.column, each.role, each.why) for each in made.guesses]
    console.table(("column or folder", "taken for", "because"), rows)
    if made.findings and not args.json:
        console.line("what `fusionkit check` says of them:")
        console.diagnostics(made.findings)
    console.line(f"written: {made.data} and {made.graph}; they hold guesses: read both, above all target and split")
    console.line(f"next: fusionkit check {made.graph} --data {made.data}" if not made.good else
                 f"next: fusionkit train {made.graph} {made.data} -o run")
    console.data({"data": str(made.data), "graph": str(made.graph), "good": made.good,
                  "guesses": [{"column": each.column, "role": each.role, "why": each.why} for each in made.guesses],
                  "diagnostics": [each.as_json() for each in made.findings]})
    return 0
