"""`fusionkit plugins new NAME`: a new plugin package, which passes its own tests."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from fusionkit.components.kinds import KINDS
from fusionkit.interface.console import Console

SUMMARY = "Create a plugin package of your own."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("name", metavar="NAME", help="its name, for example my-fusion")
    parser.add_argument("--kind", choices=KINDS, default="fusion",
                        help="what it declares (default: fusion)")
    parser.add_argument("-o", "--output", metavar="DIR", help="where (default: fusionkit-NAME)")


def run(args: Namespace, console: Console) -> int:
    """Write the package and print what to do next."""
    from fusionkit.testing.scaffold.generate import PREFIX, new_package

    files = new_package(args.name, args.kind, Path(args.output) if args.output else None)
    project = f"{PREFIX}-{args.name.strip().replace('_', '-')}"
    folder = args.output or project
    console.line(f"written to {folder}:")
    for path in sorted(files):
        console.line(f"  {path}")
    here = folder if Path(folder).is_absolute() else f"./{folder}"
    console.line(f"\nnext:\n  pip install -e '{here}[test]'\n  pytest {folder}\n  fusionkit plugins check {project}\n"
                 f"  fusionkit build {project.removeprefix(f'{PREFIX}-')}\n\nthen write your method in "
                 f"{next(path for path in sorted(files) if _is_component(path))}; when what it declares has changed:\n"
                 f"  fusionkit plugins catalogue {project} --write")
    console.data({"folder": str(Path(folder).resolve()), "project": project, "files": sorted(files),
                  "id": f"{args.kind}.{args.name.strip().replace('-', '_')}"})
    return 0


def _is_component(path: str) -> bool:
    return path.startswith("fusionkit_") and path.endswith(".py") and not path.endswith("__init__.py")
