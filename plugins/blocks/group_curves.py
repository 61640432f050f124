"""Kaplan-Meier's curves of groups by risk, with the tests between them, for a figure. Contains no component."""
# Axes: N cases, M marks.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.chi_squared import chi_squared_p
from fusionkit_plugins.blocks.cox_fit import cox_fit
from fusionkit_plugins.blocks.kaplan_meier import BoundedCurve
from fusionkit_plugins.blocks.risk_groups import NAMES, first_of_patients, groups_of, log_rank

from fusionkit.api import Bools, Floats, GroupCurve, GroupCurves, Ints, Outcomes

_FEWEST, _MARKS, _NORMAL = 5, 5, 1.959963984540054


def group_curves(outcomes: Outcomes) -> list[GroupCurves]:
    """Two groups and three, cut where the training cases are; none where the run keeps no cut points.

    Of several cases of a patient the first is drawn. A curve ends where fewer than 5 cases are at risk.
    """
    made = []
    first = first_of_patients(outcomes)
    time, event = outcomes.targets[first, 0], outcomes.targets[first, 1] == 1
    last = np.sort(time)[-_FEWEST] if len(time) >= _FEWEST else 0.0
    marks = np.linspace(0, last, _MARKS)
    for count, names in NAMES.items():
        every = groups_of(outcomes, count)
        if every is None or not last:
            return []
        group = every[first]
        parts = [(name, group == number) for number, name in enumerate(names) if (group == number).any()]
        curves = tuple(_curve(name, time[own], event[own], marks) for name, own in parts)
        notes = _notes(time, event, group, count)
        if not first.all():
            notes.append(f"the first case of each of {int(first.sum())} patients")
        cut = "the median risk" if count == 2 else "the tertiles of the risks"
        made.append(GroupCurves(f"{count} groups, cut at {cut} of the training cases", curves, marks, tuple(notes)))
    return made


def _curve(name: str, time: Floats, event: Bools, marks: Floats) -> GroupCurve:
    found = BoundedCurve.of(time, event)
    enough = found.at_risk >= _FEWEST
    steps = enough & (found.events > 0)
    at_risk: Ints = (time[:, None] >= marks).sum(axis=0)
    return GroupCurve(name, found.times[steps], found.share[steps], found.low[steps], found.high[steps],
                      float(found.times[enough].max(initial=0.0)), np.sort(time[~event]), at_risk)


def _notes(time: Floats, event: Bools, group: Ints, count: int) -> list[str]:
    """The log-rank test and, of two groups, the hazard ratio."""
    once = np.ones((len(time), 1))
    statistic = float(log_rank(time, event, group, count, once)[0])
    if np.isnan(statistic):
        return []
    notes = [f"log-rank p {chi_squared_p(statistic, count - 1):.2g}"]
    if count == 2:
        fit = cox_fit((group == 1).astype(np.float64)[None, :, None], time, event, once)
        slope, error = float(fit.coefficients[0, 0]), float(fit.information[0, 0, 0]) ** -0.5
        if np.isfinite(slope):
            low, high = np.exp([slope - _NORMAL * error, slope + _NORMAL * error])
            notes.append(f"hazard ratio {np.exp(slope):.2f} (95 % interval {low:.2f} to {high:.2f})")
    return notes
