"""`fusionkit weights verify ID FILE.npz`: exit code 0 within the tolerance, 1 outside, 2 for bad input."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusionkit.cli.arguments import add_plugin_option
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.conversion.verification.check import FixtureCheck

SUMMARY = "Compare a component or a graph with recorded results of its authors' code."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("target", metavar="ID", help="a component id, a graph file or the name of a published graph")
    parser.add_argument("file", metavar="FILE.npz", help="a fixture: recorded inputs and results of the authors' code")
    parser.add_argument("--with", action="append", default=[], metavar="NAME=VALUE", dest="options",
                        help="set an option (of a graph: PATH=VALUE, as for --set); may be repeated")
    parser.add_argument("--from", default="release", metavar="NAME", dest="release",
                        help="which of the component's references the file belongs to (default: release)")
    parser.add_argument("--tolerance", type=float, metavar="ERROR", help="allow this absolute error everywhere")
    add_plugin_option(parser)


def run(args: Namespace, console: Console) -> int:
    """Compare and show; 1 if an entry is outside its tolerance."""
    from fusionkit.conversion.verification.check import check
    from fusionkit.registry.lookup import discover

    found = check(args.target, args.file, options=args.options, release=args.release, tolerance=args.tolerance,
                  registry=discover(files=args.plugins))
    _show(found, console)
    return 0 if found.ok else 1


def main(argv: Sequence[str]) -> int:
    """The command on its own; returns the exit code."""
    from fusionkit.cli.parser import main

    return main(["weights", "verify", *argv])


def _show(found: FixtureCheck, console: Console) -> None:
    rows = [[row.entry, "-" if row.note else f"{row.error:.2e}", f"{row.tolerance:.0e}",
             row.note or ("ok" if row.ok else "WRONG")] for row in found.rows]
    console.table(["entry", "largest error", "tolerance", "result"], rows, right=(1, 2))
    console.line()
    console.line(f"{found.target} {'reproduces' if found.ok else 'does NOT reproduce'} {found.fixture}")
    console.data(found.as_json())
