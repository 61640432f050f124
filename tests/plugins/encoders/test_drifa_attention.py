"""DRIFA's attention: counts and ranges of the specification, padding, 2D and 3D alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fusionkit_plugins.blocks.keras import pad_same
from fusionkit_plugins.encoders.drifa_stem import DRIFAStem, DRIFAStemConfig
from fusionkit_plugins.encoders.mfa import MFA, MFAConfig
from fusionkit_plugins.encoders.rra import RRA, RRAConfig
from torch import Tensor, nn

from fusionkit.api import ComponentError, TensorShape, shape_of


def random(*sizes: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(3))


def moved(module: nn.Module) -> nn.Module:
    """The module with weights that are far from special values."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator))
    return module.eval()


def numbers(module: nn.Module) -> int:
    return sum(value.numel() for name, value in module.state_dict().items() if "num_batches" not in name)


@pytest.mark.parametrize("width", [8, 64, 128, 256])
def test_mfa_has_as_many_parameters_as_the_specification_counts(width: int) -> None:
    with torch.device("meta"):
        module = MFA(MFAConfig(), [shape_of((width, 3, 5))])
    assert numbers(module) == 8 * width**2 + 9 * width + 1


@pytest.mark.parametrize(("before", "options", "count"), [
    (64, {"width": 64}, 141_058), (64, {"width": 128, "stride": 2}, 495_746), (512, {"width": 512}, 8_927_234)])
def test_rra_has_as_many_numbers_as_the_specification_counts(before: int, options: dict, count: int) -> None:
    with torch.device("meta"):
        assert numbers(RRA(RRAConfig(**options), [shape_of((before, 3, 5))])) == count


def test_a_low_rank_makes_wide_stages_cheap() -> None:
    with torch.device("meta"):
        cheap = MFA(MFAConfig(rank=16), [shape_of((512, 3, 5))])
    # Seven square maps, the dense one twice as wide on its left, each as two factors; biases and scales beside.
    assert numbers(cheap) == 16 * (6 * 2 * 512 + 3 * 512) + 7 * 512 + 2 * 512 + 1


def test_without_scales_the_gate_is_that_of_scales_of_one() -> None:
    scaled = moved(MFA(MFAConfig(), [shape_of((5, 7, 3))]))
    plain = MFA(MFAConfig(scale=False), [shape_of((5, 7, 3))]).eval()
    with torch.no_grad():
        scaled.global_scale.fill_(1)
        scaled.local_scale.fill_(1)
        plain.load_state_dict({name: value for name, value in scaled.state_dict().items() if "_scale" not in name})
        x = random(2, 5, 7, 3)
        assert torch.equal(plain(x), scaled(x))


def test_the_gate_is_a_half_when_nothing_counts_and_nothing_passes_without_alpha() -> None:
    module, x = moved(MFA(MFAConfig(), [shape_of((5, 7, 3))])), random(2, 5, 7, 3)
    with torch.no_grad():
        module.global_scale.zero_()
        module.local_scale.zero_()
        torch.testing.assert_close(module(x), 0.5 * x * module.alpha[:, None, None])
        module.alpha.zero_()
        assert not module(x).any()


def test_the_gate_does_not_know_places() -> None:
    module, x = moved(MFA(MFAConfig(), [shape_of((5, 7, 3))])), random(2, 5, 7, 3)
    with torch.no_grad():
        shuffled = x.flatten(2)[:, :, torch.randperm(21, generator=torch.Generator().manual_seed(1))].reshape(x.shape)
        gate = (module(x) / x).amax((2, 3))
        torch.testing.assert_close((module(shuffled) / shuffled).amax((2, 3)), gate, rtol=1e-4, atol=1e-5)


def test_images_volumes_and_tokens_are_treated_alike() -> None:
    flat, deep = (MFA(MFAConfig(), [shape_of(sizes)]).eval() for sizes in ((5, 7, 3), (5, 1, 7, 3)))
    tokens = MFA(MFAConfig(), [shape_of((21, 5))]).eval()
    for other in (deep, tokens):
        other.load_state_dict(flat.state_dict())
    x = random(2, 5, 7, 3)
    with torch.no_grad():
        torch.testing.assert_close(deep(x[:, :, None])[:, :, 0], flat(x))
        torch.testing.assert_close(deep(x[:, :, None].expand(-1, -1, 4, -1, -1))[:, :, 3], flat(x))
        torch.testing.assert_close(tokens(x.flatten(2).mT).mT, flat(x).flatten(2))


def test_a_gate_of_other_units_is_refused() -> None:
    with pytest.raises(ComponentError, match="3 units cannot weight 5 channels"):
        MFA(MFAConfig(units=3), [shape_of((5, 7, 3))])


@pytest.mark.parametrize(("size", "kernel", "stride", "front", "back"), [
    (18, 7, 2, 2, 3), (15, 7, 2, 3, 3), (18, 3, 2, 0, 1), (15, 3, 2, 1, 1), (18, 1, 2, 0, 0), (15, 3, 1, 1, 1)])
def test_padding_puts_the_odd_element_at_the_end(size: int, kernel: int, stride: int, front: int, back: int) -> None:
    padded = pad_same(torch.ones(1, 1, size, 1), kernel, [stride, 1])
    column = padded[0, 0, :, padded.shape[3] // 2]
    assert column.tolist() == [0.0] * front + [1.0] * size + [0.0] * back


@pytest.mark.parametrize("grid", [(13, 17), (14, 16), (7, 13, 10)])
def test_strides_round_up(grid: tuple[int, ...]) -> None:
    rank = len(grid)
    x = random(2, 3, *grid)
    with torch.no_grad():
        block = RRA(RRAConfig(width=5, stride=2), [shape_of((3, *grid))]).eval()(x)
        stem = DRIFAStem(DRIFAStemConfig(width=5), [shape_of((3, *grid))]).eval()(x)
    assert block.shape == (2, 5, *[-(-size // 2) for size in grid])
    assert stem.shape == (2, 5, *[-(-size // 4) for size in grid])
    assert rank + 2 == block.dim()


def test_strides_may_differ_by_axis() -> None:
    block = RRA(RRAConfig(width=5, stride=[1, 2, 2]), [shape_of((3, 7, 13, 10))]).eval()
    assert block(random(2, 3, 7, 13, 10)).shape == (2, 5, 7, 7, 5)
    with pytest.raises(ComponentError, match="2 numbers for 3"):
        RRA(RRAConfig(width=5, stride=[1, 2]), [shape_of((3, 7, 13, 10))])


def test_an_identity_that_cannot_be_is_refused() -> None:
    with pytest.raises(ComponentError, match="cannot change width"):
        RRA(RRAConfig(width=5, shortcut="identity"), [shape_of((3, 7, 5))])


def test_the_release_starts_like_keras() -> None:
    block = RRA(RRAConfig(width=7, stride=2), [shape_of((5, 6, 6))])
    norms = [part for part in block.modules() if isinstance(part, nn.BatchNorm2d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.01)] * 3
    assert not any(value.any() for name, value in block.named_parameters() if name.endswith("bias"))
    bound = (6 / (9 * 5 + 9 * 7)) ** 0.5
    assert 0.9 * bound < block.conv1.layer.weight.abs().max() <= bound
    plain = RRA(RRAConfig(width=7, preset="torch"), [shape_of((7, 6, 6))])
    assert plain.bn1.eps == 1e-5
    assert plain.conv1.layer.bias.any()


@pytest.mark.parametrize("build", [
    lambda shape: RRA(RRAConfig(width=5), [shape]), lambda shape: RRA(RRAConfig(width=7, stride=2), [shape]),
    lambda shape: DRIFAStem(DRIFAStemConfig(width=7), [shape])], ids=["block", "stride", "stem"])
def test_a_volume_of_one_slice_is_an_image(build: Callable[[TensorShape], nn.Module]) -> None:
    """The padding puts the slice under the middle of each kernel, which therefore is the kernel of the image."""
    volume = moved(build(shape_of((5, 1, 14, 11))))
    image = build(shape_of((5, 14, 11))).eval()
    image.load_state_dict({name: value[:, :, value.shape[2] // 2] if value.dim() == 5 else value
                           for name, value in volume.state_dict().items()})
    x = random(2, 5, 14, 11)
    with torch.no_grad():
        torch.testing.assert_close(volume(x[:, :, None])[:, :, 0], image(x))
