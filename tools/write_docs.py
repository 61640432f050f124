"""Writes all that is made from the code: catalogue, pages of components, settings, error codes, commands, pictures.

Run: python tools/write_docs.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import cli_docs
import component_docs
import draw_docs
import encoder_table
import error_codes
import fusion_table
import readme_table
import training_flags

from fusionkit.cli.parser import main as fusionkit
from fusionkit.files import write_text


def _catalogue() -> None:
    code = fusionkit(["plugins", "catalogue", "fusionkit", "--write"])
    if code:
        raise SystemExit(code)


def _pictures() -> None:
    for name, graph in draw_docs.PICTURES.items():
        write_text(draw_docs.FOLDER / name, draw_docs.drawn(graph))


STEPS: dict[str, Callable[[], object]] = {
    "registry.yaml": _catalogue,
    "docs/components": component_docs.write,
    "docs/encoder-table.md": lambda: write_text(encoder_table.PAGE, encoder_table.page()),
    "docs/fusion-table.md": lambda: write_text(fusion_table.PAGE, fusion_table.page()),
    "settings of training": training_flags.main,
    "docs/errors.md": lambda: write_text(error_codes.PAGE, error_codes.page()),
    "docs/cli.md": lambda: write_text(cli_docs.PAGE, cli_docs.page()),
    "docs/pictures": _pictures,
    "README.md": readme_table.main,
}
"""What is written, in this order: the pages read the catalogue."""


def main() -> None:
    """Write all of it, each with a line."""
    for name, step in STEPS.items():
        step()
        sys.stdout.write(f"written: {name}\n")


if __name__ == "__main__":
    main()
