"""Fusions of two vectors by a core: a dense one (Tucker), and one of blocks (BLOCK)."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import block, mutan, tucker
from torch.nn import functional as F

from fusionkit.components.config import ComponentError

X, Y, SAME = (torch.randn(5, width, generator=torch.Generator().manual_seed(seed))
              for seed, width in enumerate((7, 3, 7)))
FIRST = torch.tensor([[True, False]] * 5)
GONE = torch.full_like(Y, float("nan"))
CORES = [(tucker.component, {"hidden": 12}), (block.component, {"hidden": 12, "chunks": 3})]


def randomised(module):
    """With biases that are not zero, which a new module's are."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=parameter.shape[-1] ** -0.5)
    return module


def test_tucker_by_its_formula(build):
    module = randomised(build(tucker.component, X, Y, width=11, hidden=13))
    u, v = (layer(x) for layer, x in zip(module.enter, (X, Y), strict=True))
    z = torch.einsum("ni,ikj,nj->nk", u, module.core_hkg, v) + module.core_bias
    torch.testing.assert_close(module(X, Y), module.output(z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("there", [0, 1])
def test_the_factor_of_an_absent_input_is_one_in_tucker(build, there):
    module = randomised(build(tucker.component, X, Y, width=11, hidden=13))
    inputs = [x if place == there else torch.full_like(x, float("inf")) for place, x in enumerate((X, Y))]
    left = torch.einsum("ni,ik->nk" if there == 0 else "nj,kj->nk", module.enter[there](inputs[there]),
                        module.core_hkg.sum(2) if there == 0 else module.core_hkg.sum(0))
    found = module(*inputs, present=torch.tensor([[there == 0, there == 1]] * 5))
    torch.testing.assert_close(found, module.output(left + module.core_bias), rtol=1e-4, atol=1e-5)


def test_a_shared_projection_is_one_in_what_is_saved_and_learned(build, count):
    module = build(tucker.component, X, SAME, width=11, hidden=13, shared=True)
    assert [name for name in module.state_dict() if name.startswith("enter")] == ["enter.0.weight", "enter.0.bias"]
    assert count(module) == count(build(tucker.component, X, SAME, width=11, hidden=13)) - 8 * 13
    apart = build(tucker.component, X, SAME, width=11, hidden=13)
    state = module.state_dict()
    apart.load_state_dict(state | {f"enter.1.{name}": state[f"enter.0.{name}"] for name in ("weight", "bias")})
    for each in (module, apart):
        each(X, SAME).square().sum().backward()
    torch.testing.assert_close(module.enter[0].weight.grad, apart.enter[0].weight.grad + apart.enter[1].weight.grad)
    torch.optim.SGD(module.parameters(), 0.1).step()
    changed = module.enter[0]
    z = torch.einsum("ni,ikj,nj->nk", changed(X), module.core_hkg, changed(SAME)) + module.core_bias
    torch.testing.assert_close(module(X, SAME), module.output(z), rtol=1e-4, atol=1e-4)


def test_a_shared_projection_asks_for_one_width(build):
    with pytest.raises(ComponentError, match="inputs have 7 and 3 features"):
        build(tucker.component, X, Y, shared=True)


def chunk_factors(module, place, x, sizes):
    """`A_ji u_j + a_ji`, (cases, chunks j, ranks i, features of a chunk), with a matrix for each j and i."""
    chunks, rank, size = sizes
    u = module.enter[place](x).reshape(-1, chunks, size)
    weight = module.factors[place].weight.reshape(chunks, rank, size, size)
    return torch.einsum("jiab,njb->njia", weight, u) + module.factors[place].bias.reshape(chunks, rank, size)


def test_block_by_its_formula(build):
    module = randomised(build(block.component, X, Y, width=11, hidden=12, chunks=3, rank=2))
    a, b = (chunk_factors(module, place, x, (3, 2, 4)) for place, x in enumerate((X, Y)))
    torch.testing.assert_close(module(X, Y), module.output((a * b).sum(2).flatten(1)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module(X, GONE, present=FIRST), module.output(a.sum(2).flatten(1)),
                               rtol=1e-4, atol=1e-5)


def test_the_core_of_block_is_block_diagonal(build):
    """A feature of the product depends on its own chunk of the projections, and on no other."""
    module = build(block.component, X, Y, width=11, hidden=12, chunks=3, rank=2)
    products = []
    module.output.register_forward_hook(lambda part, given, made: products.append(given[0]))
    for place in (None, 5):
        with torch.no_grad():
            if place is not None:
                module.enter[0].bias[place] += 1
        module(X, Y)
    changed = (products[0] != products[1]).any(0)
    assert changed.tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_block_with_one_chunk_is_mutan_without_tanh(build):
    whole = randomised(build(mutan.component, X, Y, width=11, hidden=12, rank=2, tanh=False))
    module = build(block.component, X, Y, width=11, hidden=12, chunks=1, rank=2)
    module.load_state_dict({name: weight.reshape(module.state_dict()[name].shape)
                            for name, weight in whole.state_dict().items()})
    torch.testing.assert_close(module(X, Y), whole(X, Y))
    torch.testing.assert_close(module(X, GONE, present=FIRST), whole(X, GONE, present=FIRST))


def test_chunks_divide_the_hidden_width(build):
    with pytest.raises(ComponentError, match="'hidden' is 10, which is not divisible by 4 chunks") as caught:
        build(block.component, X, Y, hidden=10)
    assert "set 'hidden' to 12" in caught.value.fix


def test_sizes(build, count):
    assert count(build(tucker.component, X, Y, width=11, hidden=13)) == 8 * 13 + 4 * 13 + 13**3 + 13 + 14 * 11
    assert count(build(block.component, X, Y, width=11, hidden=12, chunks=3, rank=2)) == (
        8 * 12 + 4 * 12 + 2 * 3 * 2 * 4 * 5 + 13 * 11)


@pytest.mark.parametrize(("component", "options"), CORES)
def test_a_new_module_keeps_the_variance(build, component, options):
    x, y = torch.randn(2, 499, 31).unbind(0)
    assert 0.3 < build(component, x, y, width=97, **options | {"hidden": 24})(x, y).var(0).mean().item() < 3


@pytest.mark.parametrize(("component", "options"), CORES)
def test_nothing_present_gives_zeros(build, component, options):
    module = build(component, X, Y, width=11, **options)
    assert not module(torch.full_like(X, float("nan")), GONE, present=torch.zeros(5, 2, dtype=torch.bool)).any()


@pytest.mark.parametrize(("component", "options"), CORES)
def test_products_learn_the_exclusive_or(build, component, options):
    x = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    y = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    module = build(component, x, y, width=1, **options)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.03)
    for _ in range(150):
        optimiser.zero_grad()
        F.softplus(-x * y * module(x, y)).mean().backward()
        optimiser.step()
    assert ((module(x, y) > 0) == (x * y > 0)).all()
