"""`fusionkit schema`: the JSON schema of graph files, for completion and checking in editors."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from fusionkit.interface.console import Console

SUMMARY = "Print the JSON schema of graph files, for editors."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there")


def run(args: Namespace, console: Console) -> int:
    """Print the schema, or write it to a file."""
    from fusionkit.files import write_text
    from fusionkit.planning.json_schema import graph_schema
    from fusionkit.registry.lookup import discover
    from fusionkit.training.settings import TrainingSettings

    text = json.dumps(graph_schema(discover(), TrainingSettings), indent=2, ensure_ascii=False)
    if args.output:
        write_text(Path(args.output), text + "\n")
        console.line(f"written to {args.output}; begin a graph with '# yaml-language-server: $schema={args.output}'")
        console.data({"file": args.output})
    else:
        console.text(f"{text}\n")
    return 0
