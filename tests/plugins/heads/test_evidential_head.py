"""Evidential classification: its loss against torch's distributions, and how its penalty grows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.heads.evidential import Evidential, EvidentialConfig
from pydantic import ValidationError
from torch.distributions import Dirichlet, kl_divergence

from fusionkit.shapes.layouts import Vector

CLASSES = ["a", "b", "c"]
SCORES = 3 * torch.randn(11, 3, generator=torch.Generator().manual_seed(1))
TARGET = torch.arange(11) % 3


def make(**options: Any) -> Evidential:
    torch.manual_seed(0)
    return Evidential(EvidentialConfig(classes=CLASSES, layer="none", **options), [Vector((3,))]).eval()


def test_the_result_is_the_log_of_alpha_and_the_mean_its_decoding() -> None:
    head, alpha = make(), 1 + F.softplus(SCORES)
    torch.testing.assert_close(head(SCORES), alpha.log())
    torch.testing.assert_close(head.decode(head(SCORES)), Dirichlet(alpha).mean)
    assert torch.equal(make(reads="log_alpha")(SCORES), SCORES)


def test_the_loss_is_the_expected_cross_entropy_and_the_divergence_of_the_rest() -> None:
    head = make()
    output, y = head(SCORES), F.one_hot(TARGET, 3).float()
    alpha = output.exp()
    drawn = Dirichlet(alpha).sample((40_000,))
    expected = -(y * drawn.clamp(min=1e-30).log()).sum(2).mean(0)
    others = y + (1 - y) * alpha
    penalty = kl_divergence(Dirichlet(others), Dirichlet(torch.ones_like(others)))
    torch.testing.assert_close(head.loss(output, TARGET), expected + penalty, rtol=0.03, atol=0.03)
    torch.testing.assert_close(head.loss(output, TARGET), head.loss(output, y))


def test_the_penalty_grows_with_the_epochs_of_training() -> None:
    head = make(annealing=4).train()
    output = head(SCORES)
    full = make(annealing=0).loss(output, TARGET)
    head.balance(torch.tensor([4.0, 4.0, 3.0]))
    found = torch.stack([head.loss(output, TARGET) for _ in range(6)])
    shares = (found - found[0]) / (full - found[0])
    torch.testing.assert_close(shares, torch.tensor([[0.0], [0.25], [0.5], [0.75], [1.0], [1.0]]).expand(6, 11),
                               rtol=1e-3, atol=1e-3)
    assert head.eval().loss(output, TARGET).equal(full)
    assert head.state_dict()["seen"].item() == 6 * 11


def test_large_evidence_has_a_finite_loss_and_gradient() -> None:
    output = torch.tensor([[30.0, 0.0, 0.0], [0.0, 30.0, 30.0]], requires_grad=True)
    loss = make(annealing=0).loss(output, torch.tensor([0, 0]))
    loss.sum().backward()
    assert loss[0] < 1e-3
    assert loss.isfinite().all()
    assert output.grad is not None and output.grad.isfinite().all()


@pytest.mark.parametrize(("options", "message"), [
    ({"classes": ["a", "a"]}, "twice"), ({"classes": CLASSES, "reads": "log_alpha"}, "layer: none")])
def test_what_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvidentialConfig(**options)
