"""What the metrics of survival share: weights against censoring, how far times reach, what is told without a value.

Weights are those of inverse probability of censoring, with the censoring of the evaluated cases themselves, just before
an event: an event at t is seen if the case would have been censored at t or later. Contains no component.
Source: Uno et al. 2011, doi:10.1002/sim.4154; Graf et al. 1999, Statistics in Medicine 18.
"""
# Axes: N cases, R columns of weights, H horizons, A times asked.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from fusionkit_plugins.blocks.concordance import concordance as concordance
from fusionkit_plugins.blocks.kaplan_meier import StepCurve, censoring
from pydantic import Field, PositiveFloat

from fusionkit.api import Bools, Config, Floats, Outcomes, SurvivalColumn, SurvivalCurves, TrainingOutcomes

_BEYOND, _FEWEST = 0.1, 5
NOT_KEPT = "the run keeps no outcomes of its training cases"
KEPT = "training-survival"


class CensoringConfig(Config):
    """The option of metrics that weigh cases against censoring."""

    censoring: Literal["own", "train"] = Field(
        "own", description="Whose censoring the weights are of: own, of the evaluated cases, anew in each resample; "
                           "train, of the training cases, as the run keeps it.")


class UntilConfig(CensoringConfig):
    """The options of metrics that compare cases up to some time."""

    until: PositiveFloat | None = Field(None, description="The time up to which cases are compared; without it the "
                                        "largest horizon beyond which a tenth of the cases, and five, are followed.")


@dataclass(frozen=True)
class Survivals:
    """The cases of a survival head: times and events, the risk of each, survival at the horizons, all double.

    *Shapes*: `horizons` (H,), `survival` (N, H), the others (N,).
    """

    horizons: Floats
    time: Floats
    event: Bools
    risk: Floats
    survival: Floats

    @property
    def last_followed(self) -> float | None:
        """The largest horizon beyond which a tenth of the cases, and five, are followed; None if there is none."""
        beyond = (self.time[:, None] > self.horizons).sum(axis=0)
        usable = self.horizons[beyond >= max(_FEWEST, _BEYOND * len(self.time))]
        return float(usable.max()) if len(usable) else None

    @property
    def log_hazard(self) -> Floats:
        """The risk where that is a log hazard, else log(-log S) at the last horizon, which is one up to a constant."""
        last = np.clip(self.survival[:, -1], 1e-10, 1 - 1e-10)
        found: Floats = np.log(-np.log(last))
        clear = (last > 0.05) & (last < 0.95)
        same = clear.sum() > 1 and np.ptp((self.risk - found)[clear]) < 0.01
        return self.risk if same else found


def survivals(outcomes: Outcomes) -> Survivals:
    """The cases of a head as metrics need them.

    Without a risk of its own, as for networks of several folds, whose log hazards have no common zero, that is 1 minus
    survival at the largest horizon that is followed enough, or the last.
    """
    time, event = outcomes.targets.T
    found = Survivals(np.array([float(name) for name in outcomes.classes]), time, np.asarray(event == 1),
                      np.zeros(0), outcomes.predictions)
    risk = outcomes.risk
    if risk is None:
        last = found.last_followed
        place = -1 if last is None else int(np.searchsorted(found.horizons, last))
        risk = 1 - outcomes.predictions[:, place]
    return Survivals(found.horizons, time, found.event, risk, outcomes.predictions)


def curves_of(outcomes: Outcomes) -> SurvivalCurves:
    """The curves of the network, or those through the probabilities at the horizons."""
    return outcomes.curves or SurvivalCurves(np.array([float(name) for name in outcomes.classes]),
                                             outcomes.predictions, steps=False)


def kept_curves(training: TrainingOutcomes | None, name: str) -> list[StepCurve]:
    """A curve of the training cases of each run: `survival`, or `uncensored`, those who are not censored yet."""
    return [StepCurve(np.array(record[KEPT][name]["times"]), np.array(record[KEPT][name]["shares"])[:, None])
            for record in (training.records if training else ()) if KEPT in record]


def training_share(training: TrainingOutcomes | None, name: str, asked: Floats, cases: int, *, before: bool = False
                   ) -> Floats | None:
    """Of the training cases, the share of such a curve at some times or just before them: (A,) to (N, A)."""
    curves = kept_curves(training, name)
    if training is None or not curves:
        return None
    return training.mean([(curve.before if before else curve)(asked)[:, 0] for curve in curves], cases)


@dataclass(frozen=True)
class Followed:
    """How likely cases are followed: just before their own times (N, R or 1), and at a horizon (N or 1, R or 1)."""

    own: Floats
    at: Callable[[float], Floats]


def followed(time: Floats, event: Bools, weights: Floats, censored_as: str, training: TrainingOutcomes | None
             ) -> Followed:
    """From the censoring of the cases themselves, or of the training cases. NaN where these are not known."""
    if censored_as == "own":
        curve = censoring(time, event, weights)
        return Followed(curve.before(time), lambda at: curve(np.array([at])))
    times, place = np.unique(time, return_inverse=True)
    shares = training_share(training, "uncensored", times, len(time), before=True)
    if shares is None:
        nothing = np.full((len(time), 1), np.nan)
        return Followed(nothing, lambda at: nothing)

    def at_horizon(at: float) -> Floats:
        found = training_share(training, "uncensored", np.array([at]), len(time))
        assert found is not None
        return found

    return Followed(shares[np.arange(len(time)), place][:, None], at_horizon)


def of_events(seen: Followed, event: Bools, weights: Floats, power: int = 1) -> Floats:
    """The weight of each event against censoring, weights / G(t-)^power, 0 for other cases: (N, R).

    NaN where the case could not have been followed so far.
    """
    counted = weights * event[:, None]
    shares = np.broadcast_to(seen.own, counted.shape)
    found = np.divide(counted, shares**power, out=np.zeros_like(counted), where=(counted > 0) & (shares > 0))
    found[(counted > 0) & ~(shares > 0)] = np.nan
    return found


def followed_at(column: SurvivalColumn, weights: Floats, censored_as: str) -> Followed:
    """The same for the cases at a horizon, found once for all horizons and metrics."""
    return column.kept.once(f"followed {censored_as}", weights, lambda: followed(
        column.time, getattr(column, "happened", column.event), weights, censored_as, column.training))


def none_beyond(column: SurvivalColumn) -> str | None:
    """That no case is followed beyond a horizon."""
    if (column.time > column.horizon).any():
        return None
    return f"follow-up ends at {column.time.max():g}"


def no_event_until(column: SurvivalColumn) -> str | None:
    """That no case has the event until a horizon."""
    return None if (column.event & (column.time <= column.horizon)).any() else f"no event until {column.horizon:g}"


def no_event(outcomes: Outcomes) -> str | None:
    """That no case has the event."""
    return None if (outcomes.targets[:, 1] == 1).any() else "no case has the event"


def no_training_censoring(training: TrainingOutcomes | None, censored_as: str, until: float) -> str | None:
    """That weights by the censoring of the training cases are asked for, and not known up to a time."""
    if censored_as == "own":
        return None
    curves = kept_curves(training, "uncensored")
    if not curves:
        return f"{NOT_KEPT}; without 'censoring: train' the evaluated cases' own censoring is used"
    ends = [float(curve.times[curve.after[:, 0] <= 0][0]) for curve in curves if (curve.after <= 0).any()]
    if not ends or min(ends) > until:
        return None
    return f"follow-up of the training cases ends at {min(ends):g}"
