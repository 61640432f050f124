"""`fusionkit train`: a graph and data in, a run folder out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import (
    add_data_root_option,
    add_graph_options,
    add_strict_option,
    add_training_options,
    given,
)
from fusionkit.cli.commands.evaluate import show
from fusionkit.interface.console import Console

SUMMARY = "Train a network on the cases of a data description."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    parser.add_argument("data", metavar="DATA", help="a data description (data.yaml)")
    parser.add_argument("-o", "--output", metavar="RUN", default="run", help="the run's folder (default: run)")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--no-plots", dest="plots", action="store_false", help="draw no pictures of the test cases")
    add_training_options(parser)
    add_strict_option(parser)
    add_data_root_option(parser)
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Check everything, print the estimated memory and time, train, and show the results."""
    from fusionkit.interface.train import of_launch, train

    console = of_launch(console)
    made = train(**given(args), console=console)
    if made.evaluation.reports:
        show(made.evaluation, console)
    if args.stage:
        console.line(f"\nthe stage is in {made.folder}: train on from its weights with `weights: "
                     f"{made.folder}/model.safetensors#NODE`")
        console.data(made.evaluation.as_json())
        return 0
    console.line(f"\nthe run is in {made.folder}: `fusionkit predict {made.folder} DATA`, "
                 f"`fusionkit evaluate {made.folder}`")
    console.data(made.evaluation.as_json())
    return 0
