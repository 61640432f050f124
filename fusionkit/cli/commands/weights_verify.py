"""`fusionkit weights verify ID FILE.npz`: exit code 0 within the tolerance, 1 outside, 2 for bad input."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fusionkit.cli.console import Console
from fusionkit.conversion.name_mapping import RELEASE
from fusionkit.conversion.verification.check import Check, check
from fusionkit.errors import UserError
from fusionkit.registry.lookup import discover


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and show; gives the exit code."""
    args = _parser().parse_args(argv)
    console = Console(json=args.json)
    try:
        found = check(args.target, args.file, options=args.options, release=args.release, tolerance=args.tolerance,
                      registry=discover(files=args.plugins))
    except UserError as error:
        console.diagnostics(error.diagnostics)
        return 2
    _show(found, console)
    return 0 if found.ok else 1


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="fusionkit weights verify", description=__doc__)
    made.add_argument("target", metavar="ID", help="a component id, a graph file or the name of a published graph")
    made.add_argument("file", metavar="FILE.npz", help="a fixture: recorded inputs and results of released code")
    made.add_argument("--with", action="append", default=[], metavar="NAME=VALUE", dest="options",
                      help="set an option (of a graph: PATH=VALUE, as for --set); may be repeated")
    made.add_argument("--from", default=RELEASE, metavar="NAME", dest="release",
                      help="which release the file comes from, as the component names it (default: release)")
    made.add_argument("--tolerance", type=float, metavar="ERROR", help="allow this absolute error everywhere")
    made.add_argument("--plugin", action="append", default=[], metavar="FILE.py", dest="plugins",
                      help="use the components of a Python file of yours; may be repeated")
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    return made


def _show(found: Check, console: Console) -> None:
    rows = [[row.entry, "-" if row.note else f"{row.error:.2e}", f"{row.tolerance:.0e}",
             row.note or ("ok" if row.ok else "WRONG")] for row in found.rows]
    console.table(["entry", "largest error", "tolerance", "result"], rows, right=(1, 2))
    console.line()
    console.line(f"{found.target} {'computes' if found.ok else 'does NOT compute'} what {found.fixture} recorded")
    console.data(found.as_json())


if __name__ == "__main__":
    raise SystemExit(main())
