"""The synthetic cohort (phantom), whose best possible accuracy is known: distributions, ceilings, optimal classifier.

A label y in {0, 1} is drawn with p = 1/2; s = 2y - 1. A latent u is visible only in the image, a latent v and a flag q
only in the table, and nothing else depends on y. So the best accuracy from the files is the best from u, v and q, which
has a closed form, derived in docs/phantom.md. `phantom_image` and `phantom_table` generate the observations;
`phantom_files` writes a cohort to disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, log, sqrt
from typing import Literal, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Bools, Floats

Scenario = Literal[
    "additive",
    "interaction",
    "gated",
    "redundant",
    "table_useless",
    "image_useless",
    "missing",
    "missing_informative",
]
View = Literal["image", "table", "both"]

SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
VIEWS: tuple[View, ...] = get_args(View)

SHIFT = 0.85  # a = b: distance of one input's class means from 0, in standard deviations
FLIPPED = 0.1  # share of labels flipped in `interaction`
GATED_IMAGE, GATED_TABLE = 2.0, 0.6
ABSENT = 0.3  # missing share of either input in `missing`, before cases with neither are redrawn
TABLE_ABSENT = (0.1, 0.5)  # share of missing tables for y = 0 and y = 1 in `missing_informative`


@dataclass(frozen=True, slots=True)
class Latents:
    """The latent variables of a synthetic cohort, one entry per case: label y, image u, table v, flag q, presence.

    Shapes: every array is (N,).
    """

    label: NDArray[np.int64]
    image: Floats
    table: Floats
    protocol: NDArray[np.int64]
    image_present: Bools
    table_present: Bools

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The best possible accuracy from one input or from both.

    `naive` is that of the best classifier on both inputs that ignores the point of the scenario: in `gated` one that
    weights the image equally for all cases, in `missing_informative` one that ignores missingness; None elsewhere.
    """

    image: float
    table: float
    both: float
    naive: float | None = None

    def of(self, view: View) -> float:
        """The ceiling of one view."""
        values: dict[View, float] = {"image": self.image, "table": self.table, "both": self.both}
        return values[view]


def stream(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    """A random generator for one purpose, independent of any other: a shared one would leak the label."""
    return np.random.default_rng([seed, crc32(purpose.encode()), number])


def draw_latents(scenario: Scenario, cases: int, seed: int = 0) -> Latents:
    """The latent variables of a cohort of `cases` cases, the same for the same seed."""
    rng = stream(seed, f"latents of {scenario}")
    label = rng.integers(0, 2, cases)
    sign = 2.0 * label - 1
    protocol = rng.integers(0, 2, cases)
    image = SHIFT * sign + rng.standard_normal(cases)
    table = SHIFT * sign + rng.standard_normal(cases)
    image_present = table_present = np.ones(cases, dtype=bool)
    if scenario == "interaction":
        image, table = _away_from_zero(rng, cases), _away_from_zero(rng, cases)
        label = ((image * table > 0) != (rng.random(cases) < FLIPPED)).astype(np.int64)
    elif scenario == "gated":
        image = GATED_IMAGE * sign * protocol + rng.standard_normal(cases)
        table = GATED_TABLE * sign + rng.standard_normal(cases)
    elif scenario == "redundant":
        table = image.copy()
    elif scenario == "table_useless":
        table = rng.standard_normal(cases)
    elif scenario == "image_useless":
        image = rng.standard_normal(cases)
    elif scenario == "missing":
        image_present, table_present = _never_both_absent(rng, cases)
    elif scenario == "missing_informative":
        table_present = rng.random(cases) >= np.where(label == 1, TABLE_ABSENT[1], TABLE_ABSENT[0])
    return Latents(label, image, table, protocol, image_present, table_present)


def _away_from_zero(rng: np.random.Generator, cases: int) -> Floats:
    """A random sign times 0.6 + 0.6 |N|, so that the sign is unambiguous."""
    return rng.choice([-1.0, 1.0], cases) * (0.6 + 0.6 * np.abs(rng.standard_normal(cases)))


def _never_both_absent(rng: np.random.Generator, cases: int) -> tuple[Bools, Bools]:
    """Presence of image and table, missing independently, given that at least one is present."""
    shares = np.array([(1 - ABSENT) ** 2, (1 - ABSENT) * ABSENT, ABSENT * (1 - ABSENT)])
    kind = rng.choice(3, cases, p=shares / shares.sum())
    return kind != 2, kind != 1


def oracle(scenario: Scenario, latents: Latents, view: View = "both") -> Floats:
    """The true probability of y = 1 given a view; `> 0.5` is the optimal prediction.

    Shapes: (N,). Predictions for the same cases can be compared with it case by case, which has a far smaller
    standard error than a comparison with the ceiling.
    """
    if scenario == "interaction":
        agree = np.where(latents.image * latents.table > 0, 1 - FLIPPED, FLIPPED)
        return agree if view == "both" else np.full(len(latents), 0.5)
    evidence = np.zeros(len(latents))
    if view != "table":
        evidence += np.where(latents.image_present, _image_evidence(scenario, latents, view), 0.0)
    if view != "image" and not (scenario == "redundant" and view == "both"):
        evidence += np.where(latents.table_present, _table_evidence(scenario, latents), 0.0)
    if view != "image" and scenario == "missing_informative":
        absent, present = log(TABLE_ABSENT[1] / TABLE_ABSENT[0]), log((1 - TABLE_ABSENT[1]) / (1 - TABLE_ABSENT[0]))
        evidence += np.where(latents.table_present, present, absent)
    probability: Floats = 1 / (1 + np.exp(-evidence))
    return probability


def _image_evidence(scenario: Scenario, latents: Latents, view: View) -> Floats:
    """The log likelihood ratio of y that u carries; without the table, `gated` must average over the flag."""
    u = latents.image
    if scenario == "image_useless":
        return np.zeros(len(latents))
    if scenario != "gated":
        return 2 * SHIFT * u
    if view == "both":
        return 2 * GATED_IMAGE * u * latents.protocol
    shifted = GATED_IMAGE * u - GATED_IMAGE**2 / 2
    mirrored = -GATED_IMAGE * u - GATED_IMAGE**2 / 2
    ratio: Floats = np.logaddexp(shifted, 0.0) - np.logaddexp(mirrored, 0.0)
    return ratio


def _table_evidence(scenario: Scenario, latents: Latents) -> Floats:
    """The log likelihood ratio of y that v carries."""
    if scenario == "table_useless":
        return np.zeros(len(latents))
    return 2 * (GATED_TABLE if scenario == "gated" else SHIFT) * latents.table


def ceilings(scenario: Scenario) -> Ceilings:
    """The closed-form ceilings of a scenario, derived in docs/phantom.md."""
    one, two = _normal(SHIFT), _normal(SHIFT * sqrt(2))
    if scenario == "additive":
        return Ceilings(one, one, two)
    if scenario == "interaction":
        return Ceilings(0.5, 0.5, 1 - FLIPPED)
    if scenario == "gated":
        return _gated_ceilings()
    if scenario == "redundant":
        return Ceilings(one, one, one)
    if scenario == "table_useless":
        return Ceilings(one, 0.5, one)
    if scenario == "image_useless":
        return Ceilings(0.5, one, one)
    if scenario == "missing":
        present, complete = 1 / (1 + ABSENT), (1 - ABSENT) / (1 + ABSENT)
        single = present * one + (1 - present) / 2
        return Ceilings(single, single, complete * two + (1 - complete) * one)
    return _informative_ceilings(one, two)


def _gated_ceilings() -> Ceilings:
    seen, blind = _normal(sqrt(GATED_IMAGE**2 + GATED_TABLE**2)), _normal(GATED_TABLE)
    weights = np.linspace(0.0, 4.0, 4001)
    alike = max(
        (_normal((GATED_IMAGE * w + GATED_TABLE) / sqrt(1 + w * w)) + _normal(GATED_TABLE / sqrt(1 + w * w))) / 2
        for w in weights.tolist()
    )
    return Ceilings(_normal(GATED_IMAGE) / 2 + 0.25, blind, (seen + blind) / 2, naive=alike)


def _informative_ceilings(one: float, two: float) -> Ceilings:
    """Presence shifts the threshold: accuracy is summed over (present, y), each with its own shift."""
    absent_0, absent_1 = TABLE_ABSENT
    table = _shifted(0.0, absent_0, absent_1) + _shifted(SHIFT, 1 - absent_0, 1 - absent_1)
    both = _shifted(SHIFT, absent_0, absent_1) + _shifted(SHIFT * sqrt(2), 1 - absent_0, 1 - absent_1)
    absent = (absent_0 + absent_1) / 2
    return Ceilings(one, table, both, naive=absent * one + (1 - absent) * two)


def _shifted(distance: float, share_0: float, share_1: float) -> float:
    """Share of cases in this stratum and classified correctly, for classes N(-distance, 1) and N(distance, 1)."""
    if distance == 0.0:
        return max(share_0, share_1) / 2
    shift = log(share_1 / share_0) / (2 * distance)
    return (share_0 * _normal(distance - shift) + share_1 * _normal(distance + shift)) / 2


def _normal(value: float) -> float:
    """The distribution function of N(0, 1)."""
    return (1 + erf(value / sqrt(2))) / 2
