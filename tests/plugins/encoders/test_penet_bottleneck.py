"""PENet's bottleneck and the ASPP against their formulas, and stochastic depth."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.aspp import Aspp, AsppConfig
from fusionkit_plugins.encoders.penet_bottleneck import Bottleneck, BottleneckConfig, bottleneck_shape
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import shape_of

VOLUME = (6, 3, 5, 7)


def make(sizes: tuple[int, ...] = VOLUME, **options: Any) -> Bottleneck:
    torch.manual_seed(0)
    config = BottleneckConfig(**{"width": 8, "cardinality": 4, "group_channels": 4, "reduction": 4} | options)
    return Bottleneck(config, [shape_of(sizes)])


def perturbed(module: nn.Module) -> Any:
    """The module in double precision, its norms and biases off their start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.double().eval()


def group_norm(x: Tensor, norm: nn.Module, channels: int) -> Tensor:
    """Each run of `channels` channels with mean zero and variance one, then scale and shift."""
    parts = []
    for part in x.split(channels, 1):
        flat = part.flatten(1)
        mean, variance = flat.mean(1), flat.var(1, unbiased=False)
        shape = (-1, *[1] * (x.dim() - 1))
        parts.append((part - mean.reshape(shape)) / (variance.reshape(shape) + 1e-5).sqrt())
    scale = (-1, *[1] * (x.dim() - 2))
    return torch.cat(parts, 1) * norm.weight.reshape(scale) + norm.bias.reshape(scale)


def test_a_block_is_its_branch_and_its_skip() -> None:
    block = perturbed(make(stride=2))
    x = torch.randn(2, *VOLUME, dtype=torch.float64)
    skip = group_norm(F.conv3d(x, block.skip[0].weight, stride=2), block.skip[1], 4)
    y = F.leaky_relu(group_norm(F.conv3d(x, block.narrow.weight), block.narrow_norm, 4), 0.01)
    y = F.conv3d(y, block.grouped.weight, stride=2, padding=1, groups=4)
    y = F.leaky_relu(group_norm(y, block.grouped_norm, 4), 0.01)
    y = block.gate(group_norm(F.conv3d(y, block.widen.weight), block.widen_norm, 4))
    torch.testing.assert_close(block(x), F.leaky_relu(y + skip, 0.01))


def test_the_skip_is_the_identity_where_nothing_changes() -> None:
    assert isinstance(make((16, 3, 5, 7)).skip, nn.Identity)
    assert not isinstance(make((16, 3, 5, 7), stride=2).skip, nn.Identity)
    assert not isinstance(make((6, 3, 5, 7)).skip, nn.Identity)


def test_the_width_inside_is_rounded_down_to_the_cardinality() -> None:
    block = make(width=7, cardinality=3)
    assert (block.narrow.out_channels, block.widen.out_channels, block.grouped.groups) == (6, 14, 3)


@pytest.mark.parametrize(("sizes", "wanted"), [((6, 5, 7), "B 16 3 4"), ((6, 1, 2, 3), "B 16 1 1 2")])
def test_a_stride_of_two_rounds_up(sizes: tuple[int, ...], wanted: str) -> None:
    config = BottleneckConfig(width=8, cardinality=4, stride=2)
    assert str(bottleneck_shape(config, [shape_of(sizes)])) == wanted


def test_a_dropped_branch_leaves_the_skip_without_an_activation() -> None:
    block = make((16, 3, 5, 7), survival=0.5).train()
    x = torch.randn(2, 16, 3, 5, 7)
    kept = block.eval()(x)
    seen = [block.train()(x) for _ in range(40)]
    dropped = [torch.equal(one, x) for one in seen]
    assert 8 <= sum(dropped) <= 32
    assert all(torch.equal(one, kept) for one, gone in zip(seen, dropped, strict=True) if not gone)
    assert (x < 0).any()


def test_stochastic_depth_draws_for_the_batch_or_for_each_case() -> None:
    x = torch.randn(31, 16, 2, 3, 5)
    for drop, both in (("batch", False), ("case", True)):
        block = make((16, 2, 3, 5), survival=0.5, drop=drop).train()
        gone = [torch.equal(one, case) for one, case in zip(block(x), x, strict=True)]
        assert (len(set(gone)) == 2) is both


def test_nothing_is_drawn_in_evaluation_or_when_every_branch_survives() -> None:
    x = torch.randn(2, *VOLUME)
    for block in (make(survival=0.5).eval(), make(survival=1.0).train()):
        before = torch.get_rng_state()
        block(x)
        assert torch.equal(before, torch.get_rng_state())


def test_a_dropped_branch_gets_gradients_of_zero_and_the_skip_its_own() -> None:
    block = make((16, 2, 3, 5), survival=1e-9).train()
    x = torch.randn(2, 16, 2, 3, 5, requires_grad=True)
    block(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    assert all(not parameter.grad.any() for parameter in block.parameters())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ComponentError, match="cut into 4 groups"):
        make(width=3)
    with pytest.raises(ComponentError, match="a single value in a group"):
        make((6, 1, 1, 1), group_channels=1)
    assert make((6, 1, 1, 1))(torch.randn(2, 6, 1, 1, 1)).isfinite().all()


@pytest.mark.parametrize("sizes", [(3, 7, 5), (3, 2, 7, 5)])
def test_aspp_sees_several_dilations_and_the_mean(sizes: tuple[int, ...]) -> None:
    config = AsppConfig(width=12, dilations=[3], first_dilation=2, group_channels=4)
    module = perturbed(Aspp(config, [shape_of(sizes)]))
    convolve = {3: F.conv2d, 4: F.conv3d}[len(sizes)]
    given = torch.randn(2, *sizes, dtype=torch.float64)
    ones = [1] * (len(sizes) - 1)
    x = convolve(given, module.first[0].weight, module.first[0].bias, padding=2, dilation=2)
    x = F.leaky_relu(group_norm(x, module.first[1], 4))
    plain, dilated = module.branches
    mean = x.flatten(2).mean(2) @ module.mean.weight.flatten(1).T + module.mean.bias
    joined = torch.cat([torch.einsum("oi,bi...->bo...", plain.weight.flatten(1), x) + plain.bias.reshape(-1, *ones),
                        convolve(x, dilated.weight, dilated.bias, padding=3, dilation=3),
                        mean.reshape(2, 4, *ones).expand(-1, -1, *sizes[1:])], 1)
    joined = F.leaky_relu(group_norm(joined, module.norm, 4))
    last = convolve(joined, module.last[0].weight, module.last[0].bias)
    torch.testing.assert_close(module(given), F.leaky_relu(group_norm(last, module.last[1], 4)))


def test_aspp_refuses_widths_that_it_cannot_share() -> None:
    with pytest.raises(ComponentError, match="are too few for 4 branches"):
        Aspp(AsppConfig(width=3), [shape_of((3, 7, 5))])
    with pytest.raises(ComponentError, match="normalise each of"):
        Aspp(AsppConfig(width=12, group_channels=5), [shape_of((3, 7, 5))])
