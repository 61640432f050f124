"""`fusionkit build`: the plan as a table, and with -o the network as a folder."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import add_data_root_option, add_graph_options, add_strict_option, seed
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.interface.plan import ShownPlan
    from fusionkit.planning.plan import Value

SUMMARY = "Build a network: its shapes and costs as a table; with -o, as a folder."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    parser.add_argument("-o", "--output", metavar="DIR", help="write graph, weights, drawing and listing there")
    parser.add_argument("--data", metavar="DATA", help="a data description, for sizes that are 'auto'")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the initial weights (default 0)")
    add_strict_option(parser)
    add_data_root_option(parser)
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Plan, show, and write if requested."""
    from fusionkit.interface.build import build, refuse_other_files
    from fusionkit.interface.plan import planned
    from fusionkit.planning.frozen_weights import CODE as FROZEN
    from fusionkit.planning.plan import advice_of
    from fusionkit.planning.weights_used import weights_used
    from fusionkit.registry.lookup import discover
    from fusionkit.runs.recipe_comparison import CODES, refuse_differences

    if args.output:
        refuse_other_files(Path(args.output))
    made, warnings = planned(args.graph, args.data, args.sets, discover(files=args.plugins),
                             data_roots=args.data_roots)
    if args.strict:
        refuse_differences(warnings)
    show(made, console)
    used = weights_used(made)
    for each in used:
        console.line(each.line)
    build(made, output=args.output, seed=args.seed)
    advice = [*advice_of(made), *(each for each in warnings if each.code in (*CODES, FROZEN))]
    for warning in advice:
        console.note(f"\n{warning.render()}")
    result = made.as_json() | {"advice": [warning.as_json() for warning in advice]}
    if used:
        result["pretrained"] = [each.as_json() for each in used]
    if args.output:
        result["folder"] = str(Path(args.output).resolve())
        console.line(f"written to {Path(args.output)}: graph.yaml, model.safetensors, lock.json, listing.txt, "
                     "graph.svg, graph.mmd")
    console.data(result)
    return 0


def show(made: ShownPlan, console: Console) -> None:
    """The plan as a table: shapes, weights and cost of each node."""
    from fusionkit.interface.plan import COLUMNS

    console.line(f"{made.name}: {', '.join(_input(value) for value in made.inputs)}")
    console.line()
    console.table(COLUMNS, made.table(), right=(4, 5, 6))
    console.line()
    for node in (planned.node for planned in made.nodes):
        parts = [f"learns from epoch {node.unfreeze}"] * (node.unfreeze > 1)
        parts += [f"{node.rate:g} times the learning rate"] * (node.rate != 1)
        if parts:
            console.line(f"node {node.name}: {', '.join(parts)}")
    for head in made.heads:
        console.line(f"result {head.name}: {head.task} of {', '.join(head.names)}")


def _input(value: Value) -> str:
    return f"{value.name} ({value.shape}{', optional' if value.present else ''})"
