"""`fusionkit plugins catalogue`: what packages provide, in the form of their catalogue files; --write writes these."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.registry.catalogue import Entry
    from fusionkit.registry.known_packages import KnownPackage

SUMMARY = "Print a package's catalogue, or write it."


@dataclass(frozen=True)
class Made:
    """The catalogue generated from the current code of a package, and the file in which the package stores it."""

    package: str
    path: Path
    entries: list[Entry]
    others: tuple[KnownPackage, ...]

    @property
    def text(self) -> str:
        """The content that the file should have."""
        from fusionkit.registry.catalogue import render

        return render(self.package, self.entries, self.others)

    @property
    def fresh(self) -> bool:
        """Whether the file has this content."""
        return self.path.is_file() and self.path.read_text(encoding="utf-8") == self.text


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("package", metavar="PACKAGE", nargs="?",
                        help="the name of an installed package (default: all that are installed with pip install -e)")
    parser.add_argument("--write", action="store_true", help="write the file that the package declares")


def run(args: Namespace, console: Console) -> int:
    """Print each catalogue, or write it to its package's file; 1 if one is stale and is not written."""
    from fusionkit.testing.distributions import editable_packages

    packages = [args.package] if args.package else editable_packages()
    if not packages:
        raise GraphError(Diagnostic("not-installed", "no package with plugins is installed from its sources",
                                    fix="in the package's folder: pip install -e . ; or name a package"))
    everything = [made for package in packages for made in _made(package)]
    told = [_write(made, console) if args.write else _print(made, console) for made in everything]
    console.data({"fresh": all(told), "packages": [
        {"package": made.package, "file": str(made.path), "fresh": fresh,
         "components": [entry.as_json() for entry in made.entries],
         "others": [other.as_json() for other in made.others]}
        for made, fresh in zip(everything, told, strict=True)]})
    return 0 if all(told) else 1


def _made(package: str) -> list[Made]:
    """The catalogue of each entry point of a package.

    Raises: GraphError with `not-installed` or `broken-plugin`, and with every error in the stored file.
    """
    from fusionkit.registry.catalogue import collect, kept_others
    from fusionkit.registry.entry_points import GROUP
    from fusionkit.testing.distributions import find_distribution, own_points

    distribution = find_distribution(package)
    points = own_points(distribution)
    if not points:
        raise GraphError(Diagnostic("not-installed", f"{distribution.name} has no entry point in the group {GROUP!r}",
                                    fix=f"see [project.entry-points.{GROUP}] in its pyproject.toml"))
    made = []
    for point in points:
        entries = collect(distribution.name, point.module)
        path = Path(import_module(point.module).fusionkit_catalogue())
        others = kept_others(path, distribution.name, {entry.id for entry in entries})
        made.append(Made(distribution.name, path, entries, others))
    return made


def _write(made: Made, console: Console) -> bool:
    from fusionkit.files import write_text

    unchanged = made.fresh
    if not unchanged:
        write_text(made.path, made.text)
    count = len(made.entries)
    console.line(f"{made.path}: {count} component{'s' if count != 1 else ''}{', unchanged' if unchanged else ''}")
    return True


def _print(made: Made, console: Console) -> bool:
    console.line(made.text.rstrip())
    if not made.fresh:
        console.note(f"{made.path} is stale: write it with --write")
    return made.fresh
