"""What the metrics of survival share: pairs that can be compared, weights against censoring, how far times reach.

Pairs are those of an event and a case that is known to have had it later: one with a later time, or censored at the
same. Weights are those of inverse probability of censoring, with the censoring of the evaluated cases themselves, just
before an event: an event at t is seen if the case would have been censored at t or later. Contains no component.
Source: Harrell et al. 1982, Evaluating the Yield of Medical Tests, doi:10.1001/jama.1982.03320430047030; Uno et al.
2011, doi:10.1002/sim.4154.
"""
# Axes: N cases, R columns of weights, H horizons.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fusionkit_plugins.blocks.kaplan_meier import censoring
from pydantic import Field, PositiveFloat

from fusionkit.api import Bools, Config, Floats, Outcomes, SurvivalColumn, ratio

_BEYOND, _FEWEST = 0.1, 5
_ROWS = 512


class UntilConfig(Config):
    """The option of metrics that compare cases up to some time."""

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


def survivals(outcomes: Outcomes) -> Survivals:
    """The cases of a head as metrics need them; without a risk of its own that is 1 - survival at the last horizon."""
    time, event = outcomes.targets.T
    risk = 1 - outcomes.predictions[:, -1] if outcomes.risk is None else outcomes.risk
    return Survivals(np.array([float(name) for name in outcomes.classes]), time, np.asarray(event == 1), risk,
                     outcomes.predictions)


def concordance(risk: Floats, time: Floats, event: Bools, own: Floats, weights: Floats) -> Floats:
    """The share of comparable pairs in the right order, equal risks half: `own` weighs the event, `weights` the other.

    *Shapes*: (N,) and (N, R) to (R,), NaN without a pair.
    """
    right, every = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    events = np.flatnonzero(event)
    for start in range(0, len(events), _ROWS):
        rows = events[start:start + _ROWS]
        pairs = (time[rows, None] < time) | ((time[rows, None] == time) & ~event)
        order = (risk[rows, None] > risk) + 0.5 * (risk[rows, None] == risk)
        right += np.einsum("nr,nr->r", own[rows], (pairs * order) @ weights)
        every += np.einsum("nr,nr->r", own[rows], pairs.astype(np.float64) @ weights)
    return ratio(right, every)


def of_events(time: Floats, event: Bools, weights: Floats, power: int = 1) -> Floats:
    """The weight of each event against censoring, weights / G(t-)^power, 0 for other cases: (N, R)."""
    seen = censoring(time, event, weights).before(time)
    counted = weights * event[:, None]
    return np.divide(counted, seen**power, out=np.zeros_like(counted), where=counted > 0)


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
