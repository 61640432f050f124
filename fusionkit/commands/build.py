"""`fusionkit build`: the plan as a table, and with -o the network as a folder."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from fusionkit.commands.sizes import data_sizes
from fusionkit.console import Console, size
from fusionkit.errors import Diagnostic
from fusionkit.network import build_plan, plan
from fusionkit.plans import Plan
from fusionkit.registry import discover


def run(args: Namespace, console: Console) -> int:
    """Plan, show, and write when asked."""
    registry = discover(files=args.plugins)
    sizes = data_sizes(args.graph, args.data, args.sets, registry)
    made = plan(args.graph, sets=args.sets, sizes=sizes, registry=registry)
    show(made, console)
    model = build_plan(made, args.seed)
    result = made.as_json()
    if args.output:
        result["folder"] = str(Path(args.output).resolve())
        _write(args.output, model, console)
    console.data(result)
    return 0


def show(made: Plan, console: Console) -> None:
    """The plan as a table: shapes, weights and cost of each node."""
    console.line(f"{made.name}: {', '.join(_input(value) for value in made.inputs)}")
    console.line()
    rows = []
    for node in made.nodes:
        cost = node.cost
        assert cost is not None
        shapes = "; ".join(str(value.shape) for value in node.values)
        absent = str(node.values[0].present) if node.values[0].present else ""
        rows.append([node.name, node.uses, ", ".join(value.name for value in node.reads), shapes,
                     size(cost.parameters), size(cost.multiply_adds), f"{size(cost.activation_bytes)}B", absent])
    total = made.total
    assert total is not None
    rows.append(["total", "", "", "", size(total.parameters), size(total.multiply_adds),
                 f"{size(total.activation_bytes)}B", ""])
    console.table(["node", "component", "reads", "gives", "weights", "multiply-adds", "activations", "present with"],
                  rows, right=(4, 5, 6))
    console.line()
    for head in made.heads:
        console.line(f"result {head.name}: {head.task} of {', '.join(head.names)}")


def _input(value: object) -> str:
    name, shape, present = getattr(value, "name", ""), getattr(value, "shape", ""), getattr(value, "present", None)
    return f"{name} ({shape}{', optional' if present else ''})"


def _write(folder: str, model: object, console: Console) -> None:
    from fusionkit.checkpoint import save_network
    from fusionkit.draw import mermaid, svg
    from fusionkit.files import write_text
    from fusionkit.model import FusionModel

    assert isinstance(model, FusionModel)
    path = Path(folder)
    if path.exists() and not path.is_dir():
        from fusionkit.errors import GraphError

        raise GraphError(Diagnostic("bad-output", f"{folder!r} is a file, not a folder", fix="give another -o"))
    save_network(model, path)
    write_text(path / "graph.svg", svg(model.plan))
    write_text(path / "graph.mmd", mermaid(model.plan))
    console.line(f"written to {folder}: graph.yaml, model.safetensors, lock.json, listing.txt, graph.svg, graph.mmd")
