"""`fusionkit predict`: one row for each case."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_running_options, given
from fusionkit.interface.console import Console

SUMMARY = "Predict: one row for each case, with uncertainty if requested."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run, or of an exported network")
    parser.add_argument("data", metavar="DATA", help="a data description; targets are not needed")
    parser.add_argument("-o", "--output", metavar="FILE", help="a CSV file (default: print)")
    parser.add_argument("--samples", type=int, help="random passes of the uncertainty method")
    add_running_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Predict, write or print."""
    from fusionkit.files import csv_text
    from fusionkit.interface.predict import predict

    made = predict(**given(args), console=console)
    header, rows = made.table()
    if args.output:
        console.line(f"{len(rows)} cases written to {args.output}")
    elif not args.json:
        console.text(csv_text([header, *rows]))
    console.data({"cases": [dict(zip(header, row, strict=True)) for row in rows],
                  "file": args.output, "uncertainty": made.uncertainty,
                  **({"trained_on": list(made.trained_on)} if made.trained_on else {})})
    return 0
