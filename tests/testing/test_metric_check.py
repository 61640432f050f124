"""The check `metric` of the conformance kit: metrics with one fault each, and the message that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio
from fusionkit.testing.conformance import check_component, checks_of


def found(of_column: Callable[[Any, Floats], Any], better: str = "lower", **methods: Any) -> tuple[str, str]:
    """Result and text of the check of a metric with this measure."""
    made = type("Made", (), {"__init__": lambda self, config: None, "__doc__": "Made.",
                             "of_column": lambda self, column, weights: of_column(column, weights), **methods})
    metric = Metric("made", Config, made, label="made", tasks=("multiclass", "multilabel"), better=better)
    finding, = check_component(metric, ["metric"])
    return finding.result, finding.seen


def brier(column: ClassColumn, weights: Floats) -> Floats:
    return ratio((column.score - column.truth) ** 2 @ weights, weights.sum(axis=0))


def in_place(column: ClassColumn, weights: Floats) -> Floats:
    weights /= weights.sum(axis=0)
    return (column.score - column.truth) ** 2 @ weights


def test_a_metric_that_holds() -> None:
    assert found(brier)[0] == "ok"
    assert checks_of(Metric("it", Config, object, label="it", tasks=("regression",), better="lower")) == (
        "declaration", "options", "metric")


@pytest.mark.parametrize(("measure", "better", "says"), [
    (lambda column, weights: np.mean((column.score - column.truth) ** 2), "lower", "gives shape []"),
    (lambda column, weights: np.full(weights.shape[1], np.mean(column.score)), "lower", "the same cases written out"),
    (lambda column, weights: brier(column, weights) * weights.shape[1], "lower", "beside other columns"),
    (lambda column, weights: ratio(column.score[:1] @ weights[:1], weights[:1].sum(axis=0)), "lower", "written out"),
    (in_place, "lower", "it changes what it is given"),
    (lambda column, weights: (column.score - column.truth) ** 2 @ weights / weights.sum(axis=0), "lower",
     "it fails for 1 equal cases of weight 0"),
    (brier, "higher", "perfect predictions give 0, others"),
    (lambda column, weights: column.scores @ weights, "lower", "AttributeError"),
])
def test_each_fault_is_named(measure: Callable[[Any, Floats], Any], better: str, says: str) -> None:
    result, seen = found(measure, better)
    assert result == "failed" and says in seen, seen


def test_reasons_and_the_measure_of_all_classes_are_checked_too() -> None:
    assert "why_undefined says 'never'" in found(brier, why_undefined=lambda self, column: "never")[1]

    def of_all(self: object, outcomes: Outcomes, weights: Floats) -> Floats:
        return np.full(weights.shape[1], outcomes.predictions[0, 0])

    assert "of_all, multiclass with 4 columns" in found(brier, of_all=of_all)[1]
