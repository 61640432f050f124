"""A smooth curve of the observed against the predicted probability of an event until a horizon.

A Cox regression, with ties by Efron, of the event on a restricted cubic spline of log(-log(1 - p)), p the predicted
probability, with knots at its quantiles 0.1, 0.5 and 0.9. Contains no component.
Source: Austin, Harrell and van Klaveren 2020, Graphical calibration curves and the integrated calibration index (ICI)
for survival models, doi:10.1002/sim.8570.
"""
# Axes: M cases, R columns of weights, P features.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.cox_fit import cox_fit, cumulative_hazard
from fusionkit_plugins.blocks.restricted_spline import quantile_of_distances, spline_terms
from fusionkit_plugins.blocks.survival import none_beyond
from fusionkit_plugins.blocks.weighted_quantiles import weighted_quantiles

from fusionkit.api import Floats, SurvivalColumn

_FEWEST, _FEWEST_DRAWN = 20, 10
_KNOTS = (0.1, 0.5, 0.9)


def too_few(column: SurvivalColumn) -> str | None:
    """That there are fewer than 20 events until the horizon, or nobody is followed beyond it."""
    count = int((column.event & (column.time <= column.horizon)).sum())
    return none_beyond(column) or (None if count >= _FEWEST else
                                   f"{count} events until {column.horizon:g}; a smooth curve needs {_FEWEST}")


def smooth_risks(column: SurvivalColumn, weights: Floats) -> Floats:
    """The smooth observed probability for each case, (M, R), NaN where there is none; kept for several metrics."""
    return column.kept.once(f"smooth {column.horizon}", weights, lambda: _smooth(column, weights))


def gaps(column: SurvivalColumn, weights: Floats) -> Floats:
    """The distance between predicted and smooth observed probability of each case: (M, R)."""
    found: Floats = np.abs(1 - column.survival[:, None] - smooth_risks(column, weights))
    return found


def quantile_of_gaps(column: SurvivalColumn, weights: Floats, level: float) -> Floats:
    """A quantile of these distances: (R,)."""
    return quantile_of_distances(gaps(column, weights), weights, level)


def _smooth(column: SurvivalColumn, weights: Floats) -> Floats:
    nothing = np.full(weights.shape, np.nan)
    events = (weights * (column.event & (column.time <= column.horizon))[:, None]).sum(axis=0)
    if too_few(column) is not None:
        return nothing
    spread = np.log(-np.log(np.clip(column.survival, 1e-10, 1 - 1e-10)))
    knots = np.stack([weighted_quantiles(spread, weights, level) for level in _KNOTS])
    good = (np.diff(knots, axis=0) > 1e-9).all(axis=0) & (events >= _FEWEST_DRAWN)
    if not good.any():
        return nothing
    # Without the constant: the baseline hazard has it.
    features = np.stack([np.broadcast_to(term, (len(spread), int(good.sum())))
                         for term in spline_terms(spread, knots[:, good])[1:]])
    own = weights[:, good]
    fit = cox_fit(features, column.time, column.event, own)
    there = np.isfinite(fit.coefficients).all(axis=0)
    log_hazard = np.einsum("pmr,pr->mr", features, np.where(there, fit.coefficients, 0.0))
    log_hazard -= log_hazard.max(axis=0)
    hazard = cumulative_hazard(log_hazard, column.time, column.event, own, column.horizon)
    nothing[:, good] = np.where(there, -np.expm1(-hazard * np.exp(log_hazard)), np.nan)
    return nothing
