"""The manifest of a comparison's folder: the same comparison resumes from it, another one is refused.

It also has what was to be shown, with the time at which that was declared, before anything was trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.comparison.claim import Claim
from fusionkit.comparison.tuning import Tuning
from fusionkit.errors import DataError, Diagnostic
from fusionkit.files import read_json, write_json
from fusionkit.planning.write_graph import written
from fusionkit.runs.lock import holds_other_files
from fusionkit.training.settings import RESUMABLE

IDENTITY = "comparison.json"
_SAME = {"node": "the node", "data": "the data description", "cases": "the table of cases",
         "training": "the training settings", "tuning": "the tuning"}


def claim_comparison(folder: Path, comparison: ComparisonPlan, repeats: int, seeds: int = 1,
                     tuning: Tuning | None = None) -> None:
    """Claim a folder for this comparison, or check that it belongs to it.

    Candidates, repeats and seeds may be added to a comparison but not removed, so that no candidate is dropped after
    its result is known.
    Raises: DataError with `folder-not-empty`, or `comparison-differs`, every difference.
    """
    now = _identity(comparison, repeats, seeds, tuning)
    path = folder / IDENTITY
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or holds_other_files(folder)):
            raise DataError(Diagnostic("folder-not-empty", f"{str(folder)!r} is not the folder of a comparison",
                                       fix="give another -o"))
        write_json(path, now)
        return
    before = _same(path, now)
    write_json(path, {**now, "declared": before.get("declared", [])})


def check_comparison(folder: Path, comparison: ComparisonPlan, repeats: int, seeds: int, tuning: Tuning | None) -> None:
    """Check that a folder belongs to this comparison, as another process has claimed it.

    Raises: DataError with `comparison-differs`, every difference: a file may have changed since.
    """
    _same(folder / IDENTITY, _identity(comparison, repeats, seeds, tuning))


def _same(path: Path, now: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a folder, which is of this comparison."""
    before = _read(path)
    differences = _differences(before, now)
    if differences:
        raise DataError([Diagnostic("comparison-differs",
                                    f"{str(path.parent)!r} contains another comparison: {difference}",
                                    fix="give another -o, or repeat the original command")
                         for difference in differences])
    return before


def declare(
    folder: Path, claim: Claim | None, metrics: Mapping[str, str], trained: int
) -> tuple[Claim | None, Sequence[Mapping[str, Any]]]:
    """Record what is to be shown in the manifest; returns the claim that holds and all that were declared, in order.

    `metrics` has the metric of each head, `trained` is how many repeats of candidates have finished. Without a claim
    the last declared one holds: it is not dropped once results are known.
    """
    manifest = read_json(folder / IDENTITY)
    before = manifest.pop("declared", [])
    if claim is not None:
        entry = {**asdict(claim), "metrics": dict(metrics)}
        if not before or any(before[-1].get(key) != value for key, value in entry.items()):
            text = json.dumps([entry, manifest], sort_keys=True, ensure_ascii=False)
            before = [*before, {**entry, "declared": datetime.now(UTC).isoformat(timespec="seconds"),
                                "trained": trained, "sha256": hashlib.sha256(text.encode()).hexdigest()}]
    write_json(folder / IDENTITY, {**manifest, "declared": before})
    return (Claim(before[-1]["kind"], before[-1]["margin"]) if before else None), before


def _identity(comparison: ComparisonPlan, repeats: int, seeds: int, tuning: Tuning | None) -> dict[str, Any]:
    cohort = comparison.cohort
    rows = json.dumps([cohort.table.columns, cohort.table.rows], ensure_ascii=False)
    settings = comparison.settings.model_dump(mode="json", exclude={*RESUMABLE} - {"epochs", "patience"})
    networks = {each.name: {"folder": each.folder, "graph": _graph(written(each.plan)),
                            **({"modality_dropout": each.dropout} if each.dropout else {})}
                for each in comparison.candidates}
    plain: dict[str, Any] = json.loads(json.dumps({
        "fusionkit-comparison": 1, "node": comparison.node, "data": cohort.description.to_plain(),
        "cases": hashlib.sha256(rows.encode()).hexdigest(), "training": settings, "repeats": repeats, "seeds": seeds,
        "networks": networks, "tuning": asdict(tuning) if tuning else None}, ensure_ascii=False))
    return plain


def _graph(graph: dict[str, Any]) -> dict[str, Any]:
    """A written graph without the training settings, which are stored separately."""
    return {key: value for key, value in graph.items() if key not in ("training", "description")}


def _read(path: Path) -> dict[str, Any]:
    try:
        before = read_json(path)
        if before["fusionkit-comparison"] != 1 or not isinstance(before["networks"], dict):
            raise ValueError("it is of another version")
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(Diagnostic("comparison-differs", f"{str(path)!r} cannot be read",
                                   why=f"{type(problem).__name__}: {problem}", fix="give another -o")) from None
    assert isinstance(before, dict)
    return before


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences, as text."""
    found = [f"{words} {'was ' + repr(before.get(key)) + ' and is ' + repr(now[key]) if key == 'node' else 'differs'}"
             for key, words in _SAME.items() if before.get(key) != now[key]]
    found += [f"it has {before[key]} {key}, and now {now[key]} {'is' if now[key] == 1 else 'are'} requested"
              for key in ("repeats", "seeds") if before.get(key, 1) > now[key]]
    for name, network in before["networks"].items():
        if name not in now["networks"]:
            found.append(f"it includes {name}, which is not requested now")
        elif network != now["networks"][name]:
            found.append(f"the graph of {name} differs")
    return found
