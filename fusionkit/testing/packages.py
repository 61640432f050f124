"""Holds an installed package against the contract: its entry point, its hooks, its catalogue, its components."""

from __future__ import annotations

import importlib.metadata
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pluggy

from fusionkit import hooks
from fusionkit.catalogue import Entry, collect, read_catalogue, render
from fusionkit.contract import Component
from fusionkit.errors import Diagnostic, GraphError, UserError
from fusionkit.registry import GROUP, discover
from fusionkit.testing.conformance import Finding, check_component

Progress = Callable[[int, int], None]
_HEAVY = ("torch", "timm", "numpy")


@dataclass(frozen=True)
class Opened:
    """A package that could be looked into: the module behind its entry point and what its catalogue says."""

    package: str
    module: ModuleType
    catalogue: Path
    entries: tuple[Entry, ...]


def check_package(package: str, progress: Progress | None = None, components: bool = True) -> list[Finding]:
    """What every check finds in an installed package, and in each of its components unless these are left out.

    Raises: GraphError with `not-installed` when there is no package of that name.
    """
    distribution = _distribution(package)
    name = distribution.name
    points = [point for point in distribution.entry_points if point.group == GROUP]
    if not points:
        return [Finding(name, "entry point", "failed", f"the package has no entry point in the group {GROUP!r}",
                        f"add to its pyproject.toml [project.entry-points.{GROUP}] and a line NAME = \"MODULE\", then "
                        "install it again")]
    findings: list[Finding] = []
    for point in points:
        opened = _open(name, point, findings)
        if opened:
            findings.append(_light(name, point.module))
            _contents(opened, findings, components, progress)
    return findings


def _distribution(package: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(package)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        wanted = _normal(package)
        for point in importlib.metadata.entry_points(group=GROUP):
            if point.dist is not None and wanted in (_normal(point.dist.name), _normal(point.module)):
                return point.dist
    raise GraphError(Diagnostic("not-installed", f"there is no installed package {package!r}",
                                fix=f"in its folder: pip install -e . (or pip install {package})"))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _open(package: str, point: importlib.metadata.EntryPoint, findings: list[Finding]) -> Opened | None:
    """Load the entry point, then ask its hooks; stops at the first fault, as what follows depends on it."""
    try:
        module = point.load()
    except (Exception, SystemExit) as error:
        findings.append(Finding(package, "entry point", "failed", f"{point.value} does not import: {_told(error)}",
                                "correct the entry point in pyproject.toml, or the module that it names"))
        return None
    findings.append(Finding(package, "entry point", "ok", f"{point.name} = {point.value}"))
    try:
        path, entries = _ask(module, package, point.name)
    except _FaultError as fault:
        findings.append(Finding(package, fault.check, "failed", str(fault), fault.fix))
        return None
    findings.append(Finding(package, "hooks", "ok"))
    return Opened(package, module, path, entries)


class _FaultError(Exception):
    """A fault of a package, with the check that it fails and what to do."""

    def __init__(self, check: str, seen: str, fix: str) -> None:
        super().__init__(seen)
        self.check = check
        self.fix = fix


def _ask(module: ModuleType, package: str, name: str) -> tuple[Path, tuple[Entry, ...]]:
    """The catalogue that the hooks name, and its entries of this package; others are hints what to install."""
    hint = "write it as the generated packages do: @hookimpl def fusionkit_catalogue() -> Path"
    try:
        manager = pluggy.PluginManager(hooks.PROJECT)
        manager.add_hookspecs(hooks.PluginSpec)
        manager.register(module, name)
        manager.check_pending()
        catalogues = manager.hook.fusionkit_catalogue()
        folders = manager.hook.fusionkit_graphs()
    except Exception as error:
        raise _FaultError("hooks", _told(error), hint) from error
    if not catalogues:
        raise _FaultError("hooks", "fusionkit_catalogue is not implemented", hint)
    if folders and not Path(folders[0]).is_dir():
        raise _FaultError("hooks", f"fusionkit_graphs names {folders[0]}, which is no folder",
                          "ship the folder: package-data in pyproject.toml")
    path = Path(catalogues[0])
    if not path.is_file():
        raise _FaultError("catalogue", f"{path} does not exist",
                          f"write it: fusionkit plugins catalogue {package} --write; and ship it: package-data")
    try:
        return path, tuple(entry for entry in read_catalogue(path) if entry.package == package)
    except UserError as error:
        raise _FaultError("catalogue", str(error.diagnostics[0].render().replace("\n", " ")),
                          f"write it anew: fusionkit plugins catalogue {package} --write") from error


def _light(package: str, module: str) -> Finding:
    """The module behind the entry point is imported by every command, so it must be quick and silent."""
    program = f"import sys, {module}; print([name for name in {_HEAVY!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,  # noqa: S603  # our own text
                          env=environment, check=False)
    said = (done.stdout + done.stderr).strip()
    if said == "[]":
        return Finding(package, "light import", "ok")
    return Finding(package, "light import", "failed", f"importing {module} loads or prints: {said.splitlines()[-1]}",
                   "import components nowhere in it; the catalogue says what there is")


def _contents(opened: Opened, findings: list[Finding], components: bool, progress: Progress | None) -> None:
    found = dict(_modules(opened))
    good = {at: part for at, part in found.items() if isinstance(part, Component)}
    findings.append(_catalogue(opened, good, {at for at, part in found.items() if isinstance(part, str)}))
    findings.extend(_taken(opened))
    for done, (at, part) in enumerate(found.items()):
        if progress:
            progress(done, len(found))
        if isinstance(part, str):
            findings.append(Finding(_id_at(opened, at), "import", "failed", part, f"mend {at}"))
        else:
            findings.append(Finding(part.id, "import", "ok"))
            findings.extend(check_component(part) if components else [])


def _id_at(opened: Opened, at: str) -> str:
    return next((entry.id for entry in opened.entries if entry.at == at), at)


def _modules(opened: Opened) -> Iterator[tuple[str, Component | str]]:
    """Every module that declares a component or is said to: the component, or why there is none."""
    listed = {entry.at for entry in opened.entries}
    paths = getattr(opened.module, "__path__", [])
    inside = [info.name for info in pkgutil.walk_packages(paths, f"{opened.module.__name__}.", lambda name: None)]
    for at in [opened.module.__name__, *inside, *sorted(listed - set(inside) - {opened.module.__name__})]:
        try:
            part = getattr(import_module(at), "component", None)
        except (Exception, SystemExit) as error:
            yield at, _told(error)
            continue
        if isinstance(part, Component):
            yield at, part
        elif at in listed or part is not None:
            kind = type(part).__name__
            yield at, (f"its 'component' is a {kind}, not an Encoder, Fusion, Head or Uncertainty" if part is not None
                       else "it has no 'component', and the catalogue names it")


def _catalogue(opened: Opened, good: dict[str, Component], broken: set[str]) -> Finding:
    """The catalogue file says what the components say."""
    fix = f"fusionkit plugins catalogue {opened.package} --write"
    if broken:
        return Finding(opened.package, "catalogue", "not probed", f"these do not import: {', '.join(sorted(broken))}",
                       "mend them first")
    made = collect(opened.package, opened.module.__name__)
    known = {entry.id for entry in opened.entries}
    missing, extra = {entry.id for entry in made} - known, known - {entry.id for entry in made}
    if missing or extra:
        parts = [f"{word} {', '.join(sorted(ids))}" for word, ids in (("lacks", missing), ("still has", extra)) if ids]
        return Finding(opened.package, "catalogue", "failed", f"{opened.catalogue} {' and '.join(parts)}", fix)
    if opened.catalogue.read_text(encoding="utf-8") != render(opened.package, made):
        return Finding(opened.package, "catalogue", "failed", f"{opened.catalogue} is stale", fix)
    return Finding(opened.package, "catalogue", "ok", f"{len(good)} component{'s' if len(good) != 1 else ''}")


def _taken(opened: Opened) -> Iterator[Finding]:
    for name, owners in discover().collisions.items():
        others = [str(owner) for owner in owners if owner.package != opened.package]
        if len(others) < len(owners):
            yield Finding(name, "name", "failed", f"{' and '.join(others)} provides it too",
                          "choose another name, or a new version: name.v2")


def _told(error: BaseException) -> str:
    """An exception in one line, with the innermost place outside the import system."""
    trace, place = error.__traceback__, ""
    while trace:
        file = trace.tb_frame.f_code.co_filename
        place = place if file.startswith("<") else f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}{place}"
