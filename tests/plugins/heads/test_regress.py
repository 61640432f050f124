"""Named values: losses against torch's own, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.regression_losses import pinball
from fusionkit_plugins.heads.regress import Regress, RegressConfig
from pydantic import ValidationError
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.components.quantile_names import level_of, quantile_name
from fusionkit.inference.details import pooled
from fusionkit.registry.tasks import task_named
from fusionkit.shapes.layouts import Vector

RECORDED = json.loads((GOLDEN / "outcomes" / "regression.json").read_text(encoding="utf-8"))["out"]


def make(**options: Any) -> Regress:
    torch.manual_seed(0)
    return Regress(RegressConfig(**{"values": ["age", "volume"], **options}), [Vector((7,))]).eval()


def case() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(11, 2, generator=random), 3 * torch.randn(11, 2, generator=random)


def test_losses_are_means_over_values() -> None:
    output, target = case()
    error = (output - target).abs()
    torch.testing.assert_close(make().loss(output, target), (error**2).mean(1))
    torch.testing.assert_close(make(loss="mae").loss(output, target), error.mean(1))
    huber = torch.where(error <= 0.5, error**2 / 2, 0.5 * (error - 0.25)).mean(1)
    torch.testing.assert_close(make(loss="huber", delta=0.5).loss(output, target), huber)
    torch.testing.assert_close(huber, F.huber_loss(output, target, delta=0.5, reduction="none").mean(1))


def test_targets_and_values_are_used_as_they_are() -> None:
    output, _ = case()
    head = make()
    state = {name: value.clone() for name, value in head.state_dict().items()}
    head.balance(torch.tensor([3.0, 5.0]))
    assert torch.equal(head.decode(output), output)
    assert all(torch.equal(value, state[name]) for name, value in head.state_dict().items())


def test_targets_of_double_precision_do_not_change_the_dtype() -> None:
    output, target = case()
    assert make().loss(output, target.double()).dtype == torch.float32


@pytest.mark.parametrize("options", [{"values": []}, {"values": ["a", "a"]}, {"delta": 2.0}, {"loss": "log"},
                                     {"loss": "huber", "delta": 0.0}, {"beta": 0.1}, {"quantiles": [0.1, 0.5]},
                                     {"loss": "quantile", "quantiles": [0.1, 0.9]},
                                     {"loss": "quantile", "quantiles": [0.5, 0.1]},
                                     {"loss": "gaussian", "transform": "log"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RegressConfig(**{"values": ["age", "volume"], **options})


def test_scaling_is_as_recorded_and_given_back() -> None:
    wanted = RECORDED["scaling"]
    train = torch.tensor(wanted["train"])[:, None]
    head = make(values=["age"], standardise=True)
    assert {"mean", "sd"} < set(head.state_dict()) and "mean" not in make().state_dict()
    head.prepare(train)
    assert head.mean.item() == pytest.approx(wanted["mean"]) and head.sd.item() == pytest.approx(
        wanted["sd_population"])
    first = torch.tensor([[wanted["first"]]])
    torch.testing.assert_close(head.decode(first), first * head.sd + head.mean)
    # In standard deviations, in whatever unit the targets come.
    months = make(values=["age"], standardise=True)
    months.prepare(train * 12)
    torch.testing.assert_close(months.loss(first, train[:1] * 12), head.loss(first, train[:1]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head.loss(first + 1, first * head.sd + head.mean), torch.ones(1), atol=1e-5, rtol=0)


def test_each_value_is_scaled_by_the_cases_that_have_it() -> None:
    head = make(standardise=True)
    head.prepare(torch.tensor([[1.0, math.nan], [3.0, 10.0], [math.nan, 30.0]]))
    assert head.mean.tolist() == [2, 20] and head.sd.tolist() == [1, 10]
    # The same after other cases: nothing of the first is kept.
    head.prepare(torch.tensor([[5.0, 1.0], [7.0, 3.0]]))
    assert head.mean.tolist() == [6, 2] and head.sd.tolist() == [1, 1]


@pytest.mark.parametrize("target,words", [([[4.0, 1.0], [4.0, 2.0]], "the value 'age' is the same in all 2 training"),
                                          ([[1.0, -1.0], [2.0, 2.0]], "not above 0")])
def test_targets_that_cannot_be_scaled_are_refused(target: list[list[float]], words: str) -> None:
    with pytest.raises(ComponentError, match=words):
        make(standardise=True, transform="log").prepare(torch.tensor(target))


def test_logarithms_are_learned_and_medians_told() -> None:
    head, target = make(transform="log", standardise=True), torch.tensor([[1.0, 2.0], [3.0, 8.0]])
    head.prepare(target)
    raw = ((target.log() - head.mean) / head.sd).float()
    torch.testing.assert_close(head.decode(raw), target)
    torch.testing.assert_close(head.loss(raw, target), torch.zeros(2))
    assert bool(head.decode(torch.full((1, 2), 1e4)).isfinite().all())


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_gaussian_loss_is_a_likelihood_times_a_power_of_its_variance(beta: float) -> None:
    output, target = case()
    head, outputs = make(loss="gaussian", beta=beta), torch.cat([output, output.flip(0)], 1).requires_grad_()
    variance = F.softplus(outputs[:, 2:]) + 1e-6
    plain = -torch.distributions.Normal(outputs[:, :2], variance.sqrt()).log_prob(target)
    wanted = (plain * variance.detach() ** beta).mean(1)
    torch.testing.assert_close(head.loss(outputs, target), wanted)
    own, = torch.autograd.grad(head.loss(outputs, target).sum(), outputs)
    torch.testing.assert_close(own, torch.autograd.grad(wanted.sum(), outputs)[0])
    assert head.details(outputs)["volume:sd"].detach().tolist() == pytest.approx(variance[:, 1].sqrt().tolist())


def test_a_standard_deviation_is_in_the_unit_of_the_targets() -> None:
    head = make(values=["age"], loss="gaussian", standardise=True)
    head.prepare(torch.tensor([[10.0], [30.0]]))
    told = head.details(torch.tensor([[0.0, math.log(math.expm1(4.0))]]))
    assert told["sd"].item() == pytest.approx(20.0, rel=1e-4)


def test_quantiles_do_not_cross_and_their_loss_is_that_of_each_level() -> None:
    levels = [0.05, 0.25, 0.5, 0.9]
    head = make(loss="quantile", quantiles=levels)
    outputs, target = 5 * torch.randn(11, 8, generator=torch.Generator().manual_seed(2)), case()[1]
    told = {**head.details(outputs), **{f"{name}:q50": head.decode(outputs)[:, place]
                                        for place, name in enumerate(("age", "volume"))}}
    for name in ("age", "volume"):
        every = torch.stack([told[f"{name}:{quantile_name(level)}"] for level in levels], 1)
        assert bool((every.diff(dim=1) >= 0).all())
    errors = {level: target - torch.stack([told[f"age:{quantile_name(level)}"],
                                           told[f"volume:{quantile_name(level)}"]], 1) for level in levels}
    wanted = sum(torch.maximum(level * error, (level - 1) * error) for level, error in errors.items())
    torch.testing.assert_close(head.loss(outputs, target), wanted.mean(1))


def test_the_pinball_loss_is_as_recorded() -> None:
    recorded = json.loads((GOLDEN / "outcomes" / "regression.json").read_text(encoding="utf-8"))
    truth, mean, sd = (torch.as_tensor(np.array(recorded[key])) for key in ("y", "mean", "sd"))
    for level, wanted in RECORDED["pinball"].items():
        number = torch.tensor(float(level), dtype=torch.float64)
        found = pinball(mean + sd * torch.special.ndtri(number), truth, number).mean()
        assert found.item() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("level,name", [(0.05, "q05"), (0.5, "q50"), (0.975, "q975"), (0.1, "q10"), (0.001, "q001")])
def test_names_of_quantiles_stand_for_their_level(level: float, name: str) -> None:
    assert quantile_name(level) == name and level_of(name) == level and level_of("sd") is None


def test_several_networks_give_the_variance_of_their_mixture_and_the_mean_of_their_quantiles() -> None:
    task = task_named("regression")
    means = [np.array([[1.0], [2.0]]), np.array([[3.0], [2.0]])]
    found = pooled(task, [{"sd": np.array([1.0, 2.0])}, {"sd": np.array([3.0, 4.0])}], means, ("age",))
    assert found["sd"] == pytest.approx(np.sqrt([(1 + 9) / 2 + 1, (4 + 16) / 2 + 0]))
    quantiles = [{"q05": np.array([1.0, 2.0])}, {"q05": np.array([3.0, 4.0])}]
    assert pooled(task, quantiles, means, ("age",))["q05"].tolist() == [2, 3]
    assert not pooled(task, [{"sd": means[0][:, 0]}, {}], means, ("age",))
    assert not pooled(task_named("survival"), [{"risk": means[0][:, 0]}], means[:1], ("12",))
