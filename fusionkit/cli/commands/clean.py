"""`fusionkit clean`: remove the prepared arrays of patients that training and prediction left beside the data."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fusionkit.interface.console import Console

SUMMARY = "Remove the cache of prepared arrays of a data description."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("data", metavar="DATA", help="a data description, or the folder that it lies in")


def run(args: Namespace, console: Console) -> int:
    """Remove the arrays, and say where they were and how many."""
    from fusionkit.data.disk_cache import clear
    from fusionkit.errors import DataError, Diagnostic
    from fusionkit.runs.setup import cache_for

    path = Path(args.data)
    if not path.exists():
        raise DataError(Diagnostic("unreadable-file", f"there is no {str(path)!r}", fix="give a data description"))
    cache = cache_for(path / "data.yaml" if path.is_dir() else path)
    count, size = clear(cache) if cache is not None and cache.is_dir() else (0, 0)
    told = f"{count} files, {size / 1e6:.1f} MB, removed from {cache}"
    console.line(told if count else f"nothing to remove in {cache}")
    console.data({"folder": str(cache), "files": count, "bytes": size})
    return 0
