"""The clinical table of the synthetic cohort: six measurements that encode v invertibly.

(v, five independent normal numbers) is rotated by a fixed orthogonal matrix and then scaled to clinical units. Every
step is invertible, so the table is exactly as informative as v; no single column is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Floats
from fusionkit.datasets.phantom import Latents, stream

# Column, mean, standard deviation: BMI in kg/m2, C-reactive protein in mg/l, lung function in per cent of the
# predicted, blood pressure in mmHg, creatinine in umol/l.
MEASUREMENTS: tuple[tuple[str, float, float], ...] = (
    ("age", 62.0, 9.0),
    ("bmi", 27.0, 4.0),
    ("log_crp", 1.2, 0.8),
    ("fev1_percent", 82.0, 14.0),
    ("systolic_pressure", 134.0, 17.0),
    ("creatinine", 85.0, 18.0),
)
NUMERIC: tuple[str, ...] = tuple(name for name, _, _ in MEASUREMENTS)
CATEGORIES: dict[str, tuple[str, ...]] = {
    "sex": ("F", "M"), "earlier_cancer": ("no", "yes"), "site": ("A", "B", "C", "D"),
    "protocol": ("contrast", "native")}
CATEGORICAL: tuple[str, ...] = tuple(CATEGORIES)

_DIRECTION = np.array([1.0, -0.8, 1.2, 0.9, -1.1, 0.7])
_MEANS = np.array([mean for _, mean, _ in MEASUREMENTS])
_SPREADS = np.array([spread for _, _, spread in MEASUREMENTS])


def _mixing() -> Floats:
    """The Householder reflection that maps the first axis to _DIRECTION: orthogonal, and its own inverse."""
    unit = _DIRECTION / np.linalg.norm(_DIRECTION)
    mirror = unit - np.eye(6)[0]
    matrix: Floats = np.eye(6) - 2 * np.outer(mirror, mirror) / (mirror @ mirror)
    return matrix


def render_table(latents: Latents, seed: int = 0) -> dict[str, NDArray[Any]]:
    """The clinical columns of a cohort, one entry per case, before missing values are applied.

    Shapes: every column is (N,); the six of `NUMERIC` are float64, the four of `CATEGORICAL` are text.
    """
    rng = stream(seed, "table")
    cases = len(latents)
    hidden = np.column_stack([latents.table, rng.standard_normal((cases, 5))])
    values = (hidden @ _mixing()) * _SPREADS + _MEANS
    columns: dict[str, NDArray[Any]] = dict(zip(NUMERIC, values.T, strict=True))
    columns["sex"] = rng.choice(CATEGORIES["sex"], cases)
    columns["earlier_cancer"] = np.where(rng.random(cases) < 0.2, "yes", "no")
    columns["site"] = rng.choice(CATEGORIES["site"], cases)
    columns["protocol"] = np.where(latents.protocol == 1, "contrast", "native")
    return columns


def read_hidden(measurements: Floats) -> Floats:
    """The latent v of each case, from the six measurements in the order of `NUMERIC`.

    Shapes: (N, 6) -> (N,).
    """
    hidden: Floats = ((measurements - _MEANS) / _SPREADS @ _mixing())[:, 0]
    return hidden
