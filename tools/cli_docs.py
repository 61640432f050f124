"""Writes docs/cli.md from the parser of the command line; a test keeps the page fresh.

Run: python tools/cli_docs.py
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
_HEADER = """\
# The command line

Made from `--help` by `tools/cli_docs.py`; a test keeps it fresh. `GRAPH` is a path or the name of a published graph.
`--json` prints machine-readable results on standard output, diagnostics included. Exit codes: 0 done, 1 failed while
running, 2 the input is wrong. Progress is drawn on a terminal only.
"""


def page() -> str:
    """The text of docs/cli.md."""
    os.environ["COLUMNS"] = "100"
    from fusionkit.cli.parser import parser

    parts = [f"\n## {made.prog}\n\n```\n{made.format_help().strip()}\n```\n" for made in _all(parser())]
    return _HEADER + "".join(parts)


def _all(made: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield made
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _all(child)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
