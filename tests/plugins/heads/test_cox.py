"""The Cox head: likelihood, gradients and baseline as recorded, what is exact about it, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.cox import breslow_baseline, cox_losses
from fusionkit_plugins.heads.cox import Cox, CoxConfig, component
from pydantic import ValidationError
from recorded import GOLDEN
from small_study import without_plots as without_plots
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Vector
from fusionkit.training.batch_advice import few_events

OUTCOMES = GOLDEN / "outcomes"
EDGES = json.loads((OUTCOMES / "survival_edges.json").read_text())
TRIAL = json.loads((OUTCOMES / "survival_leukaemia.json").read_text())


def recorded(name: str) -> dict[str, Any]:
    with np.load(OUTCOMES / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def double(values: Any) -> Tensor:
    return torch.as_tensor(np.asarray(values)).double()


def head(width: int = 3, **options: Any) -> Cox:
    torch.manual_seed(0)
    config = CoxConfig.model_validate({"horizons": [6, 12, 24, 36], **options})
    module: Cox = component.module(config, [Vector((width,))])
    return module


@pytest.mark.parametrize("name", ["survival_cox_ties", "survival_cox_no_ties"])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("strata", ["", "_strata"])
def test_likelihood_and_gradient_are_as_recorded(name: str, ties: Any, strata: str) -> None:
    case = recorded(name)
    log_hazard = double(case["log_hazard"]).requires_grad_()
    losses = cox_losses(log_hazard, double(case["time"]), double(case["event"]), ties,
                        torch.as_tensor(case["strata"]) if strata else None)
    losses.sum().backward()
    assert losses.sum().item() == pytest.approx(float(case[f"out_{ties}{strata}_sum"]), abs=1e-9)
    assert log_hazard.grad is not None
    np.testing.assert_allclose(log_hazard.grad.numpy(), case[f"grad_{ties}{strata}"], rtol=0, atol=1e-9)
    assert abs(log_hazard.grad.sum().item()) < 1e-9
    assert bool((losses[double(case["event"]) == 0] == 0).all())


@pytest.mark.parametrize("case", EDGES["cox"], ids=lambda case: case["name"])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_small_cases_are_as_by_hand(case: dict[str, Any], ties: Any) -> None:
    losses = cox_losses(double(case["log_hazard"]), double(case["time"]), double(case["event"]), ties)
    assert losses.sum().item() == pytest.approx(case[ties], abs=1e-9)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_published_trial_has_its_likelihood_and_coefficient(ties: Any) -> None:
    time, event, placebo = (double(TRIAL[key]) for key in ("time_weeks", "event", "placebo"))
    slope = torch.tensor(TRIAL["cox"][ties]["beta"], dtype=torch.float64, requires_grad=True)
    loss = cox_losses(slope * placebo, time, event, ties).sum()
    gradient, = torch.autograd.grad(loss, slope)
    assert abs(gradient.item()) < 1e-6 and loss.item() == pytest.approx(-TRIAL["cox"][ties]["loglik"], abs=1e-9)


def test_the_published_trial_has_its_survival() -> None:
    wanted = TRIAL["breslow_baseline"]
    time, event, placebo = (double(TRIAL[key]) for key in ("time_weeks", "event", "placebo"))
    module = head(horizons=[10]).double()
    module.settle(wanted["beta"] * placebo[:, None], torch.stack([time, event], 1))
    at_ten = module.decode(torch.tensor([[wanted["beta"]], [0.0]], dtype=torch.float64))[:, 0].tolist()
    assert at_ten == pytest.approx([wanted["survival_placebo_at_10"], wanted["survival_6mp_at_10"]], abs=1e-9)


def test_the_order_of_the_cases_changes_no_bit() -> None:
    case = recorded("survival_cox_ties")
    given = [double(case[key]) for key in ("log_hazard", "time", "event")]
    losses, order = cox_losses(*given), torch.randperm(len(given[0]), generator=torch.Generator().manual_seed(1))
    assert torch.equal(cox_losses(*(part[order] for part in given)), losses[order])


def test_a_large_batch_has_the_recorded_gradients_of_its_weights() -> None:
    case = recorded("survival_accumulation")
    layer = nn.Linear(5, 1).double()
    layer.weight.data, layer.bias.data = double(case["weight"]), double(case["bias"])
    event = double(case["event"])
    loss = cox_losses(layer(double(case["features"]))[:, 0], double(case["time"]), event).sum() / event.sum()
    loss.backward()
    assert loss.item() == pytest.approx(float(case["loss"]), abs=1e-12)
    assert layer.weight.grad is not None and layer.bias.grad is not None
    np.testing.assert_allclose(layer.weight.grad.numpy(), case["grad_weight"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad.numpy(), case["grad_bias"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["survival_metrics_ties", "survival_metrics_no_ties"])
def test_the_baseline_and_what_follows_from_it_are_as_recorded(name: str) -> None:
    case = recorded(name)
    train = [double(case[f"train_{key}"]) for key in ("log_hazard", "time", "event")]
    times, hazard = breslow_baseline(*train)
    at = np.searchsorted(times.numpy(), case["baseline_times"], side="right")
    steps = np.concatenate([[0.0], hazard.numpy()])[at]
    np.testing.assert_allclose(steps, case["baseline_cumulative_hazard"], rtol=0, atol=1e-12)
    module = head().double()
    module.settle(train[0][:, None], torch.stack(train[1:], 1))
    output = double(case["log_hazard"])[:, None]
    np.testing.assert_allclose(module.decode(output).numpy(), case["survival"], rtol=0, atol=1e-9)
    found = module.details(output)
    np.testing.assert_allclose(found["rmst@36"].numpy(), case["out_rmst_36"], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found["risk"].numpy(), case["log_hazard"])
    grid = module.curve(output, times)
    reached = (grid <= 0.5).any(1)
    first = times[(grid <= 0.5).double().argmax(1)]
    assert torch.equal(found["median"][reached], first[reached]) and found["median"][~reached].isnan().all()


def test_before_it_is_settled_nobody_has_had_an_event() -> None:
    module = head()
    assert not module.settled and bool((module.decode(torch.randn(4, 1)) == 1).all())


def test_the_baseline_is_saved_with_the_weights() -> None:
    module, other = head(), head()
    module.settle(torch.randn(30, 1), torch.stack([torch.arange(1.0, 31), torch.arange(30) % 2], 1))
    other.load_state_dict(module.state_dict())
    output = torch.randn(5, 1)
    assert other.settled and torch.equal(other.decode(output), module.decode(output))


def test_a_long_baseline_keeps_chosen_times_and_the_last() -> None:
    module = head(baseline_points=4)
    module.settle(torch.zeros(10, 1), torch.stack([torch.arange(1.0, 11), torch.ones(10)], 1))
    assert module.baseline_times.tolist() == [3, 6, 9, 10]
    exact = torch.tensor([1 / (10 - place) for place in range(10)]).cumsum(0)
    torch.testing.assert_close(module.baseline_hazard, exact[[2, 5, 8, 9]])


def test_survival_falls_with_time_and_with_the_log_hazard() -> None:
    module = head()
    module.settle(torch.randn(40, 1), torch.stack([torch.arange(1.0, 41), torch.arange(40) % 2], 1))
    survival = module.decode(torch.linspace(-3, 3, 7)[:, None])
    assert bool((survival.diff(dim=1) <= 0).all()) and bool((survival.diff(dim=0) < 0).all())


def test_losses_are_per_event_once_the_training_cases_are_known() -> None:
    module, output = head(), torch.randn(8, 1)
    target = torch.stack([torch.arange(1.0, 9), torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0])], 1)
    before = module.loss(output, target)
    module.balance(torch.tensor([6.0, 2.0]))
    torch.testing.assert_close(module.loss(output, target), 4 * before)
    assert module.loss(output, target).mean().item() == pytest.approx(before.sum().item() / 2)


def test_a_batch_without_an_event_teaches_nothing() -> None:
    output = torch.randn(4, 1, requires_grad=True)
    loss = head().loss(output, torch.tensor([[1.0, 0]] * 4)).sum()
    gradient, = torch.autograd.grad(loss, output)
    assert loss.item() == 0 and bool((gradient == 0).all())


@pytest.mark.parametrize(("options", "says"), [
    ({"horizons": []}, "at least 1 item"), ({"horizons": [12, 12]}, "names one time twice"),
    ({"horizons": [24, 12]}, "must rise"), ({"horizons": [0, 12]}, "greater than 0"),
    ({"horizons": [12], "risk_set": "bank"}, "write both or none"),
    ({"horizons": [12], "bank": 8}, "write both or none"),
])
def test_options_that_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CoxConfig.model_validate(options)


def test_the_last_layer_has_no_constant() -> None:
    assert [name for name, _ in head(hidden=[4]).named_parameters()] == [
        "layers.1.weight", "layers.1.bias", "layers.3.weight"]


def banked() -> tuple[Cox, Tensor, Tensor]:
    """A head in training whose bank has the first 15 of 40 cases, and the output and target of all."""
    case = recorded("survival_cox_ties")
    output, target = double(case["log_hazard"])[:, None], torch.stack([double(case["time"]), double(case["event"])], 1)
    module = head(risk_set="bank", bank=15).double().train()
    module.loss(output[:15], target[:15])
    return module, output, target


def test_with_all_others_in_the_bank_gradients_are_those_of_all_cases() -> None:
    module, output, target = banked()
    own = output[15:].clone().requires_grad_()
    losses = module.loss(own, target[15:])
    every = cox_losses(output[:, 0], target[:, 0], target[:, 1])
    assert losses.sum().item() == pytest.approx(every[15:].sum().item(), abs=1e-12)
    gradient, = torch.autograd.grad(losses.sum(), own)
    wanted = recorded("survival_cox_ties")["grad_efron"][15:]
    np.testing.assert_allclose(gradient[:, 0].numpy(), wanted, rtol=0, atol=1e-9)


def test_the_bank_keeps_the_last_cases_that_count_and_is_emptied_for_an_epoch() -> None:
    module, output, target = banked()
    blank = torch.zeros(1, 2, dtype=torch.float64)
    module.loss(torch.cat([output[15:18], blank[:, :1]]), torch.cat([target[15:18], blank]))
    assert torch.equal(module.bank[:, 1:], torch.cat([target[15:18], target[:12]]))
    module.begin_epoch()
    assert not module.bank.any()


def test_evaluation_neither_reads_nor_fills_the_bank() -> None:
    module, output, target = banked()
    kept = module.bank.clone()
    found = module.eval().loss(output[15:], target[15:])
    torch.testing.assert_close(found, cox_losses(output[15:, 0], target[15:, 0], target[15:, 1]))
    assert torch.equal(module.bank, kept)


@pytest.mark.parametrize(("batch", "option", "warns"), [(8, "batch", True), (32, "batch", False), (8, "step", False)])
def test_batches_with_few_events_are_warned_of(batch: int, option: str, warns: bool) -> None:
    plan = fusionkit.build({"fusionkit": 1, "name": "small", "inputs": {"age": {"vector": [1]}}, "nodes": {
        "death": {"use": "head.cox", "from": "age", "with": {"horizons": [6], "risk_set": option}}}}).plan
    found = few_events(plan, batch, lambda head: {"censored": 80, "event": 20})
    assert [(each.code, "1.6 events of 'death'" in each.message) for each in found] == [
        ("few-events-in-batch", True)] * warns


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_log_hazards_far_apart_have_finite_losses_and_gradients(ties: str) -> None:
    """Beside the largest, the exponentials of the others are zero; late events have risk sets without it."""
    lp = torch.tensor([5e4, -2e5, -2e5 + 1, -2e5 + 2, 3e3], dtype=torch.float64, requires_grad=True)
    time, event = torch.tensor([1.0, 7.0, 7.0, 11.0, 2.0]), torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])
    losses = cox_losses(lp, time, event, ties)
    late = cox_losses(lp[1:4].detach() + 2e5, time[1:4], event[1:4], ties)
    assert losses[1:4].tolist() == pytest.approx(late.tolist(), abs=1e-9)
    losses.sum().backward()
    assert lp.grad.isfinite().all() and abs(float(lp.grad.sum())) < 1e-9
