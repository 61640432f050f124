"""`fusionkit schema`: the JSON schema of graph or data files, for completion and checking in editors."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from fusionkit.interface.console import Console

SUMMARY = "Print the JSON schema of graph files, or of data files, for editors."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("--data", action="store_true", help="that of data files, with all installed readers")
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there")


def run(args: Namespace, console: Console) -> int:
    """Print the schema, or write it to a file."""
    from fusionkit.files import write_text

    text = json.dumps(_schema(args.data), indent=2, ensure_ascii=False)
    if args.output:
        write_text(Path(args.output), text + "\n")
        console.line(f"written to {args.output}; begin a {'data file' if args.data else 'graph'} "
                     f"with '# yaml-language-server: $schema={args.output}'")
        console.data({"file": args.output})
    else:
        console.text(f"{text}\n")
    return 0


def _schema(data: bool) -> dict[str, Any]:
    from fusionkit.registry.lookup import discover

    if data:
        from fusionkit.planning.data_schema import data_schema

        return data_schema(discover())
    from fusionkit.planning.json_schema import graph_schema
    from fusionkit.training.settings import TrainingSettings

    return graph_schema(discover(), TrainingSettings)
