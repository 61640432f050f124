"""Observed over expected events of a cause, as recorded for Aalen and Johansen's estimate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fusionkit_plugins.blocks.competing import CauseColumn, weighted_incidence
from fusionkit_plugins.metrics.cause_oe import CauseObservedOverExpected
from recorded import GOLDEN

from fusionkit.api import Config

CASE = json.loads((GOLDEN / "outcomes" / "survival_competing.json").read_text())
TIME, CAUSE = np.array(CASE["time"]), np.array(CASE["cause"])


def column(horizon: float, number: int, survival: float) -> CauseColumn:
    return CauseColumn(f"c{number}@{horizon:g}", np.ones(len(TIME), dtype=bool), horizon, TIME, number == CAUSE,
                       np.full(len(TIME), survival), np.zeros(len(TIME)), happened=CAUSE > 0)


@pytest.mark.parametrize("number", [1, 2])
def test_the_observed_incidence_is_as_recorded_also_with_weights(number: int) -> None:
    rng = np.random.default_rng(2)
    once = np.ones((len(TIME), 1))
    for horizon, wanted in zip(CASE["at"], CASE[f"cif_{number}"], strict=True):
        assert weighted_incidence(column(horizon, number, 0.5), once)[0] == pytest.approx(wanted, abs=1e-12)
    counts = rng.integers(0, 3, len(TIME))
    rows = np.repeat(np.arange(len(TIME)), counts)
    written = CauseColumn("c@20", np.ones(len(rows), dtype=bool), 20.0, TIME[rows], CAUSE[rows] == number,
                          np.zeros(len(rows)), np.zeros(len(rows)), happened=CAUSE[rows] > 0)
    assert weighted_incidence(column(20.0, number, 0.5), counts[:, None].astype(float))[0] == pytest.approx(
        weighted_incidence(written, np.ones((len(rows), 1)))[0], abs=1e-12)


def test_it_is_one_where_the_mean_prediction_is_right() -> None:
    metric, once = CauseObservedOverExpected(Config()), np.ones((len(TIME), 1))
    assert metric.of_column(column(30.0, 1, 1 - CASE["cif_1"][3]), once)[0] == pytest.approx(1)
    assert metric.of_column(column(30.0, 1, 1 - CASE["cif_1"][3] / 2), once)[0] == pytest.approx(2)
    assert np.isnan(metric.of_column(column(43.0, 1, 0.5), once)[0])
