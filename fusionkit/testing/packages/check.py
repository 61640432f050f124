"""Checks an installed package against the contract: entry point, hooks, catalogue, graphs, and its components."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

from fusionkit.components.declaration import Declaration
from fusionkit.components.failures import raised, raised_at
from fusionkit.components.kinds import KIND_TABLE, spoken
from fusionkit.components.requirements import missing, normal_name, pip_install
from fusionkit.progress import Progress
from fusionkit.registry.catalogue import collect, render
from fusionkit.registry.entry_points import GROUP
from fusionkit.registry.lookup import Registry, discover
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.distributions import find_distribution, own_points, place_of_project
from fusionkit.testing.faults import Finding
from fusionkit.testing.packages.imports import import_faults
from fusionkit.testing.packages.opening import Opened, UnopenedError, open_package
from fusionkit.testing.packages.published import check_graphs
from fusionkit.testing.places import place_of

_DECLARATIONS = spoken(tuple(kind.declaration for kind in KIND_TABLE.values()), "or")
Part = Declaration | Finding
"""What a module provides: its component, or why there is none that can be tested."""


def check_package(package: str, progress: Progress | None = None, components: bool = True) -> list[Finding]:
    """The findings of every check of an installed package, and of its components unless these are left out.

    Raises: GraphError with `not-installed` when there is no package of that name.
    """
    distribution = find_distribution(package)
    points = own_points(distribution)
    if not points:
        return [Finding(distribution.name, "entry point", "failed",
                        f"the package has no entry point in the group {GROUP!r}",
                        f"add to its pyproject.toml [project.entry-points.{GROUP}] and a line NAME = \"MODULE\", then "
                        "install it again", place_of_project(distribution))]
    findings: list[Finding] = []
    for point in points:
        try:
            opened = open_package(distribution, point, findings)
        except UnopenedError as error:
            findings.append(error.finding)
            continue
        findings.extend(_contents(opened, components, progress))
    return findings


def _contents(opened: Opened, components: bool, progress: Progress | None) -> Iterator[Finding]:
    parts = {at: part for at in _modules(opened) if (part := _part(opened, at))}
    registry = discover()
    yield _catalogue(opened, [at for at, part in parts.items() if isinstance(part, Finding)])
    yield from _taken(opened, parts, registry)
    if opened.graphs and opened.fits:
        yield from check_graphs(opened.package, opened.graphs, registry)
    good = {at: part for at, part in parts.items() if isinstance(part, Declaration)}
    total, done = sum(len(checks_of(part)) for part in good.values()) if components else 0, 0
    if progress and total:
        progress(done, total)  # importing each in a process of its own takes seconds
    loud = import_faults(list(good), opened.package) if components and good else {}
    for at, part in parts.items():
        if isinstance(part, Finding):
            yield part
            continue
        fault = loud.get(at)
        yield Finding(part.id, "import", "failed", fault.seen, fault.fix, fault.place) if fault else Finding(
            part.id, "import", "ok")
        kit = Kit(part)
        for name in checks_of(part) if components else ():
            if progress:
                progress(done, total)
            yield kit.finding(name)
            done += 1


def _modules(opened: Opened) -> list[str]:
    """Every module of the package, and others that its catalogue names."""
    name = opened.module.__name__
    paths = getattr(opened.module, "__path__", [])
    inside = [name, *(info.name for info in pkgutil.walk_packages(paths, f"{name}.", lambda name: None))]
    return [*inside, *sorted({entry.at for entry in opened.catalogue.entries} - set(inside))]


def _part(opened: Opened, at: str) -> Part | None:
    """The component of a module; None for one that declares none and is not in the catalogue."""
    entry = opened.entry(at)
    name, where = entry.id if entry else at, _line(at)
    lack = _lacking(name, entry.needs if entry else (), where)
    if lack:
        return lack
    try:
        part = getattr(import_module(at), "component", None)
    except (Exception, SystemExit) as error:
        place = raised_at(error, str(Path(opened.module.__file__ or "").parent))
        return Finding(name, "import", "failed", raised(error),
                       "fix the exception, or declare in needs= what is missing", place or where)
    if isinstance(part, Declaration):
        return _lacking(part.id, part.needs, where) or part
    if part is not None:
        return Finding(name, "import", "failed",
                       f"its 'component' is of type {type(part).__name__}, not {_DECLARATIONS}",
                       "declare it: component = Fusion(...); or rename it if it is no component", where)
    return Finding(name, "import", "failed", "it has no 'component', and the catalogue names it",
                   f"declare one, or fusionkit plugins catalogue {opened.package} --write", where) if entry else None


def _lacking(name: str, needs: Sequence[str], where: str) -> Finding | None:
    """The finding that a component cannot be tested here, since packages are missing."""
    lacks = missing(needs)
    if not lacks:
        return None
    return Finding(name, "import", "not probed", f"it needs {'; '.join(map(str, lacks))}",
                   pip_install(*(lack.requirement for lack in lacks)), where)


def _line(at: str) -> str:
    """file:line of a module's `component`, or of its first line where it has none; '' without a file."""
    try:
        spec = find_spec(at)
        origin = spec.origin if spec else None
        tree = ast.parse(Path(origin or "").read_text(encoding="utf-8"))
    except (ImportError, OSError, ValueError, SyntaxError):
        return ""
    lines = [node.lineno for node in tree.body if isinstance(node, ast.Assign)
             and any(isinstance(target, ast.Name) and target.id == "component" for target in node.targets)]
    return f"{origin}:{lines[-1] if lines else 1}"


def _catalogue(opened: Opened, broken: Sequence[str]) -> Finding:
    """The catalogue file agrees with the components."""
    fix = f"fusionkit plugins catalogue {opened.package} --write"
    if broken:
        return Finding(opened.package, "catalogue", "not probed", f"these do not import: {', '.join(sorted(broken))}",
                       "see the finding of each", f"{opened.path}:1")
    made = collect(opened.package, opened.module.__name__)
    known = {entry.id for entry in opened.catalogue.entries}
    lacks, extra = {entry.id for entry in made} - known, known - {entry.id for entry in made}
    written, right = opened.path.read_text(encoding="utf-8"), render(opened.package, made, opened.catalogue.others)
    if written == right:
        return Finding(opened.package, "catalogue", "ok", f"{len(made)} component{'s' if len(made) != 1 else ''}")
    pairs = enumerate(zip_longest(written.splitlines(), right.splitlines(), fillvalue=""), 1)
    number, (has, wants) = next(((number, pair) for number, pair in pairs if pair[0] != pair[1]), (1, ("", "")))
    parts = [f"{word} {', '.join(sorted(ids))}" for word, ids in (("lacks", lacks), ("still has", extra)) if ids]
    seen = " and ".join(parts) or f"it has {has.strip()!r} where the code says {wants.strip()!r}"
    return Finding(opened.package, "catalogue", "failed", f"the catalogue is stale: {seen}", fix,
                   f"{opened.path}:{max(1, min(number, len(written.splitlines())))}")


def _taken(opened: Opened, parts: dict[str, Part], registry: Registry) -> Iterator[Finding]:
    """Ids that another package provides, or that a catalogue lists for another package."""
    places = {part.id: place_of(part) for part in parts.values() if isinstance(part, Declaration)}
    for name in sorted({*places, *(entry.id for entry in opened.catalogue.entries)}):
        owners = [str(owner) for owner in registry.collisions.get(name, ()) if owner.package != opened.package]
        listed = registry.known_for(name)
        if listed and normal_name(listed.package) != normal_name(opened.package):
            owners.append(listed.package)
        if owners:
            yield Finding(name, "name", "failed", f"{' and '.join(owners)} provides it too",
                          "choose another name, or a new version: name.v2", places.get(name, f"{opened.path}:1"))
