"""The phantom of survival: its best concordance, and what its files hold."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from fusionkit_plugins.blocks.survival import concordance

from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.datasets.phantom import VIEWS, View
from fusionkit.datasets.phantom_survival import best_concordance, draw_survival, write_survival

KNOWN = {"image": (0.6692, 0.6732), "table": (0.6692, 0.6732), "both": (0.7568, 0.7603)}


@pytest.mark.parametrize("view", VIEWS)
def test_the_best_concordance_is_as_promised_and_reached(view: View) -> None:
    assert (best_concordance(view), best_concordance(view, 48)) == pytest.approx(KNOWN[view], abs=6e-5)
    drawn = draw_survival(4000, seed=1)
    # Whoever dies before 48 months is the first of all pairs with a later one; the censored weigh by 1 / G.
    early = (drawn.event & (drawn.time < 48)) / np.clip((80 - drawn.time) / 70, None, 1) ** 2
    found = concordance(drawn.log_hazard(view), drawn.time, drawn.event, early[:, None], np.ones((4000, 1)))[0]
    assert abs(found - KNOWN[view][1]) < 0.02


def test_a_cohort_is_read_and_hides_what_it_says(tmp_path: Path) -> None:
    drawn = write_survival(tmp_path / "cohort", 30, seed=3, shares=(0.6, 0.2))
    heads = {"death": HeadTarget("survival", ("12",), size=2)}
    cohort = load_cohort(describe(tmp_path / "cohort" / "data.yaml"), heads,
                         {"ct": InputNeed((1, 16, 32, 32)), "clinic": InputNeed((10,))})
    np.testing.assert_allclose(cohort.targets["death"].values, np.stack([drawn.time, drawn.event], 1), rtol=1e-6)
    with (tmp_path / "cohort" / "hidden.csv").open(newline="") as file:
        hidden = list(csv.DictReader(file))
    assert [float(row["log_hazard"]) for row in hidden] == pytest.approx(drawn.log_hazard().tolist(), abs=1e-5)
    again = draw_survival(30, seed=3)
    assert (again.time == drawn.time).all() and (draw_survival(30, seed=4).time != drawn.time).any()
