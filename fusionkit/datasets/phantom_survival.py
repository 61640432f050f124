"""A synthetic cohort of survival whose best concordance is known: a CT and a table beside times that may be censored.

u is visible only in the image and v only in the table, both N(0, 1); the log hazard is b (u + v), and nothing else
depends on time. The best concordance of any network is that of the log hazard, or of what one view tells of it; it
follows from the differences of two cases, see docs/phantom.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from fusionkit.arrays import Bools, Floats
from fusionkit.datasets.dicom_writer import write_series
from fusionkit.datasets.folders import write_rows, written_aside
from fusionkit.datasets.phantom import Latents, View, stream
from fusionkit.datasets.phantom_files import (
    FOLDERS,
    ORDINARY,
    case_images,
    case_split,
    described,
    geometry_of,
    patient_header,
)
from fusionkit.datasets.phantom_table import CATEGORICAL, NUMERIC, render_table
from fusionkit.progress import Progress

# Axes: N cases.
SLOPE = 0.85
"""The log hazard for each unit of u and of v."""
SCALE, SHAPE = 30.0, 1.3
"""Times of cases with log hazard 0 are Weibull with this scale, in months, and shape."""
CENSORED = (10.0, 80.0)
"""Between these months a case is seen for the last time, all alike likely."""
HORIZONS = (12, 24, 48)

_TARGETS = """\
targets:
  death: {time: months, event: died, unit: months}
"""


@dataclass(frozen=True, slots=True)
class SurvivalCases:
    """A drawn cohort: what image and table hide, the time until death or the last visit, and whether it was death.

    *Shapes*: each (N,).
    """

    image: Floats
    table: Floats
    time: Floats
    event: Bools

    def log_hazard(self, view: View = "both") -> Floats:
        """What ranks cases best, given a view: (N,)."""
        return SLOPE * {"image": self.image, "table": self.table, "both": self.image + self.table}[view]


def draw_survival(cases: int, seed: int = 0) -> SurvivalCases:
    """A cohort, the same for the same seed; times are in months, to a tenth, and at least that."""
    rng = stream(seed, "latents of survival")
    image, table = rng.standard_normal(cases), rng.standard_normal(cases)
    died = SCALE * (rng.exponential(size=cases) / np.exp(SLOPE * (image + table))) ** (1 / SHAPE)
    last = rng.uniform(*CENSORED, cases)
    return SurvivalCases(image, table, np.maximum(np.minimum(died, last).round(1), 0.1), died <= last)


def best_concordance(view: View = "both", until: float | None = None) -> float:
    """The concordance of the best ranking, of pairs whose first event is before `until`, or of all pairs.

    That is what Uno's C estimates: the share of pairs in the right order, whatever the censoring.
    """
    points, weights = hermegauss(40)
    shares = weights / weights.sum()
    # Log hazards of two cases are m + g and m - g; g is the sum of a part that the view shows and one that it does not.
    step = SLOPE / sqrt(2.0) * points
    shown = step * sqrt(2.0) if view == "both" else step
    hidden, hidden_shares = (np.zeros(1), np.ones(1)) if view == "both" else (step, shares)
    gap = np.add.outer(np.abs(shown), hidden)[:, :, None]
    middle = (SLOPE * points)[None, None]
    chance = shares[:, None, None] * hidden_shares[None, :, None] * shares[None, None]
    passed = np.inf if until is None else (until / SCALE) ** SHAPE
    first = chance * -np.expm1(-2 * np.exp(middle) * np.cosh(gap) * passed)
    return float((first / (1 + np.exp(-2 * gap))).sum() / first.sum())


def write_survival(folder: Path, cases: int = 1000, seed: int = 0, progress: Progress | None = None, *,
                   shares: tuple[float, float] = (0.5, 0.1)) -> SurvivalCases:
    """Write a cohort to a new folder, laid out as by `write_phantom`, and return it in the order of the rows.

    `hidden.csv` has u, v and the log hazard.
    Raises: `DataError` (folder-not-empty) if the folder exists and is not empty.
    """
    drawn = draw_survival(cases, seed)
    everyone, none = np.ones(cases, dtype=bool), np.zeros(cases, dtype=np.int64)
    protocol = stream(seed, "protocol of survival").integers(0, 2, cases)
    columns = render_table(Latents(none, drawn.image, drawn.table, protocol, everyone, everyone), seed)
    names = [f"P{index:05d}" for index in range(cases)]
    with written_aside(folder) as aside:
        for index, name in enumerate(names):
            write = partial(write_series, seed=(seed, "survival", index),
                            patient=patient_header(name, columns, index, True))
            for modality, volume, sampling in case_images(drawn.image[index], ORDINARY, (seed, "survival", index)):
                write(aside / FOLDERS[modality.name] / name, volume, geometry_of(sampling), modality=modality)
            if progress:
                progress(index + 1, cases)
        write_rows(aside / "cases.csv", _rows(names, drawn, columns, case_split(cases, shares)))
        write_rows(aside / "hidden.csv", _hidden(names, drawn))
        (aside / "data.yaml").write_text(described("survival", seed, ORDINARY, _TARGETS), encoding="utf-8")
    return drawn


def _rows(names: list[str], drawn: SurvivalCases, columns: dict[str, np.ndarray], split: list[str]
          ) -> Iterator[list[str]]:
    yield ["case", "series", "split", *NUMERIC, *CATEGORICAL, "months", "died"]
    for index, name in enumerate(names):
        clinic = [f"{columns[column][index]:.3f}" for column in NUMERIC]
        clinic += [str(columns[column][index]) for column in CATEGORICAL]
        yield [name, name, split[index], *clinic, f"{drawn.time[index]:.1f}", str(int(drawn.event[index]))]


def _hidden(names: list[str], drawn: SurvivalCases) -> Iterator[list[str]]:
    yield ["case", "u", "v", "log_hazard"]
    for name, *values in zip(names, drawn.image, drawn.table, drawn.log_hazard(), strict=True):
        yield [name, *(f"{value:.6f}" for value in values)]
