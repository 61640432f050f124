"""The thresholds of a run: chosen on its validation cases, kept as `threshold.json`, applied to all predictions."""
# Axes: N cases, K labels, or one column for the second of two classes.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import inf, isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from fusionkit.arrays import Floats
from fusionkit.components.outcomes import ClassColumn, Outcomes
from fusionkit.errors import Diagnostic, UserError
from fusionkit.evaluation.bootstrap import Interval, bootstrap, intervals_of
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.formatting import joined, short
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.proportions import proportions, wilson
from fusionkit.evaluation.threshold_rules import ThresholdRule
from fusionkit.files import formatted_json, write_json

THRESHOLD, FORMAT = "threshold.json", "fusionkit-threshold"
FEWEST_OF_A_KIND = 20
"""Below so many positive or negative cases, a searched threshold is told to be unsure."""
FIGURES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1", "mcc", "kappa", "lr_positive", "lr_negative",
           "share_positive")


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LabelThreshold(_Plain):
    """The threshold of one label, or of the second of two classes; `value` None is infinite: no case is positive.

    `low` and `high` are its 95 % interval over resampled cases, None without one or where it is infinite. `figures`
    are those of the cases that it was chosen on.
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    cases: int
    positives: int
    patients: int | None
    figures: dict[str, dict[str, Any]]
    notes: tuple[str, ...] = ()


class HeadThresholds(_Plain):
    """Those of one head; `hash` is that of the predictions and targets that they were chosen on."""

    task: str
    names: tuple[str, ...]
    hash: str
    labels: tuple[LabelThreshold, ...]

    @property
    def values(self) -> Floats:
        """The thresholds, (K,)."""
        return np.array([inf if each.value is None else each.value for each in self.labels])


class Thresholds(_Plain):
    """The thresholds of a run: by which rule, and on which cases of which uncertainty method and views."""

    rule: str
    fitted_on: str
    uncertainty: dict[str, Any] | None
    heads: dict[str, HeadThresholds]
    tta: tuple[str, ...] = ()


def decides(outcomes: Outcomes) -> bool:
    """Whether a head's cases are positive or negative: of two classes, or labels."""
    return outcomes.form == "labels" or outcomes.binary


def choose_for_head(outcomes: Outcomes, rule: ThresholdRule, metrics: Sequence[ChosenMetric], *, seed: int = 0,
                    resamples: int = 1000) -> HeadThresholds:
    """The thresholds of one head, each with its interval and the figures of these cases.

    Raises: UserError with `no-threshold` where the rule finds none.
    """
    columns: list[ClassColumn] = list(outcomes.columns())
    chosen = [_chosen(column, rule) for column in columns]
    decided = replace(outcomes, thresholds=np.tile(np.array(chosen), (outcomes.cases, 1)))
    measured = measure(decided, metrics)
    drawn = bootstrap(decided, measured, seed=seed, resamples=resamples)
    labels = []
    for column, value in zip(decided.columns(), chosen, strict=True):
        own = measured.per_class.get(column.name, measured.overall)
        bounds = drawn.per_class.get(column.name, drawn.overall)
        figures = {key: joined(score, bounds[key]).to_json() for key, score in own.items()}
        _beside(figures, column, outcomes)
        interval = _interval(outcomes, column, rule, value, seed=seed, resamples=resamples)
        labels.append(_label(column, value, figures, interval, rule=rule, outcomes=outcomes))
    digest = sha256(np.ascontiguousarray(outcomes.predictions).tobytes() + outcomes.targets.tobytes()).hexdigest()
    return HeadThresholds(task=outcomes.task, names=outcomes.classes, hash=digest, labels=tuple(labels))


def _chosen(column: ClassColumn, rule: ThresholdRule) -> float:
    value = float(rule.choose(column.score, column.truth, np.ones((len(column.score), 1)))[0]) if len(
        column.score) else float("nan")
    if isnan(value):
        one = "all cases are alike" if column.truth.all() or not column.truth.any() else \
            "no probability reaches it but the lowest, from which all cases are positive"
        raise UserError(Diagnostic("no-threshold", f"{rule.text} finds no threshold for {column.name!r}", why=one,
                                   fix="choose another rule, or give validation cases of both kinds"))
    return value


def _interval(outcomes: Outcomes, column: ClassColumn, rule: ThresholdRule, value: float, *, seed: int,
              resamples: int) -> Interval:
    if not rule.searched:
        return Interval(float("nan"), float("nan"), "fixed: it does not depend on the cases")

    def again(weights: Floats) -> Floats:
        return rule.choose(column.score, column.truth, weights[column.known])

    return intervals_of(outcomes, {"t": again}, {"t": value}, seed=seed, resamples=resamples)["t"]


def _label(column: ClassColumn, value: float, figures: dict[str, dict[str, Any]], interval: Interval, *,
           rule: ThresholdRule, outcomes: Outcomes) -> LabelThreshold:
    positives, cases = int(column.truth.sum()), len(column.truth)
    notes = [] if interval.note is None else [interval.note]
    if rule.searched and min(positives, cases - positives) < FEWEST_OF_A_KIND:
        notes.append(f"{positives} positive and {cases - positives} negative cases: below {FEWEST_OF_A_KIND} of a kind "
                     f"a searched threshold is unsure; probability=C needs no search, for calibrated probabilities")
    bounds = [bound if isfinite(bound) else None for bound in (interval.low, interval.high)]
    patients = None if outcomes.patients is None else len(np.unique(outcomes.patients[column.known]))
    return LabelThreshold(label=column.name, value=value if isfinite(value) else None, low=bounds[0], high=bounds[1],
                          cases=cases, positives=positives, patients=patients, figures=figures, notes=tuple(notes))


def _beside(figures: dict[str, dict[str, Any]], column: ClassColumn, outcomes: Outcomes) -> None:
    """The counts, and Wilson's interval of the proportions where no patient has two cases."""
    counts = column.counts(np.ones((len(column.truth), 1)))[:, 0]
    hit, miss, alarm, rest = (float(count) for count in counts)
    figures["counts"] = {"tp": int(hit), "fp": int(alarm), "fn": int(miss), "tn": int(rest)}
    if outcomes.patients is not None and len(np.unique(outcomes.patients)) < outcomes.cases:
        return
    for key, (above, below) in proportions(hit, miss, alarm, rest).items():
        if below and key in figures:
            figures[key]["wilson"] = [short(bound) for bound in wilson(above, below)]


def write_thresholds(folder: Path, thresholds: Thresholds) -> None:
    """Save the thresholds in the folder of their run."""
    write_json(folder / THRESHOLD, {FORMAT: 1, **thresholds.model_dump(mode="json")})


def read_thresholds(folder: Path, heads: Mapping[str, tuple[str, tuple[str, ...]]]) -> Thresholds | None:
    """Those of a run, None if it has none; `heads` maps the network's heads to task and class names.

    Raises: UserError with `unreadable-threshold`.
    """
    path = folder / THRESHOLD
    if not path.exists():
        return None
    try:
        found = Thresholds.model_validate(formatted_json(path, FORMAT))
        for name, head in found.heads.items():
            if heads.get(name) != (head.task, head.names) or \
                    [each.label for each in head.labels] != list(head.names[-len(head.labels):]):
                raise ValueError(f"it is for another network: its head {name!r} is not that of this run")
    except (OSError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise UserError(Diagnostic("unreadable-threshold", f"cannot read {str(path)!r}", why=why,
                                   fix=f"choose it again: fusionkit calibrate {folder} --threshold youden")) from None
    return found
