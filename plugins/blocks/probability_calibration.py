"""Calibration of probabilities: logistic regressions of the outcome on the log odds. Contains no component.

The curve is a logistic regression on a restricted cubic spline of the log odds, with knots at their quantiles 0.1, 0.5
and 0.9, and from 200 events at 0.05, 0.35, 0.65 and 0.95: linear tails on the logit, in (0, 1), a function of weights.
The other curve is loess.
Source: Cox 1958, Two further applications of a model for binary regression, doi:10.1093/biomet/45.3-4.562; Harrell
2015, Regression Modeling Strategies, 2.4.5; Austin and Steyerberg 2019, The Integrated Calibration Index,
doi:10.1002/sim.8281.
"""
# Axes: M known cases, R columns of weights, K knots.

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import numpy as np
from fusionkit_plugins.blocks.loess import Degree, loess, loess_of_many
from fusionkit_plugins.blocks.logistic_fit import log_odds, logistic_fit, sigmoid
from fusionkit_plugins.blocks.restricted_spline import quantile_of_distances, spline_terms
from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case
from fusionkit_plugins.blocks.weighted_quantiles import weighted_quantiles
from pydantic import Field, model_validator

from fusionkit.api import Bools, ClassColumn, Config, Floats

Curve = Literal["spline", "loess", "loess of degree 2"]
CLIPPED = 1e-7
MANY_EVENTS = 200
_MOST_TOGETHER, _MOST_WEIGHTS = 2000, 100_000
_FEW_KNOTS, _MANY_KNOTS = (0.1, 0.5, 0.9), (0.05, 0.35, 0.65, 0.95)


class CurveConfig(Config):
    """Options of figures of the distance from a smooth curve."""

    curve: Literal["spline", "loess"] = Field(
        "spline", description="The curve: 'spline', a logistic regression on a restricted cubic spline, or 'loess', "
        "local regression over three quarters of the cases.")
    degree: Degree = Field(1, description="With 'curve: loess': 1 for local lines, 2 for parabolas, the default of R.")

    @model_validator(mode="after")
    def _degree_of_loess(self) -> Self:
        if self.degree != 1 and self.curve != "loess":
            raise ValueError(f"'degree: {self.degree}' is of loess, and the curve is the spline: add 'curve: loess'")
        return self

    @property
    def named(self) -> Curve:
        """The curve in one word, as the functions below take it."""
        return "loess of degree 2" if self.degree == 2 else self.curve


class Spline(NamedTuple):
    """A fitted curve of each column of weights: `knots` (K, R), `coefficients` (K, R), NaN where there is none."""

    knots: Floats
    coefficients: Floats

    def at(self, score: Floats) -> Floats:
        """The observed probability by predicted ones: (M,) to (M, R)."""
        with np.errstate(invalid="ignore", divide="ignore"):  # knots that coincide have no coefficients
            found: Floats = sigmoid(log_odds(spline_terms(logit(score), self.knots), self.coefficients))
        return found


def clipped(column: ClassColumn) -> str | None:
    """How many probabilities `logit` clips, None if it clips none."""
    count = int(((column.score < CLIPPED) | (column.score > 1 - CLIPPED)).sum())
    return f"{count} of {len(column.score)} probabilities clipped by {CLIPPED:g}" if count else None


def degree_of(curve: Curve) -> Degree | None:
    """The degree of loess, None for the spline."""
    return None if curve == "spline" else 2 if curve == "loess of degree 2" else 1


def logit(score: Floats) -> Floats:
    """The log odds of probabilities, those of 0 and 1 clipped by 1e-7."""
    inside = np.clip(np.asarray(score, dtype=np.float64), CLIPPED, 1 - CLIPPED)
    found: Floats = np.log(inside) - np.log1p(-inside)
    return found


def recalibration(column: ClassColumn, weights: Floats) -> Floats:
    """Intercept and slope of the log odds of the truth on the predicted ones, fitted together: (2, R)."""
    predicted = logit(column.score)[:, None]
    return logistic_fit([np.ones_like(predicted), predicted], column.truth, weights, start=(0.0, 1.0))


def calibration_in_the_large(column: ClassColumn, weights: Floats) -> Floats:
    """What must be added to the predicted log odds for the mean to be right: (R,)."""
    predicted = logit(column.score)[:, None]
    found: Floats = logistic_fit([np.ones_like(predicted)], column.truth, weights, start=(0.0,), offset=predicted)[0]
    return found


def splines(score: Floats, truth: Bools, weights: Floats) -> list[tuple[Bools, Spline]]:
    """The curves of the columns of weights, as those with few and those with many events: which they are, and they."""
    predicted = logit(score)
    many = weights[truth].sum(axis=0) >= MANY_EVENTS
    made = []
    for columns, levels in ((~many, _FEW_KNOTS), (many, _MANY_KNOTS)):
        if columns.any():
            own = weights[:, columns]
            knots = np.stack([weighted_quantiles(predicted, own, level) for level in levels])
            good = (np.diff(knots, axis=0) > 1e-9).all(axis=0)
            coefficients = np.full((len(knots), own.shape[1]), np.nan)
            if good.any():
                start = (0.0, 1.0, *[0.0] * (len(knots) - 2))
                coefficients[:, good] = logistic_fit(spline_terms(predicted, knots[:, good]), truth, own[:, good],
                                                     start=start)
            made.append((columns, Spline(knots, coefficients)))
    return made


def gaps(column: ClassColumn, weights: Floats, curve: Curve = "spline") -> Floats:
    """The distance of the predicted probability of each case from the curve: (M, R), NaN where there is no curve."""
    return column.kept.once(f"gaps {curve}", weights, lambda: _gaps(column.score, column.truth, weights, curve))


def _gaps(score: Floats, truth: Bools, weights: Floats, curve: Curve) -> Floats:
    found = np.full(weights.shape, np.nan)
    if (degree := degree_of(curve)) is not None:
        both = (weights[truth].sum(axis=0) > 0) & (weights[~truth].sum(axis=0) > 0)
        if both.any():
            found[:, both] = np.abs(loess(score, truth, weights[:, both], score, degree) - score[:, None])
        return found
    for columns, spline in splines(score, truth, weights):
        found[:, columns] = np.abs(spline.at(score) - score[:, None])
    return found


def ici_of(score: Floats, truth: Bools, weights: Floats) -> Floats:
    """The integrated calibration index of scores and truths: (R,), NaN where there is no curve."""
    return mean_gap(_gaps(score, truth, weights, "spline"), weights)


def null_of_ici(score: Floats, draws: int = 200, seed: int = 0, curve: Curve = "spline") -> tuple[float, float]:
    """The ICI of outcomes that are drawn by the probabilities themselves: its mean and 95 % quantile, NaN for none."""
    generator, degree = np.random.default_rng(seed), degree_of(curve)
    known = _spline_nulls(score, draws, generator) if degree is None else _loess_nulls(score, draws, generator, degree)
    known = known[~np.isnan(known)]
    if len(known) < draws / 2:
        return float("nan"), float("nan")
    return float(known.mean()), float(np.quantile(known, 0.95))


def _loess_nulls(score: Floats, draws: int, generator: np.random.Generator, degree: Degree) -> Floats:
    drawn = (generator.random((draws, len(score))) < score).astype(np.float64)
    drawn = drawn[drawn.any(axis=1) & ~drawn.all(axis=1)]
    if not len(drawn):
        return np.zeros(0)
    found: Floats = np.abs(loess_of_many(score, drawn.T, score, degree) - score[:, None]).mean(axis=0)
    return found


def _spline_nulls(score: Floats, draws: int, generator: np.random.Generator) -> Floats:
    found = []
    once, twice, truth = np.ones((len(score), 1)), np.tile(score, 2), np.repeat([True, False], len(score))
    together = _MOST_WEIGHTS // max(1, len(truth)) if len(score) <= _MOST_TOGETHER else 1
    for first in range(0, draws, together):
        drawn = generator.random((min(together, draws - first), len(score))) < score
        if together == 1:
            found.append(ici_of(score, drawn[0], once))
        else:
            # Each case with and without the outcome: a draw gives one of the two the weight 1, and one fit does many.
            found.append(ici_of(twice, truth, np.concatenate([drawn, ~drawn], axis=1).T.astype(np.float64)))
    return np.concatenate(found)


def loess_curve(score: Floats, truth: Bools, points: Floats) -> Floats | None:
    """The observed probability at predicted ones, by loess, (P,); None where there is no curve."""
    if not truth.any() or truth.all():
        return None
    found = loess(score, truth, np.ones((len(score), 1)), points)[:, 0]
    return None if np.isnan(found).any() else found


def calibration_curve(score: Floats, truth: Bools, points: Floats) -> Floats | None:
    """The observed probability at predicted ones, by the spline, (P,); None where there is no curve."""
    if not truth.any() or truth.all():
        return None
    found = splines(score, truth, np.ones((len(score), 1)))[0][1].at(points)[:, 0]
    return None if np.isnan(found).any() else found


def mean_gap(found: Floats, weights: Floats) -> Floats:
    """The weighted mean of the distances, (M, R) both, to (R,)."""
    total = weights.sum(axis=0)
    mean: Floats = np.divide(np.einsum("mr,mr->r", found, weights), total, out=np.full(len(total), np.nan),
                             where=total > 0)
    return mean


def quantile_of_gaps(column: ClassColumn, weights: Floats, level: float, curve: Curve = "spline") -> Floats:
    """A quantile of the distances: (R,)."""
    return quantile_of_distances(gaps(column, weights, curve), weights, level)


def no_fit(column: ClassColumn, fitted: Floats) -> str | None:
    """Why a fit, (R,) of weights of one, has no value: a class is absent, or the cases are perfectly separated."""
    why = no_case_of(column) or no_other_case(column)
    if why or not np.isnan(fitted).any():
        return why
    if len(np.unique(column.score)) < 2:
        return "all probabilities are equal"
    return "perfectly separated: the fit diverges"


def no_curve(column: ClassColumn, curve: Curve = "spline") -> str | None:
    """Why there is no curve, None if there is one."""
    once = np.ones((len(column.score), 1))
    if degree_of(curve) is not None:
        few = np.isnan(gaps(column, once, curve)).any()
        return no_case_of(column) or no_other_case(column) or ("too few cases for a smooth curve" if few else None)
    why = no_fit(column, gaps(column, once)[0])
    if why is None or not (column.truth.any() and not column.truth.all()):
        return why
    distinct = len(np.unique(column.score))
    close = any((np.diff(spline.knots, axis=0) <= 1e-9).any() or distinct < len(spline.knots)
                for _, spline in splines(column.score, column.truth, once))
    return "too few distinct probabilities for a smooth curve" if close else why
