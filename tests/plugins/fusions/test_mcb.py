"""Compact bilinear pooling: a sketch of the outer product, and hash tables that are saved."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import mcb
from torch.nn import functional as F

X, Y = (torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (7, 3))


def sketched(module):
    """What the module's last layer has read: the normalised sketches."""
    seen = []
    module.output.register_forward_hook(lambda part, given, made: seen.append(given[0]))
    return seen


def hashes(module):
    return [(part.place_c, part.sign_c) for part in module.sketches]


@pytest.mark.parametrize("length", [31, 32])
def test_mcb_counts_the_outer_product(build, length):
    """Feature i of one and j of the other fall on h(i) + h(j), with both signs: no Fourier transform needed."""
    module = build(mcb.component, X, Y, width=11, sketch=length)
    (h, s), (g, t) = hashes(module)
    z = torch.zeros(5, length)
    for i in range(7):
        for j in range(3):
            z[:, (h[i] + g[j]) % length] += s[i] * t[j] * X[:, i] * Y[:, j]
    root = z.sign() * z.abs().sqrt()
    wanted = root / root.norm(dim=1, keepdim=True)
    seen = sketched(module)
    torch.testing.assert_close(module(X, Y), module.output(seen[0]))
    torch.testing.assert_close(seen[0].square() * seen[0].sign(), wanted.square() * wanted.sign(), rtol=1e-3, atol=2e-4)


def test_inner_products_of_sketches_are_on_average_those_of_the_outer_products():
    """E <z, z'> = <x, x'> <y, y'>, over draws of the hash tables."""
    x, other_x, y, other_y = (F.normalize(torch.randn(8), dim=0) for _ in range(4))
    other_x, other_y = other_x + x, other_y + y
    found = []
    for _ in range(1500):
        first, second = mcb.CountSketch(8, 64), mcb.CountSketch(8, 64)
        z = torch.fft.irfft(torch.fft.rfft(first(torch.stack([x, other_x])))
                            * torch.fft.rfft(second(torch.stack([y, other_y]))), n=64)
        found.append((z[0] @ z[1]).item())
    assert sum(found) / len(found) == pytest.approx(((x @ other_x) * (y @ other_y)).item(), abs=0.05)


def test_hash_tables_are_saved_and_not_drawn_again(build):
    module = build(mcb.component, X, Y, width=11, sketch=31)
    another = build(mcb.component, X, Y, width=11, sketch=31)
    assert not torch.equal(module(X, Y), another(X, Y))
    another.load_state_dict(module.state_dict())
    assert torch.equal(module(X, Y), another(X, Y))
    assert all(torch.equal(a, b) for one, two in zip(hashes(module), hashes(another), strict=True)
               for a, b in zip(one, two, strict=True))


def test_hashes_cover_their_range(build):
    x = torch.zeros(1, 2000)
    (places, signs), (others, _) = hashes(build(mcb.component, x, x, sketch=7))
    assert set(places.tolist()) == set(range(7))
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(signs.mean().item()) < 0.1
    assert not torch.equal(places, others)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_transforms_are_in_single_precision(build, monkeypatch, dtype):
    seen = []
    transform = torch.fft.rfft
    monkeypatch.setattr(torch.fft, "rfft", lambda x: seen.append(x.dtype) or transform(x))
    module = build(mcb.component, X, Y, width=11, sketch=31).to(dtype)
    wanted = build(mcb.component, X, Y, width=11, sketch=31)
    wanted.load_state_dict({name: value.float() if value.is_floating_point() else value
                            for name, value in module.state_dict().items()})
    found = module(X.to(dtype), Y.to(dtype))
    assert found.dtype == dtype
    assert seen == [torch.float32] * 2
    torch.testing.assert_close(found.float(), wanted(X.to(dtype).float(), Y.to(dtype).float()), rtol=0.02, atol=0.05)


def test_autocast_leaves_the_transforms_alone(build, monkeypatch):
    seen = []
    transform = torch.fft.rfft
    monkeypatch.setattr(torch.fft, "rfft", lambda x: seen.append(x.dtype) or transform(x))
    module = build(mcb.component, X, Y, width=11, sketch=31)
    with torch.autocast("cpu", torch.bfloat16):
        module(X.bfloat16(), Y.bfloat16())
    assert seen == [torch.float32] * 2


def test_a_vector_of_zeros_has_finite_gradients(build):
    module = build(mcb.component, X, Y, width=11, sketch=31)
    x = torch.zeros_like(X, requires_grad=True)
    module(x, Y).sum().backward()
    assert x.grad.isfinite().all()


def test_sizes_and_starts(build, count):
    assert count(build(mcb.component, X, Y, width=11, sketch=31)) == 32 * 11
    x, y = torch.randn(2, 199, 31).unbind(0)
    assert build(mcb.component, x, y, width=97, sketch=509)(x, y).var(0).mean().item() == pytest.approx(1, abs=0.2)
