"""`fusionkit inspect`: a table and pictures of what a network will see."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_data_root_option, add_graph_options, given
from fusionkit.interface.console import Console

SUMMARY = "Show what a network will see: sizes, spacings, values, classes, slices, and cases that lie apart."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("data", metavar="DATA", help="a data description")
    parser.add_argument("graph", nargs="?", metavar="GRAPH", help="a graph file, whose inputs are shown (default: all)")
    parser.add_argument("-o", "--output", metavar="FOLDER", default="inspection",
                        help="where the page, the pictures and the numbers go (default inspection)")
    parser.add_argument("--cases", type=int, default=6, help="how many cases of an input are drawn (default 6)")
    parser.add_argument("--versions", type=int, default=3,
                        help="how many augmented versions of each are drawn beside it (default 3)")
    parser.add_argument("--augment", metavar="INPUT", help="also draw each transform of this input at its bounds, and "
                        "the first epochs of a case")
    parser.add_argument("-n", "--number", type=int, default=24, help="how many versions --augment draws (default 24)")
    add_data_root_option(parser)
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Inspect, print the tables and name the files."""
    from fusionkit.interface.inspect import inspect
    from fusionkit.interface.inspected_inputs import told_outliers

    made = inspect(**given(args), console=console)
    if not args.json:
        console.table(*made.table())
        if made.classes:
            console.line()
            console.table(*made.class_table())
        for line in told_outliers(made.outliers):
            console.line(f"apart: {line}")
        for line in made.augmentation:
            console.line(line)
        console.line(f"written: {made.files[0]}")
    console.data({**made.to_json(), "files": [str(path) for path in made.files]})
    return 0
