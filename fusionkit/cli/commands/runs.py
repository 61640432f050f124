"""`fusionkit runs`: the list of runs and comparisons below a folder."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.interface.console import Console

SUMMARY = "List the runs and comparisons below a folder: results, state, and when they changed."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="where to look (default: here)")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME", dest="metrics",
                        help="a metric to show instead of the first of each head, for example accuracy; repeatable")
    parser.add_argument("--inner", action="store_true", help="list the runs inside comparisons too")


def run(args: Namespace, console: Console) -> int:
    """Print the list."""
    from fusionkit.interface.run_list import COLUMNS, list_runs, table_of

    found = list_runs(args.folder, inner=args.inner)
    if found:
        console.table(COLUMNS, table_of(found, args.metrics))
    else:
        console.line(f"no runs below {args.folder!r}: `fusionkit train GRAPH DATA -o FOLDER` makes one")
    console.data([row.as_json() for row in found])
    return 0
