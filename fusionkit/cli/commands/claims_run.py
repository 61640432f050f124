"""`fusionkit claims run`: train what a publication describes, and say whether its figures come out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import add_data_root_option, add_plugin_option, add_training_options
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.claims.verdict import OwnFigure
    from fusionkit.interface.claims import ClaimResult

SUMMARY = "Train what a publication describes: reproduced, not reproduced, or data not here."
_MACHINE = ("device", "precision", "threads", "workers", "seed")


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    from fusionkit.training.flags import FLAGS

    parser.add_argument("claim", metavar="CLAIM", help="the name of a published claim, or a claim's file")
    parser.add_argument("data", metavar="DATA", nargs="?", help="a data description (data.yaml) of its data")
    parser.add_argument("--row", action="append", default=[], metavar="ROW", dest="rows",
                        help="run this row of the claim; may be repeated (default: all)")
    parser.add_argument("-o", "--output", metavar="DIR", help="where the runs go (default: claim-NAME)")
    parser.add_argument("--resume", action="store_true", help="go on in that folder; finished trainings are kept")
    add_training_options(parser, without=[name for name, *_ in FLAGS if name not in _MACHINE])
    add_data_root_option(parser)
    add_plugin_option(parser)


def run(args: Namespace, console: Console) -> int:
    """0 if every published figure is reproduced, 1 if not, 2 if the data are not here."""
    from fusionkit.claims.verdict import NO_DATA, NOT_REPRODUCED
    from fusionkit.cli.arguments import given
    from fusionkit.interface.claims import run_claim
    from fusionkit.interface.train import of_launch

    options = {name: value for name, value in given(args).items() if name != "claims_command"}
    console = of_launch(console)
    made = run_claim(**options, console=console)
    _show(made, console)
    console.data(made.as_json())
    return {NO_DATA: 2, NOT_REPRODUCED: 1}.get(made.verdict, 0)


def _show(made: ClaimResult, console: Console) -> None:
    from fusionkit.claims.verdict import NO_DATA

    content = made.claim.content
    if made.verdict == NO_DATA:
        console.line(f"{made.claim.name}: {made.verdict}")
        console.line(f"  data     {content.data.name}: {content.data.source}")
        console.line(f"  prepare  {content.data.prepare}")
        console.line(f"  then     fusionkit claims run {made.claim.name} data.yaml")
        return
    rows = [[each.row, each.metric, *_cells(each.published), *_cells(each.here),
             "" if each.difference is None else f"{round(each.difference, 3) + 0.0:+.3f}",
             each.verdict + (f" ({each.remark})" if each.remark else "")] for each in made.findings]
    console.line()
    console.table(["row", "metric", "published", "95 % interval", "here", "95 % interval", "difference", "verdict"],
                  rows, right=(2, 4, 6))
    if any(each.published.by_formula for each in made.findings):
        console.line("* by a formula, from the number of test cases")
    for name, count in made.test_cases.items():
        if content.data.cases is not None and count != content.data.cases:
            console.note(f"{name}: tested on {count} cases, the publication on {content.data.cases}: the figures are "
                         "not of the same cases")
    console.line(f"\n{made.claim.name}: {made.verdict}; everything is in {made.folder}")


def _cells(figure: OwnFigure) -> list[str]:
    from fusionkit.printable import figures

    return ["" if figure.value is None else figures(figure.value), figure.interval]
