"""`fusionkit plugins list`: what is installed, read from the catalogues without importing any component."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fusionkit.components.kinds import KINDS
from fusionkit.errors import Diagnostic, GraphError, did_you_mean
from fusionkit.interface.console import Console

if TYPE_CHECKING:
    from fusionkit.components.requirements import Missing
    from fusionkit.registry.catalogue import Entry
    from fusionkit.registry.known_packages import KnownPackage
    from fusionkit.registry.lookup import Registry

SUMMARY = "List installed components."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("--kind", choices=KINDS, help="only this kind")
    parser.add_argument("--category", metavar="CATEGORY", help="only this category, for example 'image'")
    parser.add_argument("--all", action="store_true", help="also list known packages that are not installed here")


def run(args: Namespace, console: Console) -> int:
    """The components by kind, then what is not in use or not installed, each with the reason.

    Raises: GraphError with `unknown-category`.
    """
    from fusionkit.components.requirements import missing
    from fusionkit.registry.lookup import discover, library_names

    registry = discover()
    entries = _chosen(registry, args.kind, args.category)
    console.table(["id", "category", "summary", "absent", "from"],
                  [[entry.id, entry.category, entry.summary, entry.absent, entry.package] for entry in entries])
    by_name = library_names(args.kind) if args.kind and not args.category else []
    if by_name:
        console.line(f"\nby their names in installed libraries: {', '.join(by_name)}")
    lacking = {entry.id: lacks for entry in entries if (lacks := missing(entry.needs))}
    for name, lacks in lacking.items():
        console.line(f"{name} cannot be used yet: {'; '.join(map(str, lacks))}: {_fix(lacks)}")
    idle = _idle(registry, console)
    others = [other for other in registry.others if not args.category and _offers(other, args.kind)]
    if args.all:
        _show_others(others, console)
    if not args.kind and not args.category:
        _show_graphs(registry, console)
    console.data({
        "components": [{**entry.as_json(), "missing": [lack.requirement for lack in lacking.get(entry.id, ())]}
                       for entry in entries],
        **({"by_name": [f"{args.kind}.{name}" for name in by_name]} if by_name else {}),
        "not_in_use": idle,
        "notes": {provider.package: list(provider.notes) for provider in registry.providers if provider.notes},
        "collisions": {name: [str(owner) for owner in owners] for name, owners in registry.collisions.items()},
        "graphs": sorted(registry.graphs),
        **({"not_installed": [other.as_json() for other in others]} if args.all else {}),
    })
    return 0


def _chosen(registry: Registry, kind: str | None, category: str | None) -> list[Entry]:
    entries = [entry for entry in registry.entries if not kind or entry.kind == kind]
    if not category:
        return entries
    known = {entry.category for entry in entries if entry.category}
    if category not in known:
        raise GraphError(Diagnostic("unknown-category", f"there is no category {category!r}"
                                    f"{f' of kind {kind!r}' if kind else ''}",
                                    fix=did_you_mean(category, known, f"choose one of {', '.join(sorted(known))}")))
    return [entry for entry in entries if entry.category == category]


def _fix(lacks: Sequence[Missing]) -> str:
    from fusionkit.components.requirements import pip_install

    return pip_install(*(lack.requirement for lack in lacks))


def _offers(other: KnownPackage, kind: str | None) -> bool:
    return not kind or any(name.startswith(f"{kind}.") for name in other.provides)


def _idle(registry: Registry, console: Console) -> list[dict[str, Any]]:
    """Print what is installed but not in use; returns the same as data."""
    idle = [provider for provider in registry.providers if provider.idle]
    for provider in idle:
        brings = ", ".join(entry.id for entry in provider.withheld)
        console.line(f"\nnot in use: {provider.name} ({provider}{f', which has {brings}' if brings else ''}): "
                     f"{provider.idle}")
        if provider.fix:
            console.line(f"  fix: {provider.fix}")
    for provider in registry.providers:
        if provider.notes:
            console.line(f"\n{provider} is for a later version; used as far as this one knows it:")
            for note in provider.notes:
                console.line(f"  {note}")
    for what, collisions in (("id", registry.collisions), ("graph", registry.graph_collisions)):
        for name, owners in collisions.items():
            kept = f": that of {owners[0]} is used" if owners[0].bundled else ""
            console.line(f"\n{what} claimed twice: {name}: {' and '.join(map(str, owners))}{kept}")
    return [{"name": provider.name, "package": provider.package, "problem": provider.idle, "fix": provider.fix,
             "components": [entry.id for entry in provider.withheld]} for provider in idle]


def _show_others(others: Sequence[KnownPackage], console: Console) -> None:
    console.line("\nnot installed:" if others else "\nnot installed: the catalogues know of no other packages")
    if others:
        console.table(["provides", "summary", "install", "link"],
                      [[", ".join(other.provides), other.summary, other.install, other.link] for other in others])


def _show_graphs(registry: Registry, console: Console) -> None:
    if registry.graphs:
        console.line(f"\npublished graphs: {', '.join(registry.graphs)}")
