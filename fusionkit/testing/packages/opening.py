"""Opens an installed package: imports the module of its entry point, calls its hooks, reads its catalogue."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

from fusionkit.components.failures import StoppedError, raised, raised_at
from fusionkit.components.hooks import CONTRACT_RANGE, PluginSpec
from fusionkit.components.requirements import CHANGES, contract_refusal, is_former
from fusionkit.errors import UserError
from fusionkit.registry.catalogue import Catalogue, Entry, read_catalogue
from fusionkit.registry.entry_points import name_of, version_of
from fusionkit.registry.guard import guarded
from fusionkit.registry.providers import HookAnswers, call_hooks
from fusionkit.registry.trial import crash_of, survived
from fusionkit.testing.distributions import place_of_project
from fusionkit.testing.faults import Finding

_SECONDS = 0.3
"""CPU time in seconds that importing the module of an entry point may take; every command waits for it."""
_PATIENCE = 120  # seconds until an import is reported to hang


class UnopenedError(Exception):
    """A package cannot be opened; `finding` says why."""

    def __init__(self, package: str, check: str, seen: str, fix: str, where: str) -> None:
        super().__init__(seen)
        self.finding = Finding(package, check, "failed", seen, fix, where)


@dataclass(frozen=True)
class Opened:
    """A package that could be opened, and whether this fusionkit supports its contract."""

    package: str
    module: ModuleType
    graphs: Path | None
    path: Path
    catalogue: Catalogue
    fits: bool

    def entry(self, at: str) -> Entry | None:
        """The catalogue's entry of a module."""
        return next((entry for entry in self.catalogue.entries if entry.at == at), None)


def open_package(distribution: Distribution, point: EntryPoint, findings: list[Finding]) -> Opened:
    """The package of an entry point; results of the checks on the way are added to the findings.

    Raises: UnopenedError at the first fault that prevents further checks.
    """
    package = name_of(distribution)
    module = _load(distribution, point)
    findings.append(Finding(package, "entry point", "ok", f"{point.name} = {point.value}"))
    findings.append(_light(package, point.module))
    answers = _call_hooks(package, module, point.name)
    findings.append(Finding(package, "hooks", "ok"))
    findings.append(_contract(package, module, answers.contract))
    path = answers.catalogue
    assert path is not None, "the hooks are checked; please report"
    return Opened(package, module, answers.graphs, path, _catalogue(package, module, path),
                  contract_refusal(answers.contract) is None)


def _load(distribution: Distribution, point: EntryPoint) -> ModuleType:
    place, seen, module = place_of_project(distribution), "", None
    crash = crash_of(point.module, version_of(distribution))
    if crash:
        raise UnopenedError(name_of(distribution), "entry point", crash, "find out with `python -X faulthandler -c "
                            f"'import {point.module}'`", place)
    try:
        with guarded(name_of(distribution)):
            module = point.load()
        survived(point.module, version_of(distribution))
    except Exception as caught:
        error = caught.cause if isinstance(caught, StoppedError) else caught
        seen = f"{point.value} does not import: {raised(error)}"
        if not _names_nothing(point, error):
            place = raised_at(error)
    if isinstance(module, ModuleType):
        return module
    raise UnopenedError(name_of(distribution), "entry point",
                        seen or f"{point.value} is of type {type(module).__name__}, not a module",
                        "correct the entry point in pyproject.toml, or the module that it names", place)


def _names_nothing(point: EntryPoint, error: BaseException) -> bool:
    """Whether the entry point itself is wrong, rather than the module that it names."""
    if isinstance(error, ModuleNotFoundError):
        return f"{point.module}.".startswith(f"{error.name}.")
    return bool(point.attr) and isinstance(error, AttributeError)


def _call_hooks(package: str, module: ModuleType, name: str) -> HookAnswers:
    """The results of the hooks that later checks need."""
    fix = "write it as in generated packages: @hookimpl def fusionkit_catalogue() -> Path"
    try:
        with guarded(package):
            answers = call_hooks(module, name)
    except Exception as caught:
        error = caught.cause if isinstance(caught, StoppedError) else caught
        strange = next((name for name in vars(module) if name.startswith("fusionkit_")
                        and not hasattr(PluginSpec, name)), "")
        folder = str(Path(module.__file__ or "").parent)
        inside = raised_at(error, folder)
        place = inside if inside.startswith(folder) else _place(module, strange)
        raise UnopenedError(package, "hooks", raised(error), fix, place) from error
    if answers.catalogue is None:
        raise UnopenedError(package, "hooks", "fusionkit_catalogue is not implemented", fix, _place(module))
    for hook, named in (("fusionkit_graphs", answers.graphs), ("fusionkit_claims", answers.claims)):
        if named is not None and not named.is_dir():
            raise UnopenedError(package, "hooks", f"{hook} names {named}, which is no folder",
                                "ship the folder: package-data in pyproject.toml", _place(module, hook))
    return answers


def _place(module: ModuleType, name: str = "") -> str:
    """file:line of a name in a module, or of its first line."""
    try:
        line = inspect.getsourcelines(getattr(module, name))[1]
    except (AttributeError, TypeError, OSError):
        line = 1
    return f"{module.__file__}:{line}"


def _contract(package: str, module: ModuleType, stated: object) -> Finding:
    """The versions of the contract that the package was written for."""
    if stated is None:
        return Finding(package, "contract", "failed", "it does not state the contract it was written for",
                       f"write @hookimpl def fusionkit_contract() -> str: return {CONTRACT_RANGE!r}", _place(module))
    refusal = contract_refusal(stated)
    if refusal:
        return Finding(package, "contract", "failed", refusal.seen, refusal.fix, _place(module, "fusionkit_contract"))
    if is_former(stated):
        return Finding(package, "contract", "ok", f"{stated}, the former one; {CHANGES} says what has changed since")
    return Finding(package, "contract", "ok", str(stated))


def _catalogue(package: str, module: ModuleType, path: Path) -> Catalogue:
    fix = f"write it again: fusionkit plugins catalogue {package} --write"
    if not path.is_file():
        raise UnopenedError(package, "catalogue", f"{path} does not exist", f"{fix}; and ship it: package-data",
                            _place(module, "fusionkit_catalogue"))
    try:
        return read_catalogue(path)
    except UserError as error:
        first = error.diagnostics[0]
        place = f"{first.span.file}:{first.span.line}" if first.span else f"{path}:1"
        raise UnopenedError(package, "catalogue", "; ".join(one.message for one in error.diagnostics),
                            f"{first.fix or 'fix it'}; or {fix}", place) from error


def _light(package: str, module: str) -> Finding:
    """The module of the entry point is imported by every command, so it must be fast, silent and light."""
    record = _witnessed(module)
    if record["seconds"] > _SECONDS and not record["loaded"]:
        record = min(record, _witnessed(module), key=lambda one: one["seconds"])
    fix = "import neither components in it nor what they need; the catalogue lists them"
    where = f"{record['origin']}:1"
    if record["loaded"]:
        names, places = list(record["loaded"]), [place for place in record["loaded"].values() if place]
        return Finding(package, "light import", "failed", f"importing {module} loads {', '.join(names)}", fix,
                       (places or [where])[0])
    if record["printed"]:
        first = record["printed"].splitlines()[0]
        return Finding(package, "light import", "failed", f"importing {module} prints {first!r}",
                       "print nothing when imported", record["printed_at"] or where)
    spent = f"{1000 * record['seconds']:.0f} ms of CPU time"
    if record["seconds"] > _SECONDS:
        return Finding(package, "light import", "failed", f"importing {module} takes {spent}", fix, where)
    return Finding(package, "light import", "ok", spent)


def _witnessed(module: str) -> dict[str, Any]:
    """The record of importing a module in a separate process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "fusionkit.testing.witnesses.entry_witness", module]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False,  # noqa: S603  # our own program
                          stdin=subprocess.DEVNULL, timeout=_PATIENCE)
    assert done.returncode == 0, f"{module} imports here and not in a new process: {done.stderr}; please report"
    record: dict[str, Any] = json.loads(done.stdout)
    return record
