"""The results of one case among those of several."""

from __future__ import annotations

from dataclasses import replace

from fusionkit.inference.head_result import HeadResult


def of_row(result: HeadResult, row: int) -> HeadResult:
    """The results of one case."""
    one = slice(row, row + 1)
    return replace(
        result, values=result.values[one], valid=result.valid[one], targets=result.targets[one],
        known=result.known[one], measures={key: values[one] for key, values in result.measures.items()},
        details={key: values[one] for key, values in result.details.items()},
        calibrated=result.calibrated and result.calibrated.at(one), curves=result.curves and result.curves.some(one),
        training=result.training and result.training.some(one),
        thresholds=None if result.thresholds is None else result.thresholds[one])
