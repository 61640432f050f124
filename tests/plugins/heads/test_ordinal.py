"""The ordinal head: losses, probabilities and gradients of each link as recorded, and what its decoding promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.heads.ordinal import Ordinal, OrdinalConfig, component
from recorded import GOLDEN
from torch import Tensor

import fusionkit
from fusionkit.api import Vector
from fusionkit.components.config import ComponentError
from fusionkit.training.batch_advice import few_of_a_kind

with np.load(GOLDEN / "outcomes" / "ordinal.npz") as file:
    CASE = {key: file[key] for key in file.files}
GRADE = torch.as_tensor(CASE["grade"]).long()
NAMES = ["0", "1", "2", "3", "4"]


def double(name: str) -> Tensor:
    return torch.as_tensor(CASE[name]).double()


def head(link: str, width: int = 1, **options: Any) -> Ordinal:
    config = OrdinalConfig.model_validate({"grades": NAMES, "link": link, **options})
    module: Ordinal = component.module(config, [Vector((width,))])
    return module.double()


def test_coral_is_as_recorded() -> None:
    module = head("coral", layer="none")
    module.bias.data = double("coral_bias")
    logits = module(double("score")[:, None]).detach().requires_grad_()
    torch.testing.assert_close(logits, double("coral_logits"), rtol=0, atol=1e-12)
    losses = module.loss(logits, GRADE)
    torch.testing.assert_close(losses, double("out_coral"), rtol=0, atol=1e-9)
    gradient, = torch.autograd.grad(losses.sum(), logits)
    torch.testing.assert_close(gradient, double("grad_coral"), rtol=0, atol=1e-9)
    above = module.above(logits)
    torch.testing.assert_close(above, double("out_coral_cumulative"), rtol=0, atol=1e-9)
    assert torch.equal((above > 0.5).sum(1), torch.as_tensor(CASE["out_coral_label"]).long())


def test_corn_is_as_recorded_and_its_loss_is_a_likelihood() -> None:
    module, logits = head("corn", width=4, layer="none"), double("corn_logits").requires_grad_()
    losses = module.loss(logits, GRADE)
    torch.testing.assert_close(losses, double("out_corn_each"), rtol=0, atol=1e-9)
    gradient, = torch.autograd.grad(losses.sum(), logits, retain_graph=True)
    torch.testing.assert_close(gradient, double("grad_corn_sum"), rtol=0, atol=1e-9)
    torch.testing.assert_close(module.above(logits), double("out_corn_cumulative"), rtol=0, atol=1e-9)
    shares = module.decode(logits)
    torch.testing.assert_close(shares, double("out_corn_probabilities"), rtol=0, atol=1e-9)
    torch.testing.assert_close(losses, -shares.log()[torch.arange(len(GRADE)), GRADE], rtol=0, atol=1e-9)
    # The authors' code divides by the questions that the cases of a batch have.
    asked = (GRADE + 1).clamp(max=4).sum()
    assert (losses.sum() / asked).item() == pytest.approx(float(CASE["out_corn_coral_pytorch"]), abs=1e-9)


def test_proportional_odds_are_as_recorded() -> None:
    module = head("cumulative", layer="none")
    thresholds = double("thresholds")
    module.first.data = thresholds[:1]
    module.steps.data = thresholds.diff().expm1().log()
    logits = module(double("score")[:, None])
    torch.testing.assert_close(module.thresholds(), thresholds, rtol=0, atol=1e-12)
    torch.testing.assert_close(module.loss(logits, GRADE), double("out_link"), rtol=0, atol=1e-9)
    torch.testing.assert_close(module.decode(logits), double("out_link_probabilities"), rtol=0, atol=1e-9)


@pytest.mark.parametrize("score", [-50.0, 50.0])
def test_the_likelihood_is_exact_far_from_the_thresholds(score: float) -> None:
    module = head("cumulative", layer="none").float()
    features = torch.full((5, 1), score, requires_grad=True)
    losses = module.loss(module(features), torch.arange(5))
    gradient, = torch.autograd.grad(losses.sum(), features)
    assert bool(losses.isfinite().all()) and bool(gradient.isfinite().all())
    assert losses.max().item() == pytest.approx(50, abs=4)


@pytest.mark.parametrize("link", ["coral", "cumulative", "corn"])
def test_probabilities_are_a_distribution_and_never_rise_with_the_grade(link: str) -> None:
    torch.manual_seed(0)
    module = head(link, width=6)
    if link == "coral":
        module.bias.data = torch.tensor([-1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    output = module(torch.randn(50, 6, dtype=torch.float64) * 3)
    assert bool((module.above(output).diff(dim=1) <= 1e-12).all())
    torch.testing.assert_close(module.decode(output).sum(1), torch.ones(50, dtype=torch.float64))
    assert bool((module.decode(output) >= 0).all())


def test_training_starts_at_the_shares_of_the_grades() -> None:
    module = head("cumulative", width=3)
    module.balance(torch.tensor([40.0, 30.0, 20.0, 6.0, 4.0]))
    shares = module.decode(module(torch.zeros(1, 3, dtype=torch.float64)))[0].tolist()
    assert shares == pytest.approx([0.4, 0.3, 0.2, 0.06, 0.04], abs=1e-6)


def test_two_grades_are_a_binary_question() -> None:
    module, score = head("cumulative", grades=["low", "high"], layer="none"), torch.tensor([[0.7]]).double()
    assert module.decode(module(score))[0, 1].item() == pytest.approx(1 / (1 + math.exp(-0.7)))


def test_without_a_layer_the_input_has_as_many_numbers_as_the_link_needs() -> None:
    assert head("corn", width=4, layer="none") and head("coral", width=1, layer="none")
    with pytest.raises(ComponentError, match="needs one input feature for each of its 4 outputs"):
        head("corn", width=1, layer="none")


@pytest.mark.parametrize("link", ["coral", "cumulative", "corn"])
def test_the_weight_of_a_grade_multiplies_the_loss_of_its_cases(link: str) -> None:
    torch.manual_seed(0)
    plain, weighted = head(link, width=3), head(link, width=3, class_weights=[1.0, 2.0, 3.0, 4.0, 5.0])
    weighted.load_state_dict(plain.state_dict(), strict=False)
    output = plain(torch.randn(5, 3, dtype=torch.float64))
    torch.testing.assert_close(weighted.loss(output, torch.arange(5)),
                               plain.loss(output, torch.arange(5)) * torch.arange(1.0, 6.0).double())
    balanced = head(link, width=3, class_weights="balanced")
    balanced.balance(torch.tensor([40.0, 30.0, 20.0, 6.0, 4.0]))
    assert balanced.weights.tolist() == pytest.approx([0.5, 2 / 3, 1, 10 / 3, 5])


def test_cases_out_of_order_are_those_whose_probabilities_rise() -> None:
    module = head("coral", layer="none")
    output = module(torch.zeros(3, 1, dtype=torch.float64))
    assert not module.out_of_order(output).any()
    module.bias.data = torch.tensor([0.0, 1.0, -1.0, -2.0], dtype=torch.float64)
    assert module.out_of_order(module(torch.zeros(3, 1, dtype=torch.float64))).all()
    assert not head("corn", width=4, layer="none").out_of_order(torch.tensor([[0.0, 9.0, 0.0, 0.0]])).any()


@pytest.mark.parametrize(("link", "few"), [("corn", ["few-of-a-kind"]), ("cumulative", [])])
def test_corn_warns_of_fewer_than_a_hundred_cases_of_a_grade(link: str, few: list[str]) -> None:
    graph: dict[str, Any] = {"fusionkit": 1, "name": "small", "inputs": {"x": {"vector": [3]}}, "nodes": {
        "grade": {"use": "head.ordinal", "from": "x", "with": {"grades": ["a", "b", "c"], "link": link}}}}
    found = few_of_a_kind(fusionkit.build(graph).plan, lambda head: {"a": 130, "b": 99, "c": 100})
    assert [warning.code for warning in found] == few
    assert all("there are 99 of 'b'" in warning.message for warning in found)
