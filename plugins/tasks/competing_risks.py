"""Time to the first of several events: the share of cases with each cause until horizons, its cumulative incidence.

Source: the incidence without features is that of Aalen and Johansen 1978, An Empirical Transition Matrix for
Non-Homogeneous Markov Chains.
"""
# Axes: N cases, M cases with a target, C causes, H horizons, K = C H columns.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.competing import CauseColumn, causes_of, incidence_observed, split_name
from fusionkit_plugins.tasks.survival import Survival, mean_square

from fusionkit.api import Agreement, Bools, Config, Floats, Outcomes, PartFault, TargetFault, TargetPart, Task

_RISING = 1e-5


class CompetingRisks(Survival):
    """Targets are time and the number of the cause, from 1 in the order of `causes`, or 0 for a censored case.

    What is left out and refused is as for `task.survival`. Of several networks the incidences are averaged. The lower
    bound is on the time of the first event of any cause: that of one cause is not seen where another came first.
    """

    def counts(self, targets: Any, weights: Floats, names: Sequence[str]) -> dict[str, float]:
        """Censored cases, and those of each cause."""
        return {name: float(((targets[:, 1] == number) * weights).sum())
                for number, name in enumerate(("censored", *causes_of(tuple(names))))}

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """incidence:relapse@12 for the cause relapse at 12."""
        return tuple(f"incidence:{name}" for name in names)

    def told(self, targets: Floats, names: Sequence[str]) -> dict[str, list[str]]:
        """Two columns: the time, and the name of the cause, or 0."""
        words = ("0", *causes_of(tuple(names)))
        return {"time": [f"{time:.6g}" for time in targets[:, 0]],
                "event": [words[int(number)] if 0 <= number < len(words) else f"{number:g}"
                          for number in targets[:, 1]]}

    def details(self, values: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """Nothing beside the incidences."""
        return {}

    def check(self, values: Floats) -> str | None:
        """Incidences outside 0 to 1."""
        return None if bool(((values >= -_RISING) & (values <= 1 + _RISING)).all()) else (
            "it gave incidences outside 0 to 1")

    def prior(self, targets: Floats, names: Sequence[str]) -> Floats | None:
        """Aalen and Johansen's estimate of each cause at each horizon."""
        causes = causes_of(tuple(names))
        places = [split_name(name) for name in names]
        found = incidence_observed(targets[:, 0], targets[:, 1], len(causes), np.array([at for _, at in places]))
        return np.array([found[causes.index(cause), place] for place, (cause, _) in enumerate(places)])

    def judge(self, targets: Floats, blank: Bools) -> tuple[Bools, list[TargetFault]]:
        """As of survival, with whole numbers for causes."""
        event = targets[:, 1]
        whole = (event > 1) & (event == np.floor(event)) & np.isfinite(event)
        present, found = super().judge(np.column_stack([targets[:, 0], np.where(whole, 1, event)]), blank)
        return present, [replace(fault, one="{cell} is not the number of a cause", many="are not numbers of causes",
                                 why="0 is a case that is censored, and 1, 2 and so on are the causes in the order of "
                                 "'causes'", fix="add 'values: {relapse: 1, dead: 2}' to the target, with 0 for none")
                         if fault.code == "bad-event" else fault for fault in found]

    def judge_words(self, words: Mapping[str, str], names: Sequence[str]) -> str | None:
        """Causes of the target that are not those of the head."""
        mine = causes_of(tuple(names))
        return None if not mine or tuple(words.get("causes", "").split("|")) == mine else (
            f"its causes are {words.get('causes', '').replace('|', ', ')}, and those of its head {', '.join(mine)}")

    def judge_parts(self, train: Sequence[TargetPart], others: Sequence[TargetPart], names: Sequence[str]
                    ) -> list[PartFault]:
        """As of survival for any event; training cases without an event of a cause, and numbers without a cause."""
        causes = causes_of(tuple(names))
        for part in (*train, *others) if causes else ():
            largest = int(part.targets[:, 1].max(initial=0))
            if largest > len(causes):
                return [PartFault("bad-event", f"{part.name} have the event {largest}, and there are {len(causes)} "
                                  "causes", "event", fix="name all of them in 'causes' of target and head")]
        for part in train:
            for number, cause in enumerate(causes, 1):
                if not (part.targets[:, 1] == number).any():
                    return [PartFault("no-event", f"there is no event {number}, {cause!r}, in {part.name}", "event",
                                      "its hazard cannot be learned", "check the column and the split")]
        found = super().judge_parts([_any(part) for part in train], [_any(part) for part in others], _horizons(names))
        return [fault for fault in found if fault.code != "event-looks-inverted"]

    def informs(self, targets: Any) -> bool:
        """Where there is an event."""
        return bool((targets[:, 1] > 0).any())

    def strata(self, targets: Floats, present: Bools, groups: Sequence[str], parts: int) -> list[str]:
        """As of survival, by any event."""
        return super().strata(_with_any(targets), present, groups, parts)

    def measured(self, outcomes: Outcomes) -> Iterator[CauseColumn]:
        """Each cause at each horizon."""
        time, number = outcomes.targets.T
        causes, everyone = causes_of(outcomes.classes), np.ones(outcomes.cases, dtype=np.bool_)
        for index, name in enumerate(outcomes.classes):
            (cause, horizon), incidence = split_name(name), outcomes.predictions[:, index]
            yield CauseColumn(name, everyone, horizon, time, number == causes.index(cause) + 1, 1 - incidence,
                              incidence, happened=number > 0)

    def case_errors(self, values: Floats, targets: Floats, names: Sequence[str]) -> tuple[str, Floats]:
        """The squared distance of incidences from what happened, the mean of those of which that is known."""
        causes, places = causes_of(tuple(names)), [split_name(name) for name in names]
        before = targets[:, :1] <= np.array([at for _, at in places])
        number = np.array([causes.index(cause) + 1 for cause, _ in places])
        return mean_square(values, before & (targets[:, 1:] == number), ~before | (targets[:, 1:] > 0))

    def bound_scores(self, values: Floats, targets: Floats, names: Sequence[str], follow_up: Floats | None
                     ) -> tuple[Floats, Floats]:
        """As of survival, that of no event of any cause."""
        return super().bound_scores(_event_free(values, names), _with_any(targets), _horizons(names), follow_up)

    def bound_note(self, names: Sequence[str], follow_up: bool) -> str:
        """A lower bound on the time of the first event."""
        told = super().bound_note(_horizons(names), follow_up)
        return told.replace("the time,", "the time of the first event of any cause,")

    def bounds(self, values: Floats, names: Sequence[str], limit: float) -> Floats:
        """The time at which the probability of no event falls to the threshold."""
        return super().bounds(_event_free(values, names), _horizons(names), limit)

    def bound_misses(self, found: Floats, targets: Floats, weights: Floats) -> Floats:
        """First events before the bound, weighed for censoring."""
        return super().bound_misses(found, _with_any(targets), weights)

    def agreements(self, outcomes: Outcomes) -> Sequence[Agreement]:
        """In thirds by predicted incidence, the share that was observed by Aalen and Johansen, without bounds."""
        causes = causes_of(outcomes.classes)
        return [_agreement(column, outcomes.targets[:, 1], causes.index(split_name(column.name)[0]), len(causes))
                for column in self.measured(outcomes)] if outcomes.cases >= 3 else []

    def example_names(self, count: int) -> tuple[str, ...]:
        """Two causes, or one where the number is odd."""
        causes = 2 if count % 2 == 0 else 1
        return tuple(f"c{cause}@{at}" for cause in range(1, causes + 1) for at in range(1, count // causes + 1))

    def example(self, names: Sequence[str], cases: int, generator: Any) -> Any:
        """Times around the horizons, with all causes and censored cases in turn."""
        horizons = [split_name(name)[1] for name in names]
        causes = len(causes_of(tuple(names)))
        return np.stack([generator.uniform(0.3 * min(horizons), 2 * max(horizons), cases),
                         np.arange(cases) % (causes + 1)], axis=1)

    def guess(self, targets: Any, names: Sequence[str], skill: float, generator: Any) -> Floats:
        """Incidences that rise around the true time, of the true cause the more."""
        causes = causes_of(tuple(names))
        noise = generator.normal(size=(len(targets), 1))
        at = np.array([split_name(name)[1] for name in names])
        number = np.array([causes.index(split_name(name)[0]) + 1 for name in names])
        past = np.log(np.maximum(targets[:, :1], 1e-9) / at)
        share = (1 - skill) / len(causes) + skill * (targets[:, 1:] == number)
        found: Floats = share / (1 + np.exp(10 * (skill * past + (1 - skill) * noise)))
        return found


def _any(part: TargetPart) -> TargetPart:
    return TargetPart(part.name, _with_any(part.targets))


def _with_any(targets: Floats) -> Floats:
    """Times, and 1 for an event of any cause."""
    return np.column_stack([targets[:, 0], np.minimum(targets[:, 1], 1)])


def _horizons(names: Sequence[str]) -> list[str]:
    """The horizons of all causes, rising."""
    return [f"{at:g}" for at in sorted({split_name(name)[1] for name in names})]


def _event_free(values: Floats, names: Sequence[str]) -> Floats:
    """The probability of no event of any cause until each horizon: incidences (N, K) to (N, H)."""
    at = np.array([split_name(name)[1] for name in names])
    return np.stack([1 - values[:, at == horizon].sum(axis=1) for horizon in np.unique(at)], axis=1)


def _agreement(column: CauseColumn, causes: Floats, place: int, count: int) -> Agreement:
    group = (column.risk[:, None] > np.quantile(column.risk, [1 / 3, 2 / 3])).sum(axis=1)
    rows = []
    for number in np.unique(group).tolist():
        own = group == number
        followed = bool((column.time[own] >= column.horizon).any())
        observed = incidence_observed(column.time[own], causes[own], count, np.array([column.horizon]))[place, 0]
        rows.append((column.risk[own].mean(), observed if followed else np.nan, np.nan, np.nan, own.sum()))
    predicted, observed, low, high, size = np.array(rows, dtype=np.float64).T
    return Agreement(f"{split_name(column.name)[0]} until {column.horizon:g}", predicted, observed, low, high,
                     size.astype(np.int64))


component = Task(
    "competing_risks", Config, CompetingRisks, category="survival", results="values",
    cells={"time": "number", "event": "label"}, words=("unit", "causes"), main="cause_c",
    shown=("cause_c", "cause_brier"), stratified=True, calibrated=False,
)
