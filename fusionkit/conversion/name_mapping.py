"""Maps a release's parameters to ours: names by prefix, layouts by the component; reports every gap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.component import Component
from fusionkit.components.release import Release

RELEASE = "release"
"""The name of the release by a component's own authors."""
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Part:
    """One component of a network: its module, its path, and the prefix of its parameters in the release.

    `path` is '' for a single component; `prefix` is '' if the release's names have none.
    """

    module: nn.Module
    config: Any
    release: Release
    path: str = ""
    prefix: str = ""


@dataclass
class Transfer:
    """What happened to a release's parameters; the lists contain names, ours in `missing`, theirs in the others.

    `used` maps our names to theirs. `kept` are ours that keep their initial values, because theirs do too. `misfits`
    are the reasons why a tensor does not fit.
    """

    used: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def release_of(component: Component, name: str) -> Release | None:
    """The release of a component by name; for an unknown name, that of its own authors or its only one."""
    known = component.reference
    return known.get(name) or known.get(RELEASE) or (next(iter(known.values())) if len(known) == 1 else None)


def counterpart(name: str, names: Mapping[str, str]) -> str | None:
    """The release's name of our parameter `name`, None if no prefix matches.

    `{i}` matches any one part between dots, the same one on both sides. Of several matching prefixes,
    the one with the most parts is used, then the one with the fewest placeholders.
    """
    parts = name.split(".")
    best: tuple[int, int] = (-1, -1)
    found = None
    for count in range(len(parts), -1, -1):
        beginning = ".".join(parts[:count])
        if beginning in names:
            best, found = (count, count), joined(names[beginning], *parts[count:])
            break
    for ours in names:
        if "{" not in ours:
            continue
        places = ours.split(".")
        bound = _bound(places, parts)
        rank = (len(places), sum(map(_is_literal, places)))
        if bound is not None and rank > best:
            best = rank
            theirs = ".".join(bound.get(part, part) for part in names[ours].split("."))
            found = joined(theirs, ".".join(parts[len(places):]))
    return found


def _is_literal(part: str) -> bool:
    return not (part.startswith("{") and part.endswith("}"))


def _bound(beginning: list[str], parts: list[str]) -> dict[str, str] | None:
    """The value of each placeholder, None if the parts do not match."""
    if len(beginning) > len(parts):
        return None
    bound: dict[str, str] = {}
    for wanted, given in zip(beginning, parts, strict=False):
        if (_is_literal(wanted) and wanted != given) or bound.setdefault(wanted, given) != given:
            return None
    return bound


def joined(*parts: str) -> str:
    """The non-empty parts of a name, joined by dots."""
    return ".".join(part for part in parts if part)


def names_of(release: Release, config: Any) -> Mapping[str, str]:
    """The release's name prefixes under these options."""
    return release.names(config) if callable(release.names) else release.names


def pairs(part: Part) -> Iterator[tuple[str, str | None]]:
    """Every entry of the part's state, by its name in the network, and its full name in the release."""
    names = names_of(part.release, part.config)
    for name in part.module.state_dict():
        theirs = counterpart(name, names)
        yield joined(part.path, name), None if theirs is None else joined(part.prefix, theirs)


def converted(part: Part, ours: str, tensor: Tensor) -> Tensor:
    """A tensor of the release in the layout of our parameter `ours`, by its name in the network."""
    if part.release.layout is None:
        return tensor
    return part.release.layout(ours.removeprefix(f"{part.path}.") if part.path else ours, tensor)


def plainly_named(parts: Iterable[Part], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a file under the names that the releases' `names` have, and reasons why that is not possible.

    Of a tensor with two names (`same`) both are there afterwards, even if the file has only one of them.
    """
    found, faults = dict(tensors), []
    for part in parts:
        start = f"{part.prefix}." if part.prefix else ""
        named: dict[str, str] = {}
        for name in [name for name in found if name.startswith(start)]:
            plain = start + part.release.plain(name[len(start):])
            if plain in named:
                faults.append(f"{named[plain]} and {name} would both be {plain}")
            named.setdefault(plain, name)
        given = {plain: found[name] for plain, name in named.items()}
        faults += _twins(part, given)
        found = {name: value for name, value in found.items() if not name.startswith(start)} | given
    return found, faults


def _twins(part: Part, tensors: dict[str, Tensor]) -> Iterator[str]:
    """Adds the second names of tensors, and tells which of them differ."""
    for name in list(tensors):
        second = second_name(part, name)
        if second is not None and not torch.equal(tensors[name], tensors.setdefault(second, tensors[name])):
            yield f"{name} and {second} are one tensor in the release, and differ here"


def second_name(part: Part, name: str) -> str | None:
    """Another name of a tensor of the release, None if it has only this one."""
    start = f"{part.prefix}." if part.prefix else ""
    if not name.startswith(start):
        return None
    second = counterpart(name[len(start):], part.release.same)
    return None if second is None else start + second


def transfer(parts: Iterable[Part], tensors: Mapping[str, Tensor], kept: Iterable[str] = ()) -> Transfer:
    """Set the parts' parameters and buffers from a release's tensors, which are read one at a time.

    `kept` are names of the release whose counterparts are not changed. A missing batch counter is not reported as a
    gap. Nothing is raised; the report lists what is missing, does not fit, or is unexpected.
    """
    parts, kept = list(parts), set(kept)
    report = Transfer()
    asked: set[str] = set()
    for part in parts:
        own = part.module.state_dict()
        for ours, theirs in pairs(part):
            name = ours.removeprefix(f"{part.path}.") if part.path else ours
            target = own[name]
            if name.startswith(part.release.own):
                report.kept.append(ours)
            elif theirs is not None and theirs in kept:
                report.kept.append(ours)
                asked.add(theirs)
            elif theirs is not None and theirs in tensors:
                asked.add(theirs)
                _set(part, ours, theirs, target, tensors[theirs], report=report)
            elif not ours.endswith(COUNTER):
                report.missing.append(f"{ours} ({theirs})" if theirs else ours)
    for name in tensors:
        if name not in asked and not name.endswith(COUNTER):
            (report.unused if any(_is_unused(part, name) for part in parts) else report.unexpected).append(name)
    return report


def _set(part: Part, ours: str, theirs: str, target: Tensor, tensor: Tensor, *, report: Transfer) -> None:
    try:
        value = converted(part, ours, tensor)
    except (RuntimeError, ValueError, IndexError) as error:
        report.misfits.append(f"{theirs} cannot become {ours}: {error}")
        return
    if value.shape != target.shape:
        report.misfits.append(f"{theirs} is {list(value.shape)}, {ours} is {list(target.shape)}")
        return
    with torch.no_grad():
        target.copy_(value)
    report.used[ours] = theirs


def _is_unused(part: Part, name: str) -> bool:
    return second_name(part, name) is not None or any(
        name.startswith(joined(part.prefix, beginning)) for beginning in part.release.unused)
