"""Thresholds of a run: chosen on results for cases that it was not trained on, and applied to results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fusionkit.errors import Diagnostic, UserError
from fusionkit.evaluation.chosen_metrics import metrics_named
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.threshold_rules import ThresholdRule
from fusionkit.evaluation.thresholds import FIGURES, Thresholds, choose_for_head, decides
from fusionkit.inference.head_result import HeadResult
from fusionkit.planning.resolve import Use
from fusionkit.registry.lookup import Registry
from fusionkit.runs.results import method_record


def choose_thresholds(results: Mapping[str, HeadResult], patients: Sequence[str] | None, rule: ThresholdRule,
                      registry: Registry, *, fitted_on: str, method: Use | None, tta: Sequence[str]) -> Thresholds:
    """The thresholds of every head with two classes or labels, on results for held-out cases.

    Raises: UserError with `no-threshold` where the rule finds none, or no head is decided by one.
    """
    heads = {}
    metrics = metrics_named(",".join(FIGURES), registry, "--threshold")
    for name, result in results.items():
        use = result.valid & result.known
        task = result.head.declared_task
        if task.keys or task.results == "values" or not use.any():
            continue
        owners = None if patients is None else [who for who, kept in zip(patients, use, strict=True) if kept]
        outcomes = collect(task, result.head.names, result.targets[use], result.values[use], head=name,
                           patients=owners)
        if decides(outcomes):
            heads[name] = choose_for_head(outcomes, rule, metrics)
    if not heads:
        raise UserError(Diagnostic("no-threshold", "no head of this run is decided by a threshold",
                                   why="it is for heads of two classes, and for labels, with known targets",
                                   fix="use its predictions as they are"))
    return Thresholds(rule=rule.text, fitted_on=fitted_on, uncertainty=method_record(method), heads=heads,
                      tta=tuple(tta))


def decided(results: Mapping[str, HeadResult], thresholds: Thresholds | None) -> dict[str, HeadResult]:
    """The results with the thresholds of the run."""
    heads = thresholds.heads if thresholds else {}
    return {name: replace(result, thresholds=np.tile(heads[name].values, (len(result.values), 1)))
            if name in heads else result for name, result in results.items()}
