"""`fusionkit studio`: graphs and runs of a folder in the browser of this machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_plugin_option
from fusionkit.interface.console import Console

SUMMARY = "Show the graphs and runs of a folder in the browser: mistakes while typing, shapes, curves."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="what is shown (default: here)")
    parser.add_argument("--write", action="store_true",
                        help="let the page save graphs and start trainings; otherwise nothing is written")
    parser.add_argument("--port", type=int, metavar="N", help="the port (default: the first free one from 8765 on)")
    parser.add_argument("--no-browser", action="store_true", help="print the address alone")
    add_plugin_option(parser)


def run(args: Namespace, console: Console) -> int:
    """Serve until interrupted."""
    from pathlib import Path

    from fusionkit.errors import DataError, Diagnostic

    folder = Path(args.folder)
    if not folder.is_dir():
        raise DataError(Diagnostic("no-folder", f"{args.folder!r} is not a folder", fix="give a folder with graphs"))
    from fusionkit.studio.graph_files import StudioFolder
    from fusionkit.studio.start import serve

    def told(address: str) -> None:
        may = "the page saves and trains" if args.write else "read only (--write lets the page save and train)"
        console.line(f"{address}\n{may}; only this machine can reach it; Ctrl+C ends it")
        console.data({"address": address})

    serve(StudioFolder(folder.resolve(), args.write), port=args.port, plugins=args.plugins,
          open_browser=not args.no_browser, told=told)
    return 0
