"""What a run keeps of its training cases for later evaluations, such as cut points of risk: written, read, given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit.components.training_outcomes import TrainingOutcomes
from fusionkit.errors import DataError, Diagnostic
from fusionkit.evaluation.predictions import collect
from fusionkit.files import read_json, write_json
from fusionkit.inference.head_result import HeadResult, ResultHead

_FITTED_ON = "training cases"


def keeps(heads: Sequence[ResultHead]) -> list[ResultHead]:
    """The heads whose task keeps something."""
    return [head for head in heads if head.declared_task.method.keeps]


def write_training_outcomes(folder: Path, results: Mapping[str, HeadResult], patients: Sequence[str] | None) -> None:
    """A file for each name that a task keeps, such as groups.json, from the results for all training cases.

    Each head's part says on how many cases and patients it was fitted, and has a digest of their predictions.
    """
    files: dict[str, dict[str, Any]] = {}
    for name, result in results.items():
        use = result.valid & result.known
        method = result.head.declared_task.method
        if not method.keeps or not use.any():
            continue
        owners = None if patients is None else {owner for owner, used in zip(patients, use, strict=True) if used}
        outcomes = collect(result.head.declared_task, result.head.names, result.targets[use], result.values[use],
                           head=name)
        about = {"fitted_on": _FITTED_ON, "cases": outcomes.cases, "patients": None if owners is None else len(owners),
                 "predictions": _digest(result.values[use])}
        for key, kept in method.keep(outcomes).items():
            files.setdefault(key, {})[name] = {**about, **kept}
    for key, heads in files.items():
        write_json(_path(folder, key), {f"fusionkit-{key}": 1, "heads": heads})


def read_training_outcomes(folder: Path, heads: Sequence[ResultHead]) -> dict[str, Mapping[str, Any]]:
    """What the run in a folder keeps, by head and name; runs of earlier versions keep nothing.

    Raises: DataError with `bad-record`.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for head in keeps(heads):
        for key in head.declared_task.method.keeps:
            path = _path(folder, key)
            if not path.exists():
                continue
            try:
                found[head.name] = {**found.get(head.name, {}), key: read_json(path)["heads"][head.name]}
            except (OSError, ValueError, KeyError, TypeError) as problem:
                raise _unreadable(path, problem) from None
        try:
            one = np.zeros((1, len(head.names)))
            head.declared_task.method.words(one, head.names, TrainingOutcomes((found.get(head.name, {}),)))
        except Exception as problem:  # a plugin may raise anything for a file that was edited
            raise _unreadable(folder, problem) from None
    return found


def forget_training_outcomes(folder: Path, heads: Sequence[ResultHead]) -> None:
    """Remove what was kept, which was of other networks."""
    for path in _paths(folder, heads):
        path.unlink(missing_ok=True)


def has_training_outcomes(folder: Path, heads: Sequence[ResultHead]) -> bool:
    """Whether the run keeps everything that its tasks ask for."""
    return all(path.exists() for path in _paths(folder, heads))


def with_training_outcomes(results: Mapping[str, HeadResult], kept: Mapping[str, Mapping[str, Any]]
                           ) -> dict[str, HeadResult]:
    """The results of a run with what it keeps."""
    return {name: replace(result, training=TrainingOutcomes((kept[name],), np.zeros(len(result.values), dtype=np.int64))
                          if name in kept else None) for name, result in results.items()}


def _paths(folder: Path, heads: Sequence[ResultHead]) -> Iterator[Path]:
    yield from {_path(folder, key): None for head in heads for key in head.declared_task.method.keeps}


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"


def _digest(values: Any) -> str:
    return hashlib.blake2b(np.ascontiguousarray(values, dtype=np.float64).tobytes(), digest_size=8).hexdigest()


def _unreadable(path: Path, problem: Exception) -> DataError:
    return DataError(Diagnostic("bad-record", f"{str(path)!r} cannot be read", why=f"{type(problem).__name__}: "
                                f"{problem}", fix="restore it, or train again"))
