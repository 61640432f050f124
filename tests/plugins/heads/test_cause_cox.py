"""Competing risks: incidences as recorded, losses that are those of each cause, and what metrics make of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.competing import incidence_observed
from fusionkit_plugins.blocks.cox import cox_losses
from fusionkit_plugins.heads.cause_cox import CauseCox, CauseCoxConfig, component
from fusionkit_plugins.metrics.cause_brier import CauseBrier
from fusionkit_plugins.metrics.cause_brier import component as BRIER
from recorded import GOLDEN
from torch import Tensor

from fusionkit.api import Vector
from fusionkit.components.task import TargetPart
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import evaluate_predictions
from fusionkit.registry.tasks import task_named

CASE = json.loads((GOLDEN / "outcomes" / "survival_competing.json").read_text())
TIME, CAUSE, AT = (np.array(CASE[key], dtype=np.float64) for key in ("time", "cause", "at"))
TARGET = torch.as_tensor(np.stack([TIME, CAUSE], 1))
WANTED = np.stack([CASE["cif_1"], CASE["cif_2"]])
NAMES = tuple(f"{cause}@{at:g}" for cause in ("relapse", "death") for at in AT)
METHOD = task_named("competing_risks").method


def head(**options: Any) -> CauseCox:
    torch.manual_seed(0)
    config = CauseCoxConfig.model_validate({"horizons": AT.tolist(), "causes": ["relapse", "death"], **options})
    module: CauseCox = component.module(config, [Vector((3,))])
    return module.double()


def settled() -> tuple[CauseCox, Tensor]:
    module, generator = head(), torch.Generator().manual_seed(1)
    output = torch.randn(len(TARGET), 2, dtype=torch.float64, generator=generator)
    module.settle(output, TARGET)
    return module, output


def test_incidences_without_features_are_as_recorded() -> None:
    np.testing.assert_allclose(incidence_observed(TIME, CAUSE, 2, AT), WANTED, rtol=0, atol=1e-9)
    assert METHOD.prior(TARGET.numpy(), NAMES) == pytest.approx(WANTED.flatten(), abs=1e-9)
    module = head()
    assert not module.settled and not module.decode(torch.zeros(2, 2).double()).any()
    module.settle(torch.zeros(len(TARGET), 2).double(), TARGET)
    found = module.decode(torch.zeros(1, 2).double())[0].reshape(2, len(AT))
    # Times and hazards are kept in single precision where a module is: this one is double.
    np.testing.assert_allclose(found.numpy(), WANTED, rtol=0, atol=1e-9)


def test_incidences_rise_and_never_sum_to_more_than_one() -> None:
    module, output = settled()
    found = module.incidence(4 * output, torch.linspace(0, 60, 121).double())
    assert bool((found.diff(dim=2) >= 0).all()) and bool((found >= 0).all())
    assert found.sum(1).max() <= 1 + 1e-12 and found.sum(1).max() > 0.99


def test_the_loss_is_that_of_each_cause_with_the_others_censored() -> None:
    module, output = settled()
    wanted = sum(cox_losses(output[:, place], TARGET[:, 0], (TARGET[:, 1] == place + 1).double()) for place in (0, 1))
    torch.testing.assert_close(module.loss(output, TARGET), wanted)
    module.balance(torch.tensor([10.0, 20.0, 10.0]))
    torch.testing.assert_close(module.loss(output, TARGET), wanted * 40 / 30)


def test_metrics_of_each_cause_and_horizon() -> None:
    prior = np.tile(WANTED.flatten(), (len(TIME), 1))
    truth = np.column_stack([(number == CAUSE) & (at >= TIME) for number in (1, 2) for at in AT]).astype(float)
    found = [evaluate_predictions("outcome", "competing_risks", NAMES, TARGET.numpy(), values).metrics
             for values in (prior, truth)]
    assert found[0]["cause_c"].value == pytest.approx(0.5) and found[1]["cause_c"].value > 0.9
    assert found[1]["cause_brier"].value < 1e-12 < found[0]["cause_brier"].value < 0.3


def test_the_brier_score_counts_other_events_as_known() -> None:
    time, cause = np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.0, 2.0, 0.0, 0.0])
    outcomes = collect("competing_risks", ["a@4", "b@4"], np.stack([time, cause], 1),
                       [[0.7, 0.1], [0.2, 0.5], [0.3, 0.3], [0.1, 0.2]])
    column = next(METHOD.measured(outcomes))
    value = CauseBrier(BRIER.config()).of_column(column, np.ones((4, 1)))[0]
    # The censoring at 3 halves what is left, so that the case beyond 4 counts twice.
    assert value == pytest.approx((0.3**2 + 0.2**2 + 2 * 0.1**2) / 4)


def test_what_is_wrong_with_parts() -> None:
    def codes(causes: list[int]) -> list[str]:
        part = TargetPart("the training cases", np.stack([np.arange(1.0, len(causes) + 1), causes], 1))
        return [fault.code for fault in METHOD.judge_parts([part], [], ("relapse@2", "death@2"))]

    assert codes([1, 2, 0] * 8) == [] and codes([1, 2, 3] * 8) == ["bad-event"] and codes([1, 0] * 8) == ["no-event"]


def test_whole_numbers_are_causes_and_others_are_not() -> None:
    given = np.array([[1.0, 2.0], [2.0, 1.5], [3.0, np.inf], [4.0, 0.0]])
    present, found = METHOD.judge(given, np.zeros((4, 2), dtype=bool))
    assert present.tolist() == [True, False, False, True] and [fault.code for fault in found] == ["bad-event"]
    assert list(found[0].rows) == [1, 2]
