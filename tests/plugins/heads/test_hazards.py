"""Discrete hazards: losses, labels and curves of each link as recorded, edges by training events, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.time_edges import labels, quantile_edges
from fusionkit_plugins.heads.hazards import Hazards, HazardsConfig, component
from pydantic import ValidationError
from recorded import GOLDEN
from torch import Tensor

from fusionkit.api import Vector

with np.load(GOLDEN / "outcomes" / "survival_discrete.npz") as file:
    CASE = {key: file[key] for key in file.files}
EDGES = CASE["edges"][1:].tolist()
LINKS = ["logistic_hazard", "pmf", "mtlr"]


def double(name: str) -> Tensor:
    return torch.as_tensor(CASE[name]).double()


TARGET = torch.stack([double("time"), double("event")], 1)


def head(**options: Any) -> Hazards:
    torch.manual_seed(0)
    config = HazardsConfig.model_validate({"horizons": [12, 24, 36], **options})
    module: Hazards = component.module(config, [Vector((3,))])
    return module.double()


def test_labels_are_as_recorded() -> None:
    survived, happened = labels(TARGET[:, 0], TARGET[:, 1], double("edges")[1:])
    assert survived.sum(1).tolist() == CASE["survived"].tolist()
    assert torch.equal(happened.any(1), torch.as_tensor(CASE["event_used"]))
    own = happened.any(1)
    assert happened[own].double().argmax(1).tolist() == CASE["interval"][own.numpy()].tolist()


@pytest.mark.parametrize("link", LINKS)
def test_losses_and_survival_are_as_recorded(link: str) -> None:
    module, logits = head(link=link, edges=EDGES), double("logits").requires_grad_()
    losses = module.loss(logits, TARGET)
    torch.testing.assert_close(losses, double(f"out_nll_{link}"), rtol=0, atol=1e-9)
    torch.testing.assert_close(module.curve(logits, module.edges), double(f"out_survival_{link}"), rtol=0, atol=1e-9)
    torch.testing.assert_close(head(link=link, edges=EDGES).float().loss(logits.float(), TARGET.float()).double(),
                               losses, rtol=0, atol=1e-5)
    gradient, = torch.autograd.grad(losses.sum(), logits)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("between", ["hazard", "density"])
def test_curves_between_edges_are_as_recorded(between: str) -> None:
    found = head(edges=EDGES, between=between).curve(double("logits"), double("query"))
    torch.testing.assert_close(found, double(f"out_survival_constant_{between}"), rtol=0, atol=1e-9)


@pytest.mark.parametrize("link", LINKS)
def test_logits_without_an_interval_change_nothing(link: str) -> None:
    module, whole = head(link=link, intervals=9, horizons=[36]), head(link=link, edges=EDGES)
    module._set(EDGES)
    logits = torch.cat([double("logits"), torch.full((30, 4), 50.0, dtype=torch.float64)], 1).requires_grad_()
    losses = module.loss(logits, TARGET)
    torch.testing.assert_close(losses, whole.loss(double("logits"), TARGET))
    gradient, = torch.autograd.grad(losses.sum(), logits)
    assert bool((gradient[:, 5:] == 0).all()) and bool(gradient.isfinite().all())
    for rank in ("horizon", "curve"):
        module.ranks_by = whole.ranks_by = rank  # type: ignore[assignment]
        torch.testing.assert_close(module.risk(logits), whole.risk(double("logits")))


def test_risk_is_one_minus_survival_at_the_last_horizon_or_minus_the_sum_over_edges() -> None:
    logits, survival = double("logits"), double("out_survival_logistic_hazard")
    torch.testing.assert_close(head(edges=EDGES).risk(logits), 1 - survival[:, -1])
    torch.testing.assert_close(head(edges=EDGES, risk="curve").risk(logits), -survival.sum(1))


def test_details_follow_from_the_curve() -> None:
    module, logits = head(edges=EDGES), double("logits")
    found, fine = module.details(logits), torch.linspace(0, 36, 36001, dtype=torch.float64)
    curves = module.curve(logits, fine)
    torch.testing.assert_close(found["rmst@36"], torch.trapezoid(curves, fine), rtol=0, atol=1e-5)
    reached = curves[:, -1] <= 0.5
    assert bool(reached.any()) and torch.equal(~reached, found["median"].isnan())
    torch.testing.assert_close(found["median"][reached], fine[(curves <= 0.5).double().argmax(1)][reached], rtol=0,
                               atol=1.1e-3)


def test_edges_are_times_of_events_with_equal_falls_and_all_horizons() -> None:
    time = np.arange(1.0, 101)
    found = quantile_edges(time, np.ones(100), 4, [30.0, 80.0])
    assert found == [20, 30, 40, 60, 80]
    # 20 events are enough for four intervals, one of which ends at the first horizon.
    assert quantile_edges(time[:20], np.ones(20), 8, [5.0, 18.0]) == [5, 6, 12, 18]
    assert quantile_edges(time, np.zeros(100), 4, [30.0, 80.0]) == [30, 80]
    # Two thirds are censored at 10, and what is left falls by events at later times alone.
    given = np.concatenate([np.full(60, 10.0), time[:30]]), np.repeat([0.0, 1.0], [60, 30])
    censored = quantile_edges(*given, 2, [30.0])
    assert len(censored) == 2 and censored[0] > 15


def test_training_cases_choose_the_edges_which_are_saved() -> None:
    module, other = head(intervals=4), head(intervals=4)
    before = module.edges.tolist()
    module.prepare(torch.stack([torch.arange(1.0, 61), torch.arange(60) % 2], 1))
    assert module.edges.tolist() != before and {12, 24, 36} <= set(module.edges.tolist())
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.decode(double("logits")[:, :1].expand(-1, 6)), module.decode(
        double("logits")[:, :1].expand(-1, 6)))
    given = head(edges=EDGES)
    given.prepare(torch.stack([torch.arange(1.0, 61), torch.arange(60) % 2], 1))
    assert given.edges.tolist() == EDGES


def test_smoothing_adds_squared_differences_to_cases_that_count() -> None:
    logits, none = double("logits")[:2], torch.zeros(1, 2, dtype=torch.float64)
    target = torch.cat([TARGET[:1], none])
    added = head(edges=EDGES, smooth=0.5).loss(logits, target) - head(edges=EDGES).loss(logits, target)
    torch.testing.assert_close(added, torch.stack([0.5 * logits[0].diff().square().sum(), logits[0, 0] * 0]))


@pytest.mark.parametrize(("options", "says"), [
    ({"edges": [12, 6]}, "must rise"), ({"edges": [12, 48]}, "after the last horizon"),
    ({"edges": [12], "intervals": 4}, "give one of them"), ({"intervals": 20}, "there may be 20"),
    ({"horizons": [24, 12]}, "must rise"),
])
def test_options_that_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        HazardsConfig.model_validate({"horizons": [12, 24, 36], **options})
