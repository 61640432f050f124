"""Entry points of installed packages; broken metadata is a finding about that package only."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

from fusionkit.components.failures import raised
from fusionkit.components.requirements import normal_name

GROUP = "fusionkit"
OWN = "fusionkit"
"""The name of fusionkit's own package."""


@dataclass(frozen=True)
class Declared:
    """One entry point of a package; if the metadata cannot be read, `point` is None and `problem` is the reason.

    `version` is empty if the metadata lacks it.
    """

    name: str
    package: str
    version: str
    point: EntryPoint | None
    problem: str = ""

    @property
    def own(self) -> bool:
        """Whether it is fusionkit's own."""
        return normal_name(self.package) == OWN


_unreadable: list[tuple[Distribution, Exception]] = []


def tolerate_broken_metadata() -> None:
    """Make every library in this process skip packages whose entry points cannot be read.

    pydantic and torch read those of all installed packages, and a single broken one prevents them from being imported.
    Only for a program such as the command line, not for a library inside another program.
    """
    read = Distribution.entry_points.fget  # type: ignore[attr-defined]

    def entry_points(distribution: Distribution) -> Any:
        try:
            return read(distribution)
        except Exception as error:
            _unreadable.append((distribution, error))
            return EntryPoints()

    if read.__module__ != __name__:
        Distribution.entry_points = property(entry_points)  # type: ignore[assignment, method-assign]


def declared() -> list[Declared]:
    """The entry points of the group `fusionkit`, fusionkit's own first, then by name."""
    _unreadable.clear()
    try:
        found = [_declared(point, point.dist) for point in importlib.metadata.entry_points(group=GROUP)]
        found += [_broken(distribution, error) for distribution, error in _unreadable if _mentions_group(distribution)]
    except Exception:  # a single broken package is enough
        found = list(_one_by_one())
    return sorted(found, key=lambda each: (not each.own, each.name))


def own_declared() -> list[Declared]:
    """fusionkit's own entry points, for which no other package's are read where its own can be."""
    try:
        own = importlib.metadata.distribution(OWN)
        found = [_declared(point, own) for point in own.entry_points if point.group == GROUP]
    except Exception:
        found = []
    return sorted(found, key=lambda each: each.name) or [each for each in declared() if each.own]


def _one_by_one() -> Iterator[Declared]:
    known: set[str] = set()
    for distribution in importlib.metadata.distributions():
        name = name_of(distribution)
        if normal_name(name) in known:
            continue  # the first on the path is the one that is imported
        known.add(normal_name(name))
        try:
            points = [point for point in distribution.entry_points if point.group == GROUP]
        except Exception as error:
            if _mentions_group(distribution):
                yield _broken(distribution, error)
            continue
        yield from (_declared(point, distribution) for point in points)


def _broken(distribution: Distribution, error: Exception) -> Declared:
    name = name_of(distribution)
    return Declared(name, name, version_of(distribution), None,
                    f"its entry_points.txt cannot be read: {raised(error)}")


def _declared(point: EntryPoint, distribution: Distribution | None) -> Declared:
    if distribution is None:
        return Declared(point.name, point.name, "", point)
    return Declared(point.name, name_of(distribution), version_of(distribution), point)


def _mentions_group(distribution: Distribution) -> bool:
    """Whether an unreadable file of entry points mentions fusionkit at all."""
    try:
        folder = Path(str(getattr(distribution, "_path", "")))
        return f"[{GROUP}]".encode() in (folder / "entry_points.txt").read_bytes()
    except (OSError, ValueError):
        return False


def name_of(distribution: Distribution) -> str:
    """A package's name; if its METADATA lacks it, that of its folder."""
    try:
        name = distribution.metadata["Name"]
    except Exception:
        name = None
    if isinstance(name, str) and name:
        return name
    return Path(str(getattr(distribution, "_path", "unnamed"))).name.partition("-")[0]


def version_of(distribution: Distribution) -> str:
    """A package's version, empty if its METADATA lacks it."""
    try:
        version = distribution.version
    except Exception:
        return ""
    return version if isinstance(version, str) else ""
