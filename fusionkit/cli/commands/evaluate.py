"""`fusionkit evaluate`: metrics with intervals and plots of a finished run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import add_running_options, given
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.interface.evaluate import Evaluation

SUMMARY = "Evaluate a trained run: metrics with intervals, and plots."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other data (default: the run's own test cases)")
    parser.add_argument("-o", "--output", metavar="DIR",
                        help="where to write (default: RUN, or RUN/evaluation of DATA)")
    parser.add_argument("--missing", action="store_true",
                        help="also evaluate every input subset: its metrics, as a table and a curve")
    parser.add_argument("--metric", default="", metavar="ID,ID{OPTION: VALUE}",
                        help="metrics to show besides those that are shown by default, with options")
    parser.add_argument("--by", default="", metavar="COLUMN,NUMBER:CUT,CUT",
                        help="also evaluate the groups of these columns, with differences from the rest")
    parser.add_argument("--reference", default="", metavar="COLUMN=GROUP",
                        help="compare the groups of a column with this one in place of the rest")
    parser.add_argument("--beside", nargs="+", default=[], metavar="OTHER",
                        help="files of cases of other origins, whose figures stand in one table beside these")
    parser.add_argument("--include-training-cases", action="store_true",
                        help="include training cases: evaluate all of the run's own data file; mark none in others")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="draw no pictures")
    add_running_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Evaluate on the run's own test cases, or on all cases of other data that have a target."""
    from fusionkit.interface.evaluate import evaluate

    made = evaluate(**given(args), console=console)
    show(made, console)
    console.line(f"\nmetrics, predictions and plots are in {made.folder}")
    console.data(made.as_json())
    return 0


def show(made: Evaluation, console: Console) -> None:
    """The metrics of every head with their intervals, and everything else that was measured."""
    for report in made.reports:
        console.line(f"{report.head}: {report.counts}")
    for place, (header, rows, right) in enumerate(made.tables()):
        if place:
            console.line()
        console.table(header, rows, right)
    if made.training:
        console.line(f"\n{made.training}: these may be figures of an untrained network; a larger --epochs trains on")
