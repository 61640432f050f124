"""`fusionkit export`: a trained network as a folder that is used without its run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_data_root_option, add_plugin_option, given
from fusionkit.interface.console import Console

SUMMARY = "Export a trained network, to predict or serve it without its run and without PyTorch."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder to write")
    parser.add_argument("--format", choices=["onnx", "torch"], default="onnx",
                        help="onnx, run by onnxruntime (default), or torch, a program of torch.export")
    parser.add_argument("--fold", type=int, metavar="K",
                        help="one fold of a cross-validation run, counted from 0 (default: all, whose results are "
                             "averaged)")
    parser.add_argument("--tta", nargs="?", const="rotate", metavar="VIEWS",
                        help="see each case in its views too and take the mean: of rotate (the default), lr, ap, si, "
                             "with commas between; PyTorch makes them")
    add_data_root_option(parser)
    add_plugin_option(parser)


def run(args: Namespace, console: Console) -> int:
    """Export, compare, report."""
    from fusionkit.interface.export import export

    made = export(**given(args), console=console)
    for line in made.lines():
        console.line(line)
    console.line(f"\nuse it: fusionkit predict {args.output} DATA, fusionkit serve {args.output}")
    console.data({"folder": args.output, **made.record.model_dump(mode="json", exclude={"seen"})})
    return 0
