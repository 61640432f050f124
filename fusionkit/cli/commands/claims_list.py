"""`fusionkit claims list`: published results that can be run again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.interface.console import Console

SUMMARY = "List the published results that installed packages can run again."


def add_arguments(parser: ArgumentParser) -> None:
    """The command takes none."""


def run(args: Namespace, console: Console) -> int:
    """Print a line for each claim; a file that cannot be read is told and does not hide the others."""
    from fusionkit.claims.file import read_claim
    from fusionkit.errors import UserError
    from fusionkit.registry.lookup import discover

    rows, data = [], []
    for name, path in sorted(discover().claims.items()):
        try:
            content = read_claim(path).content
        except UserError as error:
            console.diagnostics(error.diagnostics)
            continue
        rows.append([name, str(len(content.rows)), content.data.name, content.title])
        data.append({"name": name, "file": str(path), "rows": list(content.rows), "data": content.data.name,
                     "title": content.title})
    console.table(["claim", "rows", "data", "what is claimed"], rows, right=(1,))
    console.data(data)
    return 0
