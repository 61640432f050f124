"""`fusionkit train`: a graph and data in, a run folder out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fusionkit.cli.arguments import add_graph_options, add_training_options
from fusionkit.cli.commands.evaluate import show
from fusionkit.interface.console import Console

SUMMARY = "Train a network on the cases of a data description."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    parser.add_argument("data", metavar="DATA", help="a data description (data.yaml)")
    parser.add_argument("-o", "--output", metavar="RUN", default="run", help="the run's folder (default: run)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    add_training_options(parser)
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Check everything, say what it will need, train, and show what came out."""
    from fusionkit.registry.lookup import discover
    from fusionkit.runs.setup import set_up
    from fusionkit.runs.train import advice_for, claim, is_main, train
    from fusionkit.training.flags import FLAGS
    from fusionkit.training.settings import read_settings

    registry = discover(files=args.plugins)
    folder = Path(args.output)
    claim(folder, args.resume)
    console = console if is_main() else Console(silent=True)
    with console.progress("reading") as update:
        setup = set_up(args.graph, args.data, args.sets, registry, progress=update)
    flags = {name: getattr(args, name) for name, _, _ in FLAGS if getattr(args, name) is not None}
    settings = read_settings(setup.plan.graph.training, flags)
    for warning in (*setup.cohort.warnings, *advice_for(setup, settings)):
        console.note(warning.render())
    trained = train(setup, settings, folder, data=Path(args.data), resume=args.resume, reporter=console)
    if trained.reports:
        show(trained.reports, console)
    console.line(f"\nthe run is in {folder}: `fusionkit predict {folder} DATA`, `fusionkit evaluate {folder}`")
    console.data({"folder": str(folder), "heads": {r.head: r.to_json() for r in trained.reports}})
    return 0
