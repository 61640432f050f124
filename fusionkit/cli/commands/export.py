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
    parser.add_argument("--fold", type=int, metavar="K", help="the fold of a cross-validation run, counted from 0")
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
