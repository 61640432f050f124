"""MIFA: counts, ranges, absence, any number of inputs of any width and grid."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.mifa import MIFA, MIFAConfig
from torch import Tensor

from fusionkit.api import shape_of


def made(*sizes: tuple[int, ...], **options: object) -> MIFA:
    module = MIFA(MIFAConfig(**options), [shape_of(one) for one in sizes]).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(0.5 * torch.randn(value.shape, generator=generator))
    return module


def data(*sizes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, *one, generator=generator) for one in sizes]


def by_hand(module: MIFA, inputs: list[Tensor], shares_BM: Tensor) -> list[Tensor]:
    """Equations (9) to (13) of the specification, term by term, each input with its share in the sums."""
    poolings = [lambda x: x.flatten(2).amin(2), lambda x: x.flatten(2).mean(2), lambda x: x.flatten(2).amax(2)]
    shares = [share[:, None] for share in shares_BM.unbind(1)]
    whole, local = 0, 0
    for pool in poolings:
        total = sum(share * pool(x) for share, x in zip(shares, inputs, strict=True))
        whole = whole + torch.sigmoid(total @ module.dense.weight.T + module.dense.bias)
        for share, layer, x in zip(shares, module.local, inputs, strict=True):
            mapped = torch.einsum("uc,bc...->bu...", layer.weight, x)
            shift = layer.bias.reshape(-1, *[1] * (x.dim() - 2))
            local = local + share * pool(torch.sigmoid(mapped + shift))
    gate = torch.sigmoid(whole * module.global_scale + local * module.local_scale)
    return [x * (gate * alpha * share.sign()).reshape(*gate.shape, *[1] * (x.dim() - 2))
            for x, alpha, share in zip(inputs, module.alphas, shares, strict=True)]


GRIDS = ((5, 7, 3), (5, 2, 11), (5, 3, 2, 7))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("width", [5, 8, 64])
def test_it_has_as_many_parameters_as_the_specification_counts(count: int, width: int) -> None:
    module = MIFA(MIFAConfig(), [shape_of((width, 3, 2))] * count)
    assert sum(value.numel() for value in module.parameters()) == (count + 1) * (width**2 + 2 * width) + 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_it_is_the_formula_for_any_number_of_inputs_and_grids(count: int) -> None:
    module, inputs = made(*GRIDS[:count]), data(*GRIDS[:count])
    with torch.no_grad():
        results = module(*inputs) if count > 1 else [module(*inputs)]
        for found, wanted in zip(results, by_hand(module, inputs, torch.ones(3, count)), strict=True):
            torch.testing.assert_close(found, wanted)


def test_it_starts_as_almost_nothing() -> None:
    module = MIFA(MIFAConfig(), [shape_of((64, 7, 5))] * 2)
    inputs = data((64, 7, 5), (64, 7, 5))
    with torch.no_grad():
        ratio = module(*inputs)[0] / inputs[0]
    assert ratio.min() > 0.9
    assert ratio.max() < 1


def test_permuting_inputs_with_their_weights_permutes_the_results() -> None:
    module, inputs = made(*GRIDS), data(*GRIDS)
    other = MIFA(MIFAConfig(), [shape_of(GRIDS[place]) for place in (2, 0, 1)]).eval()
    state = module.state_dict()
    order = {"0": "2", "1": "0", "2": "1"}
    other.load_state_dict({name: state[".".join(order.get(part, part) for part in name.split("."))]
                           for name in other.state_dict()})
    with torch.no_grad():
        wanted = module(*inputs)
        found = other(inputs[2], inputs[0], inputs[1])
    for place, one in zip((2, 0, 1), found, strict=True):
        torch.testing.assert_close(one, wanted[place])


def test_absent_inputs_leave_the_sums_which_are_scaled_to_all() -> None:
    module, inputs = made(*GRIDS), data(*GRIDS)
    present = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
    shares = torch.tensor([[1, 1, 1], [1.5, 0, 1.5], [0, 0, 3]])
    with torch.no_grad():
        for found, wanted in zip(module(*inputs, present=present), by_hand(module, inputs, shares), strict=True):
            torch.testing.assert_close(found, wanted)


def test_scaled_equals_the_sum_for_two_and_halves_it_for_four() -> None:
    two = (GRIDS[0], GRIDS[1])
    plain, scaled = made(*two), made(*two, reduce="scaled")
    with torch.no_grad():
        for one, other in zip(plain(*data(*two)), scaled(*data(*two)), strict=True):
            assert torch.equal(one, other)
    assert made(*two, *two, reduce="scaled").factor == 0.5


def test_other_widths_get_adapters_and_equal_ones_none() -> None:
    module = made((5, 7, 3), (3, 2, 11))
    assert [name for name, _ in module.named_parameters() if "enter" in name or "leave" in name] == [
        "enter.1.weight", "enter.1.bias", "leave.1.weight", "leave.1.bias"]
    first, second = module(*data((5, 7, 3), (3, 2, 11)))
    assert (first.shape, second.shape) == ((3, 5, 7, 3), (3, 3, 2, 11))
