"""PENet: sizes, counts, stochastic depth, the ways its input and output can be, and its initial weights."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.encoders.penet import Penet, PenetConfig, component, penet_shape
from fusionkit_plugins.encoders.penet_bottleneck import Bottleneck
from pydantic import ValidationError
from recorded import GOLDEN
from torch import nn

from fusionkit.components.config import ComponentError
from fusionkit.conversion.name_mapping import Part, pairs
from fusionkit.shapes.layouts import shape_of

MMCAF = GOLDEN / "mmcaf"
SCAN = (1, 12, 192, 192)
SMALL: dict[str, Any] = {"blocks": [2, 1], "width": 8, "stem_width": 8, "cardinality": 2, "reduction": 4}


def on_meta(sizes: tuple[int, ...] = SCAN, **options: Any) -> Penet:
    with torch.device("meta"):
        return Penet(PenetConfig(**options), [shape_of(sizes)])


def small(sizes: tuple[int, ...], **options: Any) -> Penet:
    torch.manual_seed(0)
    return Penet(PenetConfig(**SMALL | options), [shape_of(sizes)]).eval()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_parameters_of_the_pyramid_are_those_of_the_release() -> None:
    network = on_meta()
    assert count(network.stem) == 65_984
    assert [count(stage) for stage in network.stages] == [258_864, 1_477_760, 8_700_288]
    assert count(network) == 10_502_896


def test_the_parameters_of_the_classifiers_are_those_of_the_release() -> None:
    four = on_meta(blocks=[3, 4, 6, 3], output="pooled")
    assert count(four) + 2048 + 1 == 28_398_705
    pooled = on_meta(output="pooled", aspp=256)
    assert count(pooled.aspp) == 8_063_232
    decoder_and_its_convolution = 9_551_488 + 1_729
    assert count(pooled) + 256 + 1 + decoder_and_its_convolution == 28_119_602


@pytest.mark.parametrize(("sizes", "levels", "wanted"), [
    (SCAN, [0, 1, 2, 3], "f0: B 64 12 96 96, f1: B 256 6 48 48, f2: B 512 3 24 24, f3: B 1024 2 12 12"),
    ((1, 12, 64, 64), None, "f1: B 256 6 16 16, f2: B 512 3 8 8, f3: B 1024 2 4 4"),
    ((1, 10, 45, 70), [3, 0, 1, 2], "f0: B 64 10 23 35, f1: B 256 5 12 18, f2: B 512 3 6 9, f3: B 1024 2 3 5"),
    ((1, 1, 13, 5), None, "f1: B 256 1 4 2, f2: B 512 1 2 1, f3: B 1024 1 1 1"),
    ((3, 45, 70), None, "f1: B 256 12 18, f2: B 512 6 9, f3: B 1024 3 5"),
])
def test_sides_are_halved_and_rounded_up(sizes: tuple[int, ...], levels: list[int] | None, wanted: str) -> None:
    promised = penet_shape(PenetConfig(levels=levels), [shape_of(sizes)])
    assert str(promised) == wanted
    found = on_meta(sizes, levels=levels)(torch.empty(2, *sizes, device="meta"))
    assert [tuple(one.shape[1:]) for one in found] == [shape.sizes for _, shape in promised]


@pytest.mark.parametrize(("blocks", "total"), [([3, 4, 6], 13), ([3, 4, 6, 3], 16)])
def test_blocks_survive_the_less_the_deeper_they_are(blocks: list[int], total: int) -> None:
    found = [part.survival for part in on_meta(blocks=blocks).modules() if isinstance(part, Bottleneck)]
    assert found == pytest.approx([1 - 0.5 * place / total for place in range(total)])
    assert all(part.survival == 1 for part in on_meta(final_survival=1.0).modules() if isinstance(part, Bottleneck))


@pytest.mark.parametrize("sizes", [(1, 3, 13, 11), (1, 13, 11)])
def test_one_channel_counts_as_three_equal_ones(sizes: tuple[int, ...]) -> None:
    one, three = small(sizes).double(), small((3, *sizes[1:])).double()
    three.load_state_dict(one.state_dict())
    x = torch.randn(2, *sizes, dtype=torch.float64)
    repeated = x.expand(-1, 3, *sizes[1:])
    for found, wanted in zip(one(x), three(repeated), strict=True):
        torch.testing.assert_close(found, wanted)


def test_channels_are_averaged_or_taken_as_they_are() -> None:
    mean, one = small((5, 3, 13, 11), channels="mean").double(), small((1, 3, 13, 11)).double()
    one.load_state_dict(mean.state_dict())
    x = torch.randn(2, 5, 3, 13, 11, dtype=torch.float64)
    torch.testing.assert_close(mean(x), one(x.mean(1, keepdim=True)))
    trials = ((1, {}, 3), (1, {"stem_channels": 2}, 2), (5, {}, 5), (1, {"channels": "own"}, 1))
    for channels, options, wanted in trials:
        assert small((channels, 3, 13, 11), **options).stem.convolution.in_channels == wanted


def test_a_volume_of_one_slice_gives_what_the_image_gives() -> None:
    flat, deep = small((1, 23, 17)).double(), small((1, 1, 23, 17)).double()
    state = deep.state_dict()
    flat.load_state_dict({name: state[name][:, :, state[name].shape[2] // 2] if state[name].dim() == 5 else state[name]
                          for name in state})
    x = torch.randn(2, 1, 23, 17, dtype=torch.float64)
    for image, volume in zip(flat(x), deep(x.unsqueeze(2)), strict=True):
        torch.testing.assert_close(image, volume.squeeze(2))


def test_the_vector_is_the_mean_of_the_last_map() -> None:
    x = torch.randn(2, 1, 5, 23, 17)
    *maps, vector = small((1, 5, 23, 17), output="both")(x)
    torch.testing.assert_close(vector, maps[-1].flatten(2).mean(2))
    torch.testing.assert_close(small((1, 5, 23, 17), output="pooled")(x), vector)
    assert str(penet_shape(PenetConfig(**SMALL, output="both", levels=[1]), [shape_of((1, 5, 23, 17))])) == \
        "f1: B 16 3 6 5, pooled: B 32"
    assert small((1, 5, 23, 17), output="pooled", aspp=12)(x).shape == (2, 12)
    assert count(small((1, 5, 23, 17), aspp=12)) == count(small((1, 5, 23, 17)))


@pytest.mark.parametrize(("options", "words"), [
    ({"levels": [1], "output": "pooled"}, "'levels' selects maps"),
    ({"levels": [1, 1, 3]}, "different numbers from 0 to 3"),
    ({"levels": [4], "output": "both"}, "different numbers from 0 to 3"),
    ({"levels": [1, 2]}, "remove them from 'blocks'"),
])
def test_options_that_leave_a_part_unread_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PenetConfig(**options)


def test_an_input_too_small_for_its_groups_is_refused() -> None:
    with pytest.raises(ComponentError, match="a single value in a group"):
        on_meta((1, 1, 3, 4), group_channels=1)


@pytest.mark.parametrize(("start", "deviation"), [
    ("kaiming", (2 / (3 * 343)) ** 0.5), ("normal", 0.2), ("xavier", 0.2 * (2 / (343 * (3 + 64))) ** 0.5)])
def test_named_starts_draw_the_convolutions_and_quiet_the_blocks(start: str, deviation: float) -> None:
    network = small((1, 5, 23, 17), stem_width=64, start=start, output="pooled", aspp=12)
    weight = network.stem.convolution.weight
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=deviation / 50)
    assert not network.aspp.last[0].bias.any()
    norms = [part.widen_norm.weight for part in network.modules() if isinstance(part, Bottleneck)]
    assert len(norms) == 3
    assert not any(norm.any() for norm in norms)
    assert all(part.narrow_norm.weight.eq(1).all() for part in network.modules() if isinstance(part, Bottleneck))


def test_the_default_start_is_that_of_pytorch() -> None:
    weight = small((1, 5, 23, 17), stem_width=64).stem.convolution.weight
    assert weight.abs().max().item() == pytest.approx((3 * 343) ** -0.5, rel=1e-2)


@pytest.mark.parametrize(("case", "options", "left"), [
    ("penet50_12x64x64", {}, {"asp_pool", "decoders", "out_conv", "classifier"}),
    ("penet50_12x64x64", {"output": "pooled", "aspp": 256}, {"decoders", "out_conv", "classifier"}),
    ("penet_classifier50_12x64x64", {"blocks": [3, 4, 6, 3], "output": "pooled"}, {"classifier"}),
])
def test_every_tensor_of_the_release_is_taken_or_known_to_be_unused(case: str, options: dict[str, Any],
                                                                    left: set[str]) -> None:
    with np.load(MMCAF / f"{case}.npz", allow_pickle=False) as file:
        state = json.loads(str(file["state"]))
    release, network = component.reference["release"], on_meta(**options)
    taken = dict(pairs(Part(network, PenetConfig(**options), release)))
    own = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert {taken[name]: sizes for name, sizes in own.items()} == {
        name: sizes for name, (sizes, _) in state.items() if name in set(taken.values())}
    spare = [name for name in state if name not in set(taken.values())]
    assert {name.split(".")[0] for name in spare} == left
    assert all(name.startswith(release.unused) for name in spare)
