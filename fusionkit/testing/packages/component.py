"""Checks one component of an installed package, by its id: its import in a process of its own, and every check."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fusionkit.components.declaration import Declaration
from fusionkit.progress import Progress
from fusionkit.registry.lookup import discover
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.faults import Finding
from fusionkit.testing.packages.imports import import_faults


def check_component(name: str, progress: Progress | None = None) -> list[Finding]:
    """The findings of one component. Its import is watched in another process while the other checks run in this one.

    Raises: GraphError if there is no such component, or what it needs is not installed.
    """
    registry = discover()
    part = registry.load(name, of=Declaration)
    package = next((entry.package for entry in registry.entries if entry.id == part.id), "fusionkit")
    checks, at = checks_of(part), part.module.__module__
    with ThreadPoolExecutor(1) as beside:
        loud = beside.submit(import_faults, [at], package)
        kit, findings = Kit(part), []
        for done, check in enumerate(checks):
            if progress:
                progress(done, len(checks))
            findings.append(kit.finding(check))
        fault = loud.result().get(at)
    first = Finding(part.id, "import", "failed", fault.seen, fault.fix, fault.place) if fault else Finding(
        part.id, "import", "ok")
    return [first, *findings]
