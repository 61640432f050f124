"""Answers as plain data: what heads say of a case, and refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusionkit.errors import Diagnostic
from fusionkit.inference.head_result import HeadResult
from fusionkit.runs.results import predicted_at, rows_of
from fusionkit.serving.case import ReadCase
from fusionkit.serving.results import of_row


def answer(name: str, uncertainty: str | None, results: Mapping[str, HeadResult], row: int, case: ReadCase
           ) -> dict[str, Any]:
    """The answer to a request; `row` is the place of its case among the results."""
    own = {head: of_row(result, row) for head, result in results.items()}
    header, rows = rows_of(own, ["case"])
    return {"network": name, "uncertainty_method": uncertainty,
            "heads": {head: _head(result) for head, result in own.items()},
            "absent": list(case.absent), "warnings": [found.as_json() for found in case.warnings],
            "row": dict(zip(header[1:], rows[0][1:], strict=True))}


def _head(result: HeadResult) -> dict[str, Any]:
    """One head: nothing but `valid: false` where all of its inputs are absent."""
    if not result.valid[0]:
        return {"task": result.head.task, "valid": False}
    names, method = result.head.names, result.head.declared_task.method
    predicted = method.predicted(result.values, names) if result.thresholds is None else predicted_at(result)
    made: dict[str, Any] = {"task": result.head.task, "valid": True,
                            "predicted": None if predicted is None else predicted[0],
                            "values": _numbers(dict(zip(method.columns(names), result.values[0], strict=False))),
                            "uncertainty": _numbers({key: values[0] for key, values in result.measures.items()}),
                            "details": _numbers({key: values[0] for key, values in result.details.items()})}
    if result.thresholds is not None:
        made["thresholds"] = _numbers(dict(zip(names[-result.thresholds.shape[1]:], result.thresholds[0], strict=True)))
    found = result.calibrated
    if found is not None and found.values is not None:
        made["calibrated"] = _numbers(dict(zip(names, found.values[0], strict=True)))
    if found is not None and found.sets is not None and found.sets.ndim == 2:
        made["set"] = [name for name, inside in zip(names, found.sets[0], strict=True) if inside]
    if found is not None and found.bounds is not None:
        made["bounds"] = {name: [_number(bound) for bound in pair]
                          for name, pair in zip(names, found.bounds[0], strict=True)}
    return made


def _numbers(found: Mapping[str, Any]) -> dict[str, float | None]:
    return {key: _number(value) for key, value in found.items()}


def _number(value: Any) -> float | None:
    """A number with the digits of the prediction table; None where it is not finite, which JSON cannot say."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def refusal(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """A refusal: the same findings as those of `predict`, with code, message, why and fix."""
    return {"error": diagnostics[0].code, "diagnostics": [found.as_json() for found in diagnostics]}
