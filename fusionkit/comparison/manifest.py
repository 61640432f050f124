"""The manifest of a comparison's folder: the same comparison resumes from it, another one is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fusionkit.comparison.candidates import ComparisonPlan
from fusionkit.errors import DataError, Diagnostic
from fusionkit.files import read_json, write_json
from fusionkit.planning.write_graph import written
from fusionkit.runs.lock import holds_other_files
from fusionkit.training.settings import RESUMABLE

IDENTITY = "comparison.json"
_SAME = {"node": "the node", "data": "the data description", "cases": "the table of cases",
         "training": "the training settings"}


def claim_comparison(folder: Path, comparison: ComparisonPlan, repeats: int) -> None:
    """Claim a folder for this comparison, or check that it belongs to it.

    Candidates and repeats may be added to a comparison but not removed, so that no candidate is dropped after its
    result is known.
    Raises: DataError with `folder-not-empty`, or `comparison-differs`, every difference.
    """
    now = _identity(comparison, repeats)
    path = folder / IDENTITY
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or holds_other_files(folder)):
            raise DataError(Diagnostic("folder-not-empty", f"{str(folder)!r} is not the folder of a comparison",
                                       fix="give another -o"))
        write_json(path, now)
        return
    differences = _differences(_read(path), now)
    if differences:
        raise DataError([Diagnostic("comparison-differs", f"{str(folder)!r} contains another comparison: {difference}",
                                    fix="give another -o, or repeat the original command")
                         for difference in differences])
    write_json(path, now)


def _identity(comparison: ComparisonPlan, repeats: int) -> dict[str, Any]:
    cohort = comparison.cohort
    rows = json.dumps([cohort.table.columns, cohort.table.rows], ensure_ascii=False)
    settings = comparison.settings.model_dump(mode="json", exclude={*RESUMABLE} - {"epochs", "patience"})
    networks = {each.name: {"folder": each.folder,
                            "graph": _graph(written(each.plan))} for each in comparison.candidates}
    plain: dict[str, Any] = json.loads(json.dumps({
        "fusionkit-comparison": 1, "node": comparison.node, "data": cohort.description.to_plain(),
        "cases": hashlib.sha256(rows.encode()).hexdigest(), "training": settings, "repeats": repeats,
        "networks": networks}, ensure_ascii=False))
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


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The differences, as text."""
    found = [f"{words} {'was ' + repr(before.get(key)) + ' and is ' + repr(now[key]) if key == 'node' else 'differs'}"
             for key, words in _SAME.items() if before.get(key) != now[key]]
    if before.get("repeats", 0) > now["repeats"]:
        found.append(f"it has {before['repeats']} repeats, and now {now['repeats']} are requested")
    for name, network in before["networks"].items():
        if name not in now["networks"]:
            found.append(f"it includes {name}, which is not requested now")
        elif network != now["networks"][name]:
            found.append(f"the graph of {name} differs")
    return found
