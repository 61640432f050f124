"""`fusionkit report`: one page, a checklist and a model card of a run or of a comparison."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import given
from fusionkit.interface.console import Console

SUMMARY = "Write the report of a run or a comparison: one page to print, a reporting checklist, a model card."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("folder", metavar="RUN", help="the folder of a run, of a run of folds, or of a comparison")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where to write (default: RUN/report)")
    parser.add_argument("--checklist", metavar="NAME", default="tripod-ai",
                        help="tripod-ai, claim or stard-ai (default tripod-ai)")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE.py", dest="plugins",
                        help="a file with components of your own that the network uses")


def run(args: Namespace, console: Console) -> int:
    """Write the report and name its files."""
    from fusionkit.interface.report import report

    made = report(**given(args))
    if not made.evaluated:
        console.note("the run is not evaluated, and the page says so: fusionkit evaluate first")
    console.line(f"the report is {made.page}; {len(made.files)} files are in {made.page.parent}")
    console.data({"page": str(made.page), "files": [str(path) for path in made.files], "evaluated": made.evaluated})
    return 0
