"""Time to an event that not every case has had: the probability of survival at horizons, and a rank by risk.

Source: the curve without features is that of Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452.
"""
# Axes: N cases, M cases with a target, H horizons.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from fusionkit_plugins.blocks import survival_bound
from fusionkit_plugins.blocks.group_curves import group_curves
from fusionkit_plugins.blocks.horizons import median_and_mean
from fusionkit_plugins.blocks.kaplan_meier import StepCurve, censoring, kaplan_meier, survival_with_bounds
from fusionkit_plugins.blocks.net_benefit_of_survival import net_benefits
from fusionkit_plugins.blocks.risk_groups import GROUPS, NAMES, cut_points, risk_groups
from fusionkit_plugins.blocks.survival import KEPT
from fusionkit_plugins.blocks.survival_calibration import smooth_risks, too_few

from fusionkit.api import (
    Agreement,
    Bools,
    Config,
    Floats,
    GroupCurves,
    Kept,
    NetBenefit,
    Outcomes,
    PartFault,
    SurvivalColumn,
    TargetFault,
    TargetPart,
    Task,
    TaskMethod,
    TrainingOutcomes,
)

_FEW, _FEW_TESTED, _MANY, _MOSTLY = 10, 5, 100, 0.9
_RISING = 1e-5
_THRESHOLDS = np.arange(5, 51) / 100


class Survival(TaskMethod):
    """Targets are time and event, 1 or 0; a case without one of them, or without follow-up, is left out.

    A higher risk is worse, and means an earlier event. Of several networks the probabilities are averaged. The rank of
    a case is the log hazard of the head, or, of several networks, 1 minus the probability at the last horizon; median
    and mean time are then found with a constant hazard between the horizons.
    """

    keeps = (GROUPS, KEPT)
    by_fold = ("uno", "harrell")
    bound = "lower"

    def of(self, names: Sequence[str]) -> str:
        """What figures over all horizons are called."""
        return "all cases"

    def counts(self, targets: Any, weights: Floats, names: Sequence[str]) -> dict[str, float]:
        """Censored cases and events."""
        events = float((targets[:, 1] * weights).sum())
        return {"censored": float(weights.sum()) - events, "event": events}

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """survival@12 for the horizon 12."""
        return tuple(f"survival@{name}" for name in names)

    def told(self, targets: Floats, names: Sequence[str]) -> dict[str, list[str]]:
        """Two columns: the time, and the event as 0 or 1."""
        return {"time": [f"{time:.6g}" for time in targets[:, 0]], "event": [f"{event:g}" for event in targets[:, 1]]}

    def details(self, values: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """The risk, the median, NaN where the last probability is above one half, and the mean time until then."""
        times = np.array([float(name) for name in names])
        median, mean = median_and_mean(times, values)
        return {"risk": 1 - values[:, -1], "median": median, f"rmst@{times[-1]:g}": mean}

    def keep(self, outcomes: Outcomes) -> Mapping[str, Mapping[str, Any]]:
        """Cut points of the risk, 1 - S at the last horizon, and Kaplan-Meier's curves of events and of censoring."""
        time, event = outcomes.targets.T
        once, events = np.ones((outcomes.cases, 1)), int(event.sum())
        return {GROUPS: {"events": events, "of": f"1 - survival@{outcomes.classes[-1]}",
                         "cut_points": cut_points(1 - outcomes.predictions[:, -1])},
                KEPT: {"events": events, "survival": _plain(kaplan_meier(time, event, once)),
                       "uncensored": _plain(censoring(time, event, once))}}

    def words(self, values: Floats, names: Sequence[str], training: TrainingOutcomes) -> dict[str, list[str]]:
        """The group of each case by risk, low or high."""
        group = risk_groups(training, values, 2)
        return {} if group is None else {"group": [NAMES[2][number] for number in group]}

    def check(self, values: Floats) -> str | None:
        """Probabilities that do not rise from horizon to horizon."""
        if values.size and not bool(((values >= -_RISING) & (values <= 1 + _RISING)).all()):
            return "it gave probabilities of survival outside 0 to 1"
        if bool((np.diff(values, axis=1) > _RISING).any()):
            return "it gave probabilities of survival that rise with time"
        return None

    def prior(self, targets: Floats, names: Sequence[str]) -> Floats | None:
        """Kaplan-Meier's estimate at each horizon."""
        return kaplan_meier(targets[:, 0], targets[:, 1], np.ones((len(targets), 1)))(
            np.array([float(name) for name in names]))[:, 0]

    def judge(self, targets: Floats, blank: Bools) -> tuple[Bools, list[TargetFault]]:
        """Times below 0 and events that are neither 0 nor 1 are wrong, and so is an event at 0."""
        time, event = targets.T
        half = blank.any(axis=1) & ~blank.all(axis=1)
        strange = ~np.isnan(event) & (event != 0) & (event != 1)
        start, unfollowed = (time == 0) & (event == 1), (time == 0) & (event == 0)
        found = [
            TargetFault("negative-time", _rows(time < 0), "time", "{cell} is a time before the start",
                        "are times before the start", fix="correct the time, or exclude the case"),
            TargetFault("bad-event", _rows(strange), "event", "{cell} is neither 0 nor 1", "are neither 0 nor 1",
                        "each case has had the event, or is censored; further numbers are competing risks: see "
                        "'causes'", "for competing risks add 'causes: [NAME, NAME]' to the target and use "
                        "'head.cause_cox'; else say what each means: 'values: {2: 0}', 1 for the event, 0 for none, "
                        "null for not known"),
            TargetFault("event-at-start", _rows(start), "time", "{cell} is the time of an event at the start",
                        "are times of events at the start", "nobody was at risk before it",
                        "exclude the case, or give the time in a finer unit"),
            TargetFault("no-follow-up", _rows(unfollowed), "time", "{cell} is no follow-up: the case is left out",
                        "are no follow-up: the cases are left out", severity="warning"),
            *(TargetFault("half-target", _rows(half & blank[:, place]), key, f"{{cell}} is blank, and the {other} is "
                          "known: the case is left out", f"are blank where the {other} is known: the cases are left "
                          "out", severity="warning")
              for place, key, other in ((0, "time", "event"), (1, "event", "time"))),
        ]
        present: Bools = ~np.isnan(targets).any(axis=1) & (time > 0) & ~strange
        return present, [fault for fault in found if len(fault.rows)]

    def judge_words(self, words: Mapping[str, str], names: Sequence[str]) -> str | None:
        """That it has several causes."""
        return "it has several 'causes', and its head one event: use 'head.cause_cox'" if words.get("causes") else None

    def judge_parts(self, train: Sequence[TargetPart], others: Sequence[TargetPart], names: Sequence[str]
                    ) -> list[PartFault]:
        """Training cases without an event, horizons beyond their last event, few events anywhere."""
        found: list[PartFault] = []
        for part in train:
            events = part.targets[part.targets[:, 1] == 1, 0]
            if not len(events):
                return [PartFault("no-event", f"there is no event in {part.name}", "event",
                                  f"its {len(part.targets)} cases are all censored", "check the column and the split")]
            late = [name for name in names if float(name) >= events.max()]
            if late:
                usable = [name for name in names if float(name) < events.max()]
                found.append(PartFault(
                    "horizon-too-late", f"the horizon {late[0]} is not before the last event of {part.name}, at "
                    f"{events.max():g}", "time", "survival is not known there",
                    f"let the horizons of the head end at {usable[-1]}" if usable else
                    f"choose horizons before {events.max():g}"))
                break
            if len(events) < _FEW and not found:
                found.append(PartFault("few-events", f"there are {len(events)} events in {part.name}", "event",
                                       "a network learns from events", severity="warning"))
        found += [PartFault("few-events", f"there {'is' if count == 1 else 'are'} {count} event{'s' * (count != 1)} in "
                            f"{part.name}", "event", "figures on it are uncertain", severity="warning") if count else
                  PartFault("no-event-in-part", f"there is no event in {part.name}", "event",
                            "figures on it are undefined" + ", and the last epoch counts as the best" * (
                                part.name == "validation"), severity="warning")
                  for part in others if (count := int(part.targets[:, 1].sum())) < _FEW_TESTED]
        return [*found, *_inverted(train[0])]

    def informs(self, targets: Any) -> bool:
        """Where there is an event: without one nothing can be compared."""
        return bool((targets[:, 1] == 1).any())

    def strata(self, targets: Floats, present: Bools, groups: Sequence[str], parts: int) -> list[str]:
        """By event, and by thirds of the time of events where every stratum has a group for each part."""
        happened = present & (targets[:, 1] == 1)
        by_event = ["" if not there else "event" if event else "censored"
                    for there, event in zip(present, happened, strict=True)]
        if not happened.any():
            return by_event
        cuts = np.quantile(targets[happened, 0], [1 / 3, 2 / 3])
        fine = [f"{name} {int((time > cuts).sum())}" if name == "event" else name
                for name, time in zip(by_event, targets[:, 0], strict=True)]
        sizes = {stratum: len({group for group, own in zip(groups, fine, strict=True) if own == stratum})
                 for stratum in set(fine) - {""}}
        return fine if min(sizes.values()) >= parts else by_event

    def measured(self, outcomes: Outcomes) -> Iterator[SurvivalColumn]:
        """The cases at each horizon."""
        time, event = outcomes.targets.T
        kept = Kept()
        everyone: Bools = np.ones(outcomes.cases, dtype=np.bool_)
        for index, name in enumerate(outcomes.classes):
            survival = outcomes.predictions[:, index]
            risk = 1 - survival if outcomes.risk is None else outcomes.risk
            yield SurvivalColumn(name, everyone, float(name), time, event == 1, survival, risk, outcomes.training,
                                 kept)

    def case_errors(self, values: Floats, targets: Floats, names: Sequence[str]) -> tuple[str, Floats]:
        """The squared distance of survival from what happened, the mean of the horizons at which that is known."""
        gone = (targets[:, :1] <= _times(names)) & (targets[:, 1:] == 1)
        return mean_square(values, ~gone, gone | (targets[:, :1] > _times(names)))

    def bound_scores(self, values: Floats, targets: Floats, names: Sequence[str], follow_up: Floats | None
                     ) -> tuple[Floats, Floats]:
        """Survival at the event, weighed for censoring unless it is known until when each case could be followed."""
        return survival_bound.scores(_times(names), values, targets, follow_up)

    def bound_note(self, names: Sequence[str], follow_up: bool) -> str:
        """A lower bound on the time, as far as the last horizon."""
        rests = (f"from cases that could be followed until {names[-1]}" if follow_up else
                 "if censoring is independent of the event and of the inputs")
        return f"lower bound on the time, at most {names[-1]}, {rests}"

    def bounds(self, values: Floats, names: Sequence[str], limit: float) -> Floats:
        """The time at which survival falls to the threshold."""
        return survival_bound.bound(_times(names), values, limit)

    def bound_misses(self, found: Floats, targets: Floats, weights: Floats) -> Floats:
        """Events before the bound, weighed for censoring."""
        return survival_bound.misses(found, targets, weights)

    def agreements(self, outcomes: Outcomes) -> Sequence[Agreement]:
        """At each horizon the share with the event, in thirds by predicted risk, with 100 events in fifths."""
        groups = 5 if outcomes.targets[:, 1].sum() >= _MANY else 3
        return [_agreement(column, groups) for column in self.measured(outcomes)] if outcomes.cases >= groups else []

    def group_curves(self, outcomes: Outcomes) -> Sequence[GroupCurves]:
        """Kaplan-Meier's curves of two and of three groups by risk."""
        return group_curves(outcomes)

    def benefits(self, outcomes: Outcomes) -> Sequence[NetBenefit]:
        """At each horizon that cases are followed beyond."""
        return [NetBenefit(f"event until {column.name}", _THRESHOLDS, partial(net_benefits, column, _THRESHOLDS))
                for column in self.measured(outcomes) if (column.time > column.horizon).any()]

    def example_names(self, count: int) -> tuple[str, ...]:
        """The first whole numbers."""
        return tuple(str(number) for number in range(1, count + 1))

    def example(self, names: Sequence[str], cases: int, generator: Any) -> Any:
        """Times around the horizons, half of the cases with an event."""
        horizons = [float(name) for name in names]
        return np.stack([generator.uniform(0.3 * horizons[0], 2 * horizons[-1], cases), np.arange(cases) % 2], axis=1)

    def guess(self, targets: Any, names: Sequence[str], skill: float, generator: Any) -> Floats:
        """Survival that falls around the true time, or around another one."""
        noise = generator.normal(size=(len(targets), 1))
        past = np.log(np.maximum(targets[:, :1], 1e-9) / np.array([float(name) for name in names]))
        survival: Floats = 1 / (1 + np.exp(-10 * (skill * past + (1 - skill) * noise)))
        # Whatever the skill, survival does not rise with time.
        return np.minimum.accumulate(survival, axis=1)


def mean_square(values: Floats, happened: Bools, known: Bools) -> tuple[str, Floats]:
    """What `case_errors` gives of probabilities, what happened, and where that is known, all (N, K)."""
    count = known.sum(axis=1)
    total = (np.square(values - happened) * known).sum(axis=1)
    return "squared distance, mean of horizons", np.divide(total, count, out=np.full(len(values), np.nan),
                                                           where=count > 0)


def _times(names: Sequence[str]) -> Floats:
    return np.array([float(name) for name in names])


def _agreement(column: SurvivalColumn, groups: int) -> Agreement:
    risk = 1 - column.survival
    group = (risk[:, None] > np.quantile(risk, np.arange(1, groups) / groups)).sum(axis=1)
    rows = []
    for number in np.unique(group).tolist():
        own = group == number
        survival, low, high = survival_with_bounds(column.time[own], column.event[own], column.horizon)
        rows.append((risk[own].mean(), 1 - survival, 1 - high, 1 - low, own.sum()))
    predicted, observed, low, high, count = np.array(rows, dtype=np.float64).T
    smooth = None
    if too_few(column) is None:
        order = np.argsort(risk)
        smooth = risk[order], smooth_risks(column, np.ones((len(risk), 1)))[order, 0]
    return Agreement(f"event until {column.name}", predicted, observed, low, high, count.astype(np.int64), smooth, risk)


def _plain(curve: StepCurve) -> dict[str, list[float]]:
    """The times at which a curve falls, and its values from each on."""
    shares = curve.after[:, 0]
    falls = np.diff(shares, prepend=1.0) != 0
    return {"times": curve.times[falls].tolist(), "shares": shares[falls].tolist()}


def _rows(mask: Bools) -> list[int]:
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


def _inverted(train: TargetPart) -> list[PartFault]:
    time, event = train.targets[:, 0], train.targets[:, 1]
    if event.mean() <= _MOSTLY or not event[time == time.max()].all():
        return []
    return [PartFault("event-looks-inverted", f"{event.mean():.0%} of the cases in {train.name} have the event, the "
                      "last of all too", "event", "is 1 the event? Some tables write 1 for censored",
                      "if they do, add 'values: {0: 1, 1: 0}' to the target", severity="warning")]


component = Task(
    "survival", Config, Survival, category="survival", results="values",
    cells={"time": "number", "event": "label"}, words=("unit",), main="uno", shown=("uno", "harrell"), stratified=True,
    calibrated=False,
)
