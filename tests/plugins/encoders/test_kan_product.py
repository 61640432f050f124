"""The product behind encoder.kan: its three ways give the same numbers and gradients, and what each keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from fusionkit_plugins.blocks import spline_product
from fusionkit_plugins.blocks.spline_product import BASES, Expansion, product
from fusionkit_plugins.blocks.splines import Basis, Cardinal, Recursion, knots
from torch import Tensor

OUTSIDE = ("zero", "clamp", "linear")
INPUTS, OUTPUTS, SAMPLES = 3, 2, 11
CLOSED: Basis = Cardinal(-1.0, 0.4, 8)


def moved(order: int) -> Basis:
    """Knots that are not evenly spaced, other ones for each input."""
    steps = torch.rand(6 + 2 * order, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    return Recursion(steps.cumsum(0) - 2, order)


BASES_OF_SPLINES = {"closed": CLOSED, "recursion": moved(3), "linear splines": moved(1)}
EXPANSIONS = {f"{name}, {outside}, {base}": Expansion(basis, outside, BASES[base])
              for name, basis in BASES_OF_SPLINES.items() for outside in OUTSIDE for base in ("silu", "none")}
EXPANSIONS |= {base: Expansion(CLOSED, "zero", BASES[base]) for base in ("gelu", "relu", "tanh", "identity")}


@pytest.fixture(params=["kept", "recomputed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(spline_product, "_SMALL", 10**9 if request.param == "kept" else 0)
    monkeypatch.setattr(spline_product, "_SAMPLES", 4)
    monkeypatch.setattr(spline_product, "_VALUES", 1)
    return request.param


def case(expansion: Expansion, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    x = 2 * torch.randn(SAMPLES, INPUTS, dtype=torch.float64, generator=random)
    matrix = torch.randn(expansion.rows * INPUTS, OUTPUTS, dtype=torch.float64, generator=random)
    return x.to(dtype).requires_grad_(), matrix.to(dtype).requires_grad_()


def plain(x: Tensor, matrix: Tensor, expansion: Expansion) -> Tensor:
    return expansion.row(x).flatten(1) @ matrix


@pytest.mark.parametrize("name", EXPANSIONS)
def test_all_ways_agree_with_their_gradients(way: str, name: str):
    expansion = EXPANSIONS[name]
    x, matrix = case(expansion)
    direction = torch.randn(SAMPLES, OUTPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    found, wanted = product(x, matrix, expansion), plain(x, matrix, expansion)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    for one, other in zip(torch.autograd.grad(found, (x, matrix), direction),
                          torch.autograd.grad(wanted, (x, matrix), direction), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["closed, zero, silu", "closed, linear, none", "recursion, clamp, silu"])
def test_gradients_are_those_of_the_function(way: str, name: str):
    expansion = EXPANSIONS[name]
    assert torch.autograd.gradcheck(lambda x, m: product(x, m, expansion), case(expansion))
    assert torch.autograd.gradgradcheck(lambda x, m: product(x, m, expansion), case(expansion))


@pytest.mark.parametrize("needed", [(True, False), (False, True)], ids=["samples", "matrix"])
def test_only_the_gradient_that_is_needed_is_made(way: str, needed: tuple[bool, bool]):
    expansion = EXPANSIONS["closed, zero, silu"]
    x, matrix = (part.detach().requires_grad_(asked) for part, asked in zip(case(expansion), needed, strict=True))
    product(x, matrix, expansion).sum().backward()
    assert (x.grad is not None, matrix.grad is not None) == needed


def kept(expansion: Expansion) -> int:
    """Numbers kept for backward besides samples and matrix."""
    x, matrix = case(expansion)
    there = {part.untyped_storage().data_ptr() for part in (x, matrix)}
    found: dict[int, int] = {}

    def keep(part: Tensor) -> Tensor:
        if part.untyped_storage().data_ptr() not in there:
            found[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes() // 8
        return part

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
        result = product(x, matrix, expansion)
    del result
    return sum(found.values())


@pytest.mark.parametrize("name", ["closed, linear, silu", "recursion, zero, silu"])
def test_what_is_computed_again_is_not_kept(monkeypatch: pytest.MonkeyPatch, name: str):
    expansion = EXPANSIONS[name]
    rows, values = SAMPLES * expansion.rows * INPUTS, SAMPLES * expansion.basis.count * INPUTS
    assert kept(expansion) == rows + values
    monkeypatch.setattr(spline_product, "_SMALL", rows)
    assert kept(expansion) == 0


def test_half_precision_is_for_the_product_alone(way: str):
    expansion = EXPANSIONS["closed, zero, silu"]
    x, matrix = case(expansion, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = product(x, matrix, expansion)
    assert found.dtype == torch.bfloat16
    wanted = plain(x, matrix, expansion)
    torch.testing.assert_close(found.float(), wanted, rtol=0.03, atol=0.1)
    found.float().sum().backward()
    mine = x.grad, matrix.grad
    for one, other in zip(mine, torch.autograd.grad(wanted.sum(), (x, matrix)), strict=True):
        assert one is not None and one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0.03, atol=0.1)


def test_gradients_for_each_sample_by_torch_func(way: str):
    expansion = EXPANSIONS["closed, zero, silu"]
    x, matrix = (part.detach() for part in case(expansion))

    def loss(matrix: Tensor, one: Tensor) -> Tensor:
        return product(one.unsqueeze(0), matrix, expansion).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(matrix, x)
    for place in range(SAMPLES):
        (wanted,) = torch.autograd.grad(loss(matrix.requires_grad_(), x[place]), matrix)
        torch.testing.assert_close(found[place], wanted)


def test_no_samples_are_no_fault(way: str):
    expansion = EXPANSIONS["closed, zero, silu"]
    _, matrix = case(expansion)
    empty = torch.empty(0, INPUTS, dtype=torch.float64, requires_grad=True)
    result = product(empty, matrix, expansion)
    result.sum().backward()
    assert result.shape == (0, OUTPUTS)
    assert matrix.grad is not None and not matrix.grad.any()


@pytest.mark.parametrize(("outside", "far", "slope"), [("zero", 0.0, 0.0), ("clamp", 1.0, 0.0), ("linear", 21.0, 2.0)])
@pytest.mark.parametrize("closed", [True, False])
def test_outside_of_the_range(closed: bool, outside: str, far: float, slope: float):
    """A spline that is 2 x - 1 on the range [-1, 1]: its coefficients are that line at the functions' middles."""
    middles = -1 + 0.4 * torch.arange(-1, 7, dtype=torch.float64)
    expansion = Expansion(CLOSED if closed else Recursion(knots(5, 3, -1, 1).unsqueeze(1), 3), outside, None)
    x = torch.tensor([[0.5], [11.0]], dtype=torch.float64, requires_grad=True)
    found = product(x, (2 * middles - 1).unsqueeze(1), expansion)
    torch.testing.assert_close(found.detach().squeeze(1), torch.tensor([0.0, far], dtype=torch.float64))
    found.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([[2.0], [slope]], dtype=torch.float64))
