"""`fusionkit explain`: where a trained network looks, how it arranges the cases, what each modality contributes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_device_options, given
from fusionkit.interface.console import Console

SUMMARY = "Explain a trained run: Grad-CAM, t-SNE, the share of each modality."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--method", nargs="+", action="extend", default=[], metavar="ID", dest="methods",
                        help="installed explanations, with options in braces (default: those that say that they run "
                             "by default)")
    parser.add_argument("--case", nargs="+", action="extend", default=[], metavar="ID", dest="cases",
                        help="cases to explain (default: a few chosen automatically)")
    parser.add_argument("--data", metavar="DATA", help="other data (default: the run's own test cases)")
    parser.add_argument("--head", metavar="HEAD", help="explain this head only (default: all)")
    parser.add_argument("--class", metavar="NAME", dest="class_name",
                        help="explain this class, label or value (default: the prediction for each case)")
    parser.add_argument("--at", nargs="+", action="extend", default=[], metavar="PLACE",
                        help="draw Grad-CAM at these nodes or modules (default: every encoder behind an image or "
                             "volume)")
    parser.add_argument("--node", metavar="NODE",
                        help="draw t-SNE of this node's output (default: the input of the head)")
    parser.add_argument("-o", "--output", metavar="DIR", help="where to write (default: RUN/explain)")
    add_device_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Explain the run's own test cases, or cases of other data, with randomness off."""
    from fusionkit.interface.explain import EXPLAIN, explain

    made = explain(**given(args), console=console)
    for heading, header, table in made.tables:
        console.line(f"\n{heading}")
        console.table(header, table)
    for note in made.notes:
        console.note(note)
    console.line(f"\n{len(made.files)} pictures and tables are in {made.folder}, listed in {EXPLAIN}")
    console.data({"folder": str(made.folder), **made.content})
    return 0
