"""Calibration, selective prediction, and the coverage and size of prediction sets.

Every measure is a function of the weights of the cases, (N, R) for R resamples, as in `bootstrap`; with all weights 1
it is the value itself. docs/evaluation.md defines each.

Axes: N cases, K classes, labels or outputs, R resamples.

Source: negative log-likelihood and calibration error by confidence: Guo et al. 2017, arXiv 1706.04599; risk against
coverage and the area under it: Geifman, Uziel, El-Yaniv 2019, arXiv 1805.08206.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fusionkit.arrays import Bools, Floats, Ints
from fusionkit.components.outcomes import Outcomes
from fusionkit.components.weighted import CALIBRATION_BINS, CALIBRATION_EDGES, pairs_in_order, ratio
from fusionkit.evaluation.bootstrap import Weighted, intervals_of
from fusionkit.evaluation.calibration import Calibrated
from fusionkit.evaluation.calibration.temperature import log_of
from fusionkit.evaluation.formatting import MetricResult, joined, short
from fusionkit.evaluation.metrics import NO_CASES, MetricValue

ENTROPY = "predictive_entropy"
DRAWN = {ENTROPY: "entropy", "mutual_information": "mutual information"}
LABELS = {
    "nll": "negative log-likelihood", "brier": "Brier score, all classes", "ece": "calibration error, predicted class",
    "auroc": "AUROC for errors", "aurc": "area under risk-coverage", "coverage": "coverage", "size": "mean size",
    "single": "share with one", "empty": "share empty", "width": "mean width",
    "bound": "mean of the bound",
}
# These rank the cases exactly as another measure does, or are a part of one.
_LEFT_OUT = {"confidence", "normalised_entropy", "expected_entropy"}
_POINTS = 201
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Risk:
    """The error rate (`risk`) when only the most confident cases are kept, by the fraction kept (`coverage`).

    `by` is the measure that ranks the cases. *Shape*: each (points,), coverage rising.
    """

    by: str
    coverage: Floats
    risk: Floats


@dataclass(frozen=True, slots=True)
class Trust:
    """The measures of one head by their path, such as ('before', 'nll') or ('errors', MEASURE, 'auroc').

    `alpha` is the share of misses that the prediction sets were made for, None without sets.
    """

    figures: Mapping[Path, MetricResult] = field(default_factory=dict)
    risks: tuple[Risk, ...] = ()
    alpha: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Measures nested by their paths, and the risk-coverage curves."""
        found: dict[str, Any] = {}
        for path, metric in self.figures.items():
            inner = found
            for part in path[:-1]:
                inner = inner.setdefault(part, {})
            inner[path[-1]] = metric.to_json()
        if self.alpha is not None:
            found["sets"] = {"alpha": self.alpha, "target": short(1 - self.alpha), **found.get("sets", {})}
        curves = [{"by": risk.by, "coverage": [short(value) for value in risk.coverage],
                   "risk": [short(value) for value in risk.risk]} for risk in self.risks]
        return {**found, "risk_coverage": curves}


def assess(outcomes: Outcomes, measures: Mapping[str, Floats], calibrated: Calibrated | None, *, seed: int,
           resamples: int) -> Trust:
    """All measures of one head with their intervals; those of `measures` (N,) and `calibrated` if given.

    Both contain the cases of `outcomes`, in the same order.
    """
    if not outcomes.cases:
        return Trust()
    figures: dict[Path, Weighted] = {}
    risks: list[Risk] = []
    if outcomes.form != "values":
        before = _proper_scores(outcomes, outcomes.predictions)
        figures |= {("before", name): figure for name, figure in before.items()}
        if calibrated is not None and calibrated.values is not None:
            after = _proper_scores(outcomes, calibrated.values)
            figures |= {("after", name): figure for name, figure in after.items()}
        errors = _errors(outcomes)
        for name, score in _scores(outcomes, measures).items():
            figures["errors", name, "auroc"] = partial(pairs_in_order, score, errors)
            figures["errors", name, "aurc"] = _aurc(score, errors)
            risks += [_risk(name, score, errors)] if name in DRAWN else []
    if calibrated is not None:
        figures |= {("sets", *path): figure for path, figure in _sets(outcomes, calibrated).items()}
    return Trust(_measured(outcomes, figures, seed, resamples), tuple(risks),
                 None if calibrated is None else calibrated.choices.alpha)


def _measured(outcomes: Outcomes, figures: Mapping[Path, Weighted], seed: int, resamples: int
              ) -> dict[Path, MetricResult]:
    once = np.ones((outcomes.cases, 1))
    values = {path: float(figure(once)[0]) for path, figure in figures.items()}
    intervals = intervals_of(outcomes, figures, values, seed=seed, resamples=resamples)
    return {path: joined(MetricValue(value, _why(path) if np.isnan(value) else None), intervals[path])
            for path, value in values.items()}


def _why(path: Path) -> str:
    if path[0] == "errors":
        return "no case is wrong, or every one is"
    if path[-1] == "width":
        return "an interval is unbounded"
    return f"no case is {path[2]!r}" if "per_class" in path else NO_CASES


def _mean(values: Floats, rows: Bools | None = None) -> Weighted:
    """The mean of a per-case value, over the cases in `rows`."""
    def figure(weights: Floats) -> Floats:
        weights = weights if rows is None else weights[rows]
        return ratio(values @ weights, weights.sum(axis=0))
    return figure


def _mean_of(figures: Sequence[Weighted]) -> Weighted:
    """The mean of a measure over labels or outputs; those without a case are left out."""
    return lambda weights: _defined_mean(np.stack([figure(weights) for figure in figures]))


def _defined_mean(values: Floats) -> Floats:
    there = ~np.isnan(values)
    return ratio(np.where(there, values, 0).sum(axis=0), there.sum(axis=0).astype(np.float64))


def confidence_bin(confidence: Floats) -> Ints:
    """The bin of each confidence: 15 of equal width, each open below and closed above."""
    return np.clip(np.searchsorted(CALIBRATION_EDGES, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)


def _gap(confidence: Floats, correct: Bools, rows: Bools | None = None) -> Weighted:
    within = confidence_bin(confidence) == np.arange(CALIBRATION_BINS)[:, None]
    gaps = within * (confidence - correct)

    def figure(weights: Floats) -> Floats:
        weights = weights if rows is None else weights[rows]
        return ratio(np.abs(gaps @ weights).sum(axis=0), weights.sum(axis=0))
    return figure


def _proper_scores(outcomes: Outcomes, predictions: Floats) -> dict[str, Weighted]:
    """Negative log-likelihood, Brier score and calibration error of probabilities (N, K)."""
    if outcomes.form == "classes":
        return _of_classes(predictions, outcomes.targets.astype(np.int64), None)
    each = []
    for index in range(len(outcomes.classes)):
        known = ~np.isnan(outcomes.targets[:, index])
        chance = predictions[known, index]
        each.append(_of_classes(np.stack([1 - chance, chance], 1), outcomes.targets[known, index].astype(np.int64),
                                known))
    return {name: _mean_of([label[name] for label in each]) for name in each[0]}


def _of_classes(predictions: Floats, truth: Ints, rows: Bools | None) -> dict[str, Weighted]:
    right = np.eye(predictions.shape[1])[truth]
    correct = predictions.argmax(axis=1) == truth
    return {
        "nll": _mean(-log_of(predictions)[np.arange(len(truth)), truth], rows),
        "brier": _mean(((predictions - right) ** 2).sum(axis=1), rows),
        "ece": _gap(predictions.max(axis=1, initial=0), correct, rows),
    }


def _errors(outcomes: Outcomes) -> Bools:
    """Which cases are wrong; with labels, a case is wrong if any known label is. *Shape*: (N,)."""
    if outcomes.form == "classes":
        return np.not_equal(outcomes.predicted_class(), outcomes.targets)
    wrong = ~np.isnan(outcomes.targets) & (outcomes.labelled() != (outcomes.targets == 1))
    return np.asarray(wrong.any(axis=1), dtype=np.bool_)


def _scores(outcomes: Outcomes, measures: Mapping[str, Floats]) -> dict[str, Floats]:
    """The measures that rank the cases by uncertainty: the entropy, and those of the uncertainty method."""
    own = {name: values for name, values in measures.items()
           if name not in _LEFT_OUT and not name.endswith(("_within", "_between")) and "variance_" not in name}
    return {ENTROPY: _entropy(outcomes)} | own


def _entropy(outcomes: Outcomes) -> Floats:
    chances = outcomes.predictions
    entropy: Floats = -(chances * log_of(chances)).sum(axis=1)
    if outcomes.form == "labels":
        entropy = (entropy - ((1 - chances) * log_of(1 - chances)).sum(axis=1)) / chances.shape[1]
    return entropy


def _aurc(score: Floats, errors: Bools) -> Weighted:
    """The mean, over all coverages, of the error rate among the most confident cases; ties are one step."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))

    def figure(weights: Floats) -> Floats:
        ranked = weights[order]
        counted = np.add.reduceat(ranked, starts, axis=0)
        wrong = np.add.reduceat(ranked * errors[order][:, None], starts, axis=0)
        risk = ratio(np.cumsum(wrong, axis=0), np.cumsum(counted, axis=0))
        return ratio((np.nan_to_num(risk) * counted).sum(axis=0), counted.sum(axis=0))
    return figure


def _risk(by: str, score: Floats, errors: Bools) -> Risk:
    order = np.argsort(score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    if len(ends) > _POINTS:
        ends = ends[np.linspace(0, len(ends) - 1, _POINTS).round().astype(np.int64)]
    coverage = (ends + 1) / len(score)
    return Risk(by, coverage, np.cumsum(errors[order])[ends] / (ends + 1))


def _sets(outcomes: Outcomes, found: Calibrated) -> dict[Path, Weighted]:
    """Coverage and size of sets or intervals: over all, and by class, label or output."""
    figures: dict[Path, Weighted] = {}
    if found.sets is not None and outcomes.form == "classes":
        truth = outcomes.targets.astype(np.int64)
        figures.update({(name,): figure for name, figure in _of_sets(found.sets, truth, None).items()})
        covered = found.sets[np.arange(len(truth)), truth].astype(np.float64)
        figures.update({("per_class", name, "coverage"): _mean(covered[truth == index], truth == index)
                        for index, name in enumerate(outcomes.classes)})
        return figures
    if found.lower is not None and outcomes.method is not None:
        lower, method = found.lower, outcomes.method
        return {("coverage",): lambda weights: 1 - method.bound_misses(lower, outcomes.targets, weights),
                ("bound",): _mean(lower)}
    parts: dict[str, dict[str, Weighted]] = {}
    for index, name in enumerate(outcomes.classes):
        known = ~np.isnan(outcomes.targets[:, index])
        truth_values = outcomes.targets[known, index]
        if found.sets is not None:
            parts[name] = _of_sets(found.sets[known, index], truth_values.astype(np.int64), known)
        elif found.bounds is not None:
            low, high = found.bounds[known, index].T
            inside = (low <= truth_values) & (truth_values <= high)
            width = np.where(np.isfinite(high - low), high - low, np.nan)
            parts[name] = {"coverage": _mean(inside.astype(np.float64), known), "width": _mean(width, known)}
            if found.empty is not None:
                parts[name]["empty"] = _mean(found.empty[known, index].astype(np.float64), known)
    figures.update({(key,): _mean_of([part[key] for part in parts.values()]) for key in next(iter(parts.values()))})
    if len(parts) > 1:
        figures.update({("per_class", name, key): figure for name, part in parts.items()
                        for key, figure in part.items()})
    return figures


def _of_sets(sets: Bools, truth: Ints, rows: Bools | None) -> dict[str, Weighted]:
    size = sets.sum(axis=1).astype(np.float64)
    return {
        "coverage": _mean(sets[np.arange(len(truth)), truth].astype(np.float64), rows),
        "size": _mean(size, rows),
        "single": _mean((size == 1).astype(np.float64), rows),
        "empty": _mean((size == 0).astype(np.float64), rows),
    }
