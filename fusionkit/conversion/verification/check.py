"""Recomputes a recorded case and compares every result, tap and gradient."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit.components.kinds import KINDS
from fusionkit.conversion.name_mapping import RELEASE, Transfer, transfer
from fusionkit.conversion.verification.case import Expected, Fixture
from fusionkit.conversion.verification.components import component_for
from fusionkit.conversion.verification.computed import compute
from fusionkit.conversion.verification.networks import network_for
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.conversion.verification.subject import Subject, wrong
from fusionkit.conversion.verification.tolerances import SUM, Tolerance, tolerance_of
from fusionkit.errors import DataError, Diagnostic, UserError
from fusionkit.registry.lookup import Registry, discover


@dataclass(frozen=True)
class EntryComparison:
    """The comparison of one entry of a file: its largest error, and the tolerance.

    `note` is the reason if there is no comparison.
    """

    entry: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is within the tolerance; an entry that cannot be compared is not counted as a failure."""
        return bool(self.note) or self.error <= self.tolerance


@dataclass(frozen=True)
class FixtureCheck:
    """The comparisons of one fixture."""

    fixture: str
    target: str
    rows: tuple[EntryComparison, ...]

    @property
    def ok(self) -> bool:
        """Whether something was compared and all of it is within the tolerance."""
        return any(not row.note for row in self.rows) and all(row.ok for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The comparisons as plain data; an error that is not a number is null."""
        return {"fixture": self.fixture, "target": self.target, "ok": self.ok, "rows": [
            {"entry": row.entry, "error": row.error if np.isfinite(row.error) else None, "tolerance": row.tolerance,
             "ok": row.ok, "note": row.note} for row in self.rows]}


def check(target: str, path: str | Path, *, options: Sequence[str] = (), release: str = RELEASE,
          tolerance: float | None = None, registry: Registry | None = None) -> FixtureCheck:
    """Compare a component, or a graph, with a fixture file.

    `options` are `name=value` for a component, and as in `--set` for a graph. `tolerance` replaces all bounds.

    Raises: GraphError or DataError if the fixture or the component cannot be used.
    """
    fixture = read_fixture(Path(path))
    subject = _subject(target, fixture, registry or discover(), release, options)
    _fill(subject, fixture)
    bounds = tolerance_of(fixture) if tolerance is None else Tolerance(tolerance, tolerance, tolerance, relative=False)
    return FixtureCheck(fixture.name, target, tuple(_compare(subject, fixture, bounds)))


def _subject(target: str, fixture: Fixture, registry: Registry, release: str, sets: Sequence[str]) -> Subject:
    """A component by its id, else a graph by name or path."""
    kind, dot, _ = target.partition(".")
    if dot and kind in KINDS and not Path(target).exists():
        return component_for(registry.load(target), fixture, release, sets, registry)
    return network_for(target, fixture, registry, release, sets)


def _fill(subject: Subject, fixture: Fixture) -> None:
    """Fill every parameter; the release's remaining parameters go to `fixture.rest`.

    Raises: DataError with `wrong-parameters` for parameters that are missing, of another size, or unused.
    """
    report = transfer(subject.parts, fixture.parameters, fixture.kept)
    prefixes = tuple(fixture.meta.get("unused_key_prefixes", ()))
    fixture.rest = fixture.without(set(report.used.values()))
    spare = [name for name in report.unexpected if not name.startswith(prefixes)] if prefixes else report.unexpected
    if fixture.shapes == {} or (fixture.shapes is None and subject.replays):
        report.missing.clear()  # the release computes these results without parameters, and so must a replay
    found = [_fault(label, names) for label, names in _faults(report, [] if subject.replays else spare) if names]
    if found:
        raise DataError(found)


def _faults(report: Transfer, spare: list[str]) -> Iterator[tuple[str, list[str]]]:
    yield "parameters of the component that the fixture does not fill", report.missing
    yield "parameters of the fixture that do not fit", report.misfits
    yield "parameters of the fixture that nothing here uses", spare


def _fault(label: str, names: Sequence[str]) -> Diagnostic:
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return Diagnostic("wrong-parameters", f"{label}: {', '.join(names[:6])}{more}",
                      fix="correct `names`, `layout`, `unused` or `read` of the Release, or give options by --with")


def _compare(subject: Subject, fixture: Fixture, bounds: Tolerance) -> Iterator[EntryComparison]:
    try:
        values = compute(subject, fixture)
    except UserError:
        raise
    except Exception as error:
        raise wrong(f"{fixture.name} cannot be run", "fix the component, or its `replay`",
                    f"{type(error).__name__}: {error} ({_place(error)})") from error
    for one in fixture.expected:
        yield from _rows(one, values.get((one.role, one.name)), bounds, fixture)


def _place(error: BaseException) -> str:
    """Where an exception was raised: the innermost frame in fusionkit or a plugin."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"


def _rows(one: Expected, value: Tensor | None, bounds: Tolerance, fixture: Fixture) -> Iterator[EntryComparison]:
    bound = bounds.of(one)
    note = _why_not(one, value, fixture)
    if note:
        yield EntryComparison(one.entry, float("nan"), bound, note)
        return
    if value is None:
        yield EntryComparison(one.entry, float("inf"), bound)
        return
    given = value.detach().to("cpu", torch.float64).numpy()
    if [n for n in given.shape if n != 1] != [n for n in one.shape if n != 1]:
        raise wrong(f"{one.entry} is {list(one.shape)} in the fixture and {list(given.shape)} here",
                    "correct the options, or the tap")
    flat = given.reshape(-1)
    recorded = one.array.astype(np.float64).reshape(-1)
    yield EntryComparison(one.entry, _largest((flat[:: one.stride] if one.stride else flat) - recorded), bound)
    if one.stride:
        total, size = one.sums
        off = max(abs(flat.sum() - total), abs(np.abs(flat).sum() - size))
        yield EntryComparison(f"{one.entry} sums", float(off / max(size, 1e-30)), SUM)


def _why_not(one: Expected, value: Tensor | None, fixture: Fixture) -> str:
    """Why a recorded result is not compared; '' if it is."""
    entries = {other.entry for other in fixture.expected}
    if one.role == "tap" and value is None:
        return "not compared: the Release has no such tap"
    if one.entry.endswith("32") and f"{one.entry[:-2]}64" in entries and value is None:
        return "not compared: dominated by rounding errors; its float64 form is compared"
    if one.entry.replace("after/", "after_unbiased/") in entries - {one.entry}:
        return "not compared: its unbiased form is compared"
    return ""


def _largest(difference: NDArray[Any]) -> float:
    """The largest absolute error; NaN counts as a mismatch."""
    if difference.size == 0:
        return 0.0
    largest = float(np.abs(difference).max())
    return largest if np.isfinite(largest) else float("inf")
