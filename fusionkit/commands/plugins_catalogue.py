"""`fusionkit plugins catalogue`: what a package brings, as its catalogue file says it; --write makes the file."""

from __future__ import annotations

from argparse import Namespace
from importlib.metadata import entry_points
from pathlib import Path

from fusionkit.catalogue import collect, render
from fusionkit.console import Console
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.files import write_text
from fusionkit.registry import GROUP


def run(args: Namespace, console: Console) -> int:
    """Print the catalogue that the installed components make, or write it where the package keeps it."""
    module = module_of(args.package)
    entries = collect(args.package, module)
    text = render(args.package, entries)
    path = _path(module)
    stale = not path.is_file() or path.read_text(encoding="utf-8") != text
    if args.write:
        write_text(path, text)
        console.line(f"{path}: {len(entries)} components" + ("" if stale else ", unchanged"))
    else:
        console.line(text.rstrip())
        if stale:
            console.note(f"{path} is stale: write it with --write")
    console.data({"file": str(path), "fresh": not stale or args.write, "components": [e.as_json() for e in entries]})
    return 0 if args.write or not stale else 1


def module_of(package: str) -> str:
    """The importable module behind a package's entry point.

    Raises: GraphError with `not-installed`.
    """
    for point in entry_points(group=GROUP):
        if point.dist is not None and package in (point.dist.name, point.name):
            return point.module
    raise GraphError(Diagnostic("not-installed", f"no installed package {package!r} has an entry point in {GROUP!r}",
                                fix=f"pip install -e ./{package}, and see [project.entry-points.{GROUP}] in its "
                                    "pyproject.toml"))


def _path(module: str) -> Path:
    from importlib import import_module

    return Path(import_module(module).fusionkit_catalogue())
