"""`fusionkit check`: every mistake of graph files and data files, each at its line and column."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter

from fusionkit.cli.arguments import add_data_root_option, add_graph_options, add_strict_option
from fusionkit.errors import Diagnostic, UserError
from fusionkit.interface.console import Console

SUMMARY = "Check graph files, or data files by themselves: every mistake with file, line and column."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("graphs", nargs="+", metavar="GRAPH", help="a graph file, the name of a published graph, or a "
                        "data file, whose cases are then checked without a graph")
    parser.add_argument("--data", metavar="DATA", help="a data description, for sizes that are 'auto'")
    parser.add_argument("--resolved", action="store_true", help="print the graph with every option written out")
    add_strict_option(parser)
    add_data_root_option(parser)
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Check every graph, also after one with errors."""
    from fusionkit.interface.check import check
    from fusionkit.interface.check_data import check_data, is_data_file
    from fusionkit.registry.lookup import discover

    registry = discover(files=args.plugins)
    found: list[Diagnostic] = []
    warned: list[Diagnostic] = []
    counts: Counter[str] = Counter()
    for source in args.graphs:
        try:
            if is_data_file(source):
                with console.progress("reading") as update:
                    checked = check_data(source, sets=args.sets, data_roots=args.data_roots, registry=registry,
                                         progress=update)
                for warning in checked.warnings:
                    console.note(warning.render())
                console.line(str(checked))
                continue
            good = check(source, data=args.data, data_roots=args.data_roots, sets=args.sets, registry=registry,
                         strict=args.strict)
        except UserError as error:
            found.extend(error.diagnostics)
            counts.update(each.span.file if each.span else str(source) for each in error.diagnostics)
            continue
        console.line(good.resolved if args.resolved else str(good))
        warned.extend(good.warnings)
    shown = [*dict.fromkeys(warned), *found]
    if shown or args.json:
        console.diagnostics(shown)
    if found and not args.json:
        each = ", ".join(f"{count} in {file}" if len(counts) > 1 else file for file, count in counts.items())
        console.note(f"{len(found)} mistake{'s' if len(found) > 1 else ''}{':' if len(counts) > 1 else ' in'} {each}")
    return 2 if found else 0
