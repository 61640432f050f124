"""`fusionkit weights convert`: turn a checkpoint of the authors' code into weights for a graph."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.cli.arguments import add_graph_options, seed
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.conversion.convert import Conversion

SUMMARY = "Convert a checkpoint of authors' code, by the graph's `reference`."
_SHOWN = 6


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("checkpoint", metavar="RELEASE.pt",
                        help="the checkpoint, of PyTorch or Keras (.h5, .keras); only tensors and plain data are read")
    parser.add_argument("--graph", required=True, metavar="GRAPH",
                        help="a graph file, or the name of a published graph")
    parser.add_argument("--from", default="release", metavar="NAME", dest="release",
                        help="which of the graph's references it belongs to (default: release)")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="a .safetensors file")
    parser.add_argument("--partial", action="store_true", help="write even if the checkpoint lacks tensors")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the missing weights (default 0)")
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Convert, report what happened to every tensor, and write."""
    from fusionkit.conversion.convert import convert, parts_of, read_checkpoint, refusal
    from fusionkit.conversion.keras import KERAS_SUFFIXES, arranged, read_keras
    from fusionkit.network.build import build_plan, plan
    from fusionkit.network.weights import save_tensors
    from fusionkit.registry.lookup import discover

    output = Path(args.output)
    if output.suffix != ".safetensors":
        raise GraphError(Diagnostic("bad-argument", f"the weights cannot be written to {args.output!r}",
                                    fix="name a file that ends in .safetensors"))
    registry = discover(files=args.plugins)
    checkpoint = Path(args.checkpoint)
    from_keras = checkpoint.suffix in KERAS_SUFFIXES
    tensors = read_keras(checkpoint) if from_keras else read_checkpoint(checkpoint)
    model = build_plan(plan(args.graph, sets=args.sets, registry=registry, measured=False), args.seed)
    tensors = arranged(parts_of(model, args.release), tensors) if from_keras else tensors
    conversion = convert(model, tensors, args.release)
    _show(conversion, _beside(args.graph, output), console)
    refused = refusal(conversion, model.plan.name, args.partial)
    if refused:
        raise GraphError(refused)
    save_tensors(conversion.tensors, output)
    console.line(f"written to {output}; a node starts from it with `weights: {_beside(args.graph, output)}#NODE`")
    console.data(_as_json(conversion, output))
    return 0


def _beside(graph: str, output: Path) -> str:
    """The file as a graph beside this one names it; its bare name where it is elsewhere."""
    folder = Path(graph).parent.resolve()
    placed = output.resolve()
    return placed.relative_to(folder).as_posix() if placed.is_relative_to(folder) else output.name


def _show(conversion: Conversion, written: str, console: Console) -> None:
    report = conversion.report
    rows = []
    for node in conversion.covered:
        used = sum(name.partition(".")[0] == node for name in report.used)
        missing = sum(name.partition(".")[0] == node for name in report.missing)
        rows.append([node, str(used), str(missing), f"{written}#{node}"])
    console.table(["node", "used", "missing", "weights"], rows, right=(1, 2))
    console.line()
    read = len(set(report.used.values()))
    console.line(f"used {read} of {read + len(report.unused) + len(report.unexpected)} tensors")
    for label, names in (("missing in the checkpoint", report.missing),
                         ("in the checkpoint, unused by design", report.unused),
                         ("in the checkpoint, unexpected", report.unexpected),
                         ("nodes that the checkpoint does not cover", list(conversion.uncovered))):
        if names:
            shown = _grouped(names) if len(names) > _SHOWN and names is not report.missing else names
            more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
            console.line(f"{label} ({len(names)}): {', '.join(shown[:_SHOWN])}{more}")


def _grouped(names: Sequence[str]) -> list[str]:
    """The first parts of names, with how many begin with each: 'decoder (24)'."""
    return [f"{first} ({count})" for first, count in Counter(name.partition(".")[0] for name in names).items()]


def _as_json(conversion: Conversion, output: Path) -> dict[str, Any]:
    report = conversion.report
    return {"output": str(output.resolve()), "nodes": list(conversion.covered),
            "uncovered": list(conversion.uncovered), "used": report.used, "missing": report.missing,
            "unused": report.unused, "unexpected": report.unexpected}
