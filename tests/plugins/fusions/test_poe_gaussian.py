from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.poe_gaussian import component
from torch.distributions import Normal, kl_divergence

from fusionkit.components.config import ComponentError

X, Y, Z = torch.randn(3, 5, 14, generator=torch.Generator().manual_seed(1)).unbind(0)
GONE = torch.full_like(Y, float("nan"))
SOME = torch.tensor([[True, False, True]] * 5)


def joint(*experts, prior):
    """The precision-weighted mean and the inverse of the summed precisions."""
    means, variances = torch.stack([x[:, :7] for x in experts]), torch.stack([x[:, 7:].exp() for x in experts])
    precision = (1 / variances).sum(0) + prior
    return (means / variances).sum(0) / precision, 1 / precision


@pytest.mark.parametrize("prior", [True, False])
def test_it_is_the_product_of_the_densities(build, prior):
    latent, mean, logvar, _ = build(component, X, Y, Z, prior=prior)(X, Y, Z)
    wanted_mean, wanted_variance = joint(X, Y, Z, prior=prior)
    torch.testing.assert_close(mean, wanted_mean)
    torch.testing.assert_close(logvar.exp(), wanted_variance)
    assert torch.equal(latent, mean)
    # The product of the densities has one shape with the joint density: their logs differ by a constant.
    points = torch.linspace(-2, 2, 5).reshape(5, 1, 1)
    experts = [Normal(x[:, :7], (x[:, 7:] / 2).exp()) for x in (X, Y, Z)] + [Normal(0.0, 1.0)] * prior
    apart = sum(expert.log_prob(points) for expert in experts) - Normal(mean, (logvar / 2).exp()).log_prob(points)
    torch.testing.assert_close(apart, apart[:1].expand_as(apart), rtol=1e-4, atol=1e-4)


def test_identical_experts_halve_the_variance(build):
    _, mean, logvar, _ = build(component, X, X, prior=False)(X, X)
    torch.testing.assert_close(mean, X[:, :7])
    torch.testing.assert_close(logvar.exp(), X[:, 7:].exp() / 2)


@pytest.mark.parametrize("prior", [True, False])
def test_absent_experts_have_no_precision(build, prior):
    found = build(component, X, Y, Z, prior=prior, beta=1.0)(X, GONE, Z, present=SOME)
    for part, wanted in zip(found, build(component, X, Z, prior=prior, beta=1.0)(X, Z), strict=True):
        torch.testing.assert_close(part, wanted)


def test_nothing_present_is_the_prior(build):
    found = build(component, X, Y, beta=1.0).train()(GONE, GONE, present=torch.zeros(5, 2, dtype=torch.bool))
    assert not any(part.any() for part in found)


def test_the_loss_is_the_divergence_from_the_standard_normal(build):
    present = torch.tensor([[True, True]] * 3 + [[False, True], [False, False]])
    _, mean, logvar, loss = build(component, X, Y, beta=0.5)(X, Y, present=present)
    rows = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(loss, 0.5 * rows[:4].mean())


def test_the_latent_vector_is_drawn_in_training_alone(build):
    wide = [x.repeat(997, 1) for x in (X, Y)]
    module = build(component, *wide)
    latent, mean, logvar, _ = module.train()(*wide)
    normed = (latent - mean) / (logvar / 2).exp()
    assert normed.mean().item() == pytest.approx(0, abs=0.03)
    assert normed.std().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(*module.eval()(*wide)[:2])
    latent, mean, *_ = build(component, *wide, sample=False).train()(*wide)
    assert torch.equal(latent, mean)


def test_extreme_variances_are_held(build):
    x, y = torch.tensor([[1.0, -1e4]]), torch.tensor([[-1.0, 1e4]])
    _, mean, logvar, _ = build(component, x, y, prior=False)(x, y)
    assert mean.item() == pytest.approx(1.0, abs=1e-6)
    assert logvar.item() == pytest.approx(-10, abs=1e-3)


def test_projections(build, count):
    module = build(component, X, Y[:, :3], width=11)
    assert count(module) == 14 * 22 + 22 + 3 * 22 + 22
    assert [part.shape for part in module(X, Y[:, :3])] == [(5, 11)] * 3 + [()]
    with pytest.raises(ComponentError, match="3 features"):
        build(component, X[:, :3], Y[:, :3])
