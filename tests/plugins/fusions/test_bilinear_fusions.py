"""Fusions by products: the whole outer product, and what approximates it for two vectors."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import bilinear, lmf, mfb, moments, mutan, tfn
from fusionkit_plugins.fusions import sum as addition
from torch.nn import functional as F

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Vector

X, Y, Z = (torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (7, 3, 2))
ONE, TWO, THREE = (F.pad(x, (1, 0), value=1.0) for x in (X, Y, Z))
FIRST = torch.tensor([[True, False]] * 5)
GONE = torch.full_like(Y, float("nan"))
PAIRED = [(bilinear.component, {}), (mutan.component, {"hidden": 13}), (mfb.component, {"hidden": 13})]


def test_tensor_fusion_is_one_layer_on_the_outer_product(build):
    module = build(tfn.component, X, Y, Z, width=11)
    product = torch.einsum("na,nb,nc->nabc", ONE, TWO, THREE).flatten(1)
    torch.testing.assert_close(module(X, Y, Z), module.project(product), rtol=1e-4, atol=1e-5)


def test_tensor_fusion_keeps_what_does_not_involve_the_absent(build):
    module = build(tfn.component, X, Y, Z, width=11)
    weight = module.project.weight.unflatten(1, (8, 4, 3))
    wanted = torch.einsum("oac,na,nc->no", weight[:, :, 0], ONE, THREE)
    found = module(X, GONE, Z, present=torch.tensor([[True, False, True]] * 5))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_tensor_fusion_has_a_limit():
    wide = [Vector((128,))] * 3
    with pytest.raises(ComponentError, match="2,146,689 products"):
        tfn.component.output(tfn.component.config(), wide)
    assert tfn.component.output(tfn.component.config(force=True, width=2), wide) == Vector((2,))


def test_bilinear_by_its_formula(build):
    module = build(bilinear.component, X, Y, width=11)
    wanted = torch.einsum("na,aob,nb->no", ONE, module.weight_cwd, TWO)
    torch.testing.assert_close(module(X, Y), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module(X, GONE, present=FIRST), ONE @ module.weight_cwd[:, :, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tanh", [True, False])
def test_mutan_by_its_formula(build, tanh):
    module = build(mutan.component, X, Y, width=11, hidden=13, rank=3, tanh=tanh)
    with torch.no_grad():
        for factor in module.factors:
            factor.bias.normal_()
    u, v = (layer(x) for layer, x in zip(module.enter, (X, Y), strict=True))
    u, v = (u.tanh(), v.tanh()) if tanh else (u, v)
    a, b = (layer(x).reshape(5, 3, 13) for layer, x in zip(module.factors, (u, v), strict=True))
    torch.testing.assert_close(module(X, Y), module.output(sum(a[:, i] * b[:, i] for i in range(3))))
    torch.testing.assert_close(module(X, GONE, present=FIRST), module.output(a.sum(1)))


def test_mutan_is_a_bilinear_form_of_rank_r_in_each_feature(build):
    """Without tanh, biases and the last layer: z_k = u' (sum_i A_ik B_ik') v, of rank r."""
    module = build(mutan.component, X, Y, hidden=13, rank=3, tanh=False)
    a, b = (layer.weight.unflatten(0, (3, 13)) for layer in module.factors)
    u, v = (layer(x) for layer, x in zip(module.enter, (X, Y), strict=True))
    core = torch.einsum("rka,rkb->kab", a, b)
    assert torch.linalg.matrix_rank(core).tolist() == [3] * 13
    torch.testing.assert_close(module(X, Y), module.output(torch.einsum("na,kab,nb->nk", u, core, v)),
                               rtol=1e-4, atol=1e-5)


def test_mfb_by_its_formula(build):
    module = build(mfb.component, X, Y, width=11, hidden=13, factors=4)
    u, v = (layer(x) for layer, x in zip(module.project, (X, Y), strict=True))

    def pooled(product):
        z = product.reshape(5, 13, 4).sum(2)
        root = z.sign() * z.abs().sqrt()
        return module.output(root / root.norm(dim=1, keepdim=True))

    torch.testing.assert_close(module(X, Y), pooled(u * v), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(module(X, GONE, present=FIRST), pooled(u), rtol=1e-3, atol=1e-3)


def test_the_signed_root_has_no_infinite_slope():
    z = torch.tensor([-4.0, 0.0, 9.0, 1e-30], requires_grad=True)
    root = mfb.signed_root(z)
    torch.testing.assert_close(root, torch.tensor([-2.0, 0.0, 3.0, 0.0]), rtol=1e-3, atol=2e-4)
    root.sum().backward()
    assert z.grad.isfinite().all()
    assert z.grad[0].item() == pytest.approx(1 / 4, rel=1e-4)


def test_mfb_drops_products_before_it_sums_them(build):
    module = build(mfb.component, X, Y, width=11, hidden=13, factors=4, dropout=0.5).train()
    seen = []
    module.dropout.register_forward_hook(lambda part, given, made: seen.append(made))
    module(X, Y)
    assert seen[0].shape == (5, 52)
    assert 0.2 < (seen[0] == 0).float().mean() < 0.8


def test_sizes(build, count):
    assert count(build(tfn.component, X, Y, Z, width=11)) == 11 * 8 * 4 * 3 + 11
    assert count(build(bilinear.component, X, Y, width=11)) == 11 * 8 * 4
    assert count(build(mutan.component, X, Y, width=11, hidden=13, rank=3)) == (
        8 * 13 + 4 * 13 + 2 * 3 * 13 * 14 + 14 * 11)
    assert count(build(mfb.component, X, Y, width=11, hidden=13, factors=4)) == 8 * 13 * 4 + 4 * 13 * 4 + 14 * 11


@pytest.mark.parametrize(("component", "options"), [*PAIRED, (tfn.component, {}), (mutan.component, {"tanh": False})])
def test_a_new_module_keeps_the_variance(build, component, options):
    x, y = torch.randn(2, 499, 31).unbind(0)
    assert 0.3 < build(component, x, y, width=97, **options)(x, y).var(0).mean().item() < 3


@pytest.mark.parametrize(("component", "options"), PAIRED)
def test_nothing_present_gives_zeros(build, component, options):
    module = build(component, X, Y, width=11, **options)
    assert not module(torch.full_like(X, float("nan")), GONE, present=torch.zeros(5, 2, dtype=torch.bool)).any()


@pytest.mark.parametrize(("component", "options", "learns"), [
    *((component, {"width": 1, **options}, True) for component, options in PAIRED),
    (tfn.component, {"width": 1}, True), (lmf.component, {"width": 1}, True),
    (addition.component, {"width": 1}, False)])
def test_products_learn_the_exclusive_or_and_a_sum_cannot(build, component, options, learns):
    x = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    y = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    module = build(component, x, y, **options)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.03)
    for _ in range(150):
        optimiser.zero_grad()
        F.softplus(-x * y * module(x, y)).mean().backward()
        optimiser.step()
    assert (((module(x, y) > 0) == (x * y > 0)).all().item()) == learns


def test_the_variance_of_two_signs_is_their_exclusive_or(build):
    x = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    y = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    assert build(moments.component, x, y)(x, y)[:, 1].tolist() == [0.0, 2.0, 2.0, 0.0]
