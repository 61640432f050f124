"""`fusionkit build`: the plan as a table, and with -o the network as a folder."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import add_graph_options
from fusionkit.cli.console import Console
from fusionkit.errors import Diagnostic, GraphError

if TYPE_CHECKING:
    from fusionkit.network.model import FusionModel
    from fusionkit.planning.plan import Plan, Value

SUMMARY = "Build a network: its shapes and costs as a table; with -o, as a folder."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    parser.add_argument("-o", "--output", metavar="DIR", help="write graph, weights, drawing and listing there")
    parser.add_argument("--data", metavar="DATA", help="a data description, for sizes that are 'auto'")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first weights (default 0)")
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Plan, show, and write when asked."""
    from fusionkit.cli.auto_sizes import data_sizes
    from fusionkit.network.build import build_plan, plan
    from fusionkit.planning.plan import advice_of
    from fusionkit.registry.lookup import discover

    if args.output:
        _claim(Path(args.output))
    registry = discover(files=args.plugins)
    sizes = data_sizes(args.graph, args.data, args.sets, registry)
    made = plan(args.graph, sets=args.sets, sizes=sizes, registry=registry)
    show(made, console)
    model = build_plan(made, args.seed)
    advice = advice_of(made)
    for warning in advice:
        console.note(f"\n{warning.render()}")
    result = made.as_json() | {"advice": [warning.as_json() for warning in advice]}
    if args.output:
        result["folder"] = str(Path(args.output).resolve())
        _write(Path(args.output), model, console)
    console.data(result)
    return 0


def show(made: Plan, console: Console) -> None:
    """The plan as a table: shapes, weights and cost of each node."""
    from fusionkit.drawing.labels import amount

    console.line(f"{made.name}: {', '.join(_input(value) for value in made.inputs)}")
    console.line()
    rows = []
    for node in made.nodes:
        cost = node.cost
        assert cost is not None
        shapes = "; ".join(str(value.shape) for value in node.values)
        absent = str(node.values[0].present) if node.values[0].present else ""
        rows.append([node.name, node.uses, ", ".join(value.name for value in node.reads), shapes,
                     amount(cost.parameters), amount(cost.multiply_adds), f"{amount(cost.activation_bytes)}B", absent])
    total = made.total
    assert total is not None
    rows.append(["total", "", "", "", amount(total.parameters), amount(total.multiply_adds),
                 f"{amount(total.activation_bytes)}B", ""])
    console.table(["node", "component", "reads", "gives", "weights", "multiply-adds", "activations", "present with"],
                  rows, right=(4, 5, 6))
    console.line()
    for head in made.heads:
        console.line(f"result {head.name}: {head.task} of {', '.join(head.names)}")


def _input(value: Value) -> str:
    return f"{value.name} ({value.shape}{', optional' if value.present else ''})"


def _claim(folder: Path) -> None:
    """Refuse a folder of other things: what lies there, such as the graph itself, is never overwritten."""
    from fusionkit.network.folder import LISTING

    built = folder.is_dir() and (not any(folder.iterdir()) or (folder / LISTING).is_file())
    if folder.exists() and not built:
        raise GraphError(Diagnostic("folder-not-empty", f"{str(folder)!r} holds something else than a built network",
                                    fix="give a new folder after -o"))


def _write(path: Path, model: FusionModel, console: Console) -> None:
    from fusionkit.drawing.svg import mermaid, svg
    from fusionkit.files import write_text
    from fusionkit.network.folder import save_network

    save_network(model, path)
    write_text(path / "graph.svg", svg(model.plan))
    write_text(path / "graph.mmd", mermaid(model.plan))
    console.line(f"written to {path}: graph.yaml, model.safetensors, lock.json, listing.txt, graph.svg, graph.mmd")
