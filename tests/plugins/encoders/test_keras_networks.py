"""The two networks in Keras's form: counts, grids and taps of the specification, and the graph made of them."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.encoders.inceptionv3 import InceptionV3, InceptionV3Config
from fusionkit_plugins.encoders.resnet50v2 import ResNet50V2, ResNet50V2Config
from torch import nn

import fusionkit
from fusionkit.api import ComponentError, shape_of


def numbers(module: nn.Module) -> int:
    return sum(value.numel() for name, value in module.state_dict().items() if "num_batches" not in name)


def grids(module: nn.Module, size: int) -> list[tuple[int, ...]]:
    with torch.device("meta"), torch.no_grad():
        found = module.to("meta").eval()(torch.zeros(2, 3, size, size))
    return [tuple(one.shape[1:3]) for one in (found if isinstance(found, tuple) else (found,))]


def resnet(size: int = 224, **options: object) -> ResNet50V2:
    with torch.device("meta"):
        return ResNet50V2(ResNet50V2Config(**options), [shape_of((3, size, size))])


def inception(size: int = 224, **options: object) -> InceptionV3:
    with torch.device("meta"):
        return InceptionV3(InceptionV3Config(**options), [shape_of((3, size, size))])


def test_they_have_as_many_numbers_as_keras_counts() -> None:
    assert numbers(resnet()) == 23_564_800
    assert numbers(inception()) == 21_802_784


def test_the_taps_of_the_release() -> None:
    assert grids(resnet(), 224) == [(2048, 7), (128, 28), (1024, 7), (512, 14), (256, 28)]
    assert grids(inception(), 224) == [(2048, 5), (384, 5), (384, 5), (384, 5), (384, 5)]


def test_grids_of_stages() -> None:
    ends = ["conv2_block2_out", "conv2_block3_out", "conv3_block3_out", "conv3_block4_out", "conv4_block5_out",
            "conv4_block6_out", "conv5_block3_out"]
    sizes = [56, 28, 28, 14, 14, 7, 7]
    assert grids(resnet(taps=ends), 224) == list(zip([256, 256, 512, 512, 1024, 1024, 2048], sizes, strict=True))
    mixed = ["mixed0", "mixed1", "mixed2", "mixed3", "mixed7", "mixed8", "mixed9", "mixed10"]
    widths = [256, 288, 288, 768, 768, 1280, 2048, 2048]
    assert grids(inception(taps=mixed), 224) == list(zip(widths, [25, 25, 25, 12, 12, 5, 5, 5], strict=True))
    assert grids(inception(299, taps=mixed), 299) == list(zip(widths, [35, 35, 35, 17, 17, 8, 8, 8], strict=True))
    assert grids(inception(taps=["conv2d_2", "conv2d_4"]), 224) == [(64, 109), (192, 52)]


def test_taps_come_in_the_order_asked_for_and_unknown_ones_are_refused() -> None:
    assert grids(resnet(taps=["conv2_block3_3_conv", "post_relu"]), 64) == [(256, 8), (2048, 2)]
    with pytest.raises(ComponentError, match="'conv3_block5_out'") as caught:
        resnet(taps=["conv3_block5_out"])
    assert "_block5_out" in str(caught.value.fix)
    with pytest.raises(ComponentError, match="twice"):
        inception(taps=["mixed0", "mixed0"])
    with pytest.raises(ComponentError, match="1 or 3 channels"):
        ResNet50V2(ResNet50V2Config(width=4), [shape_of((2, 37, 41))])
    with pytest.raises(ComponentError, match="75x75"):
        InceptionV3(InceptionV3Config(width=4), [shape_of((3, 74, 80))])


@pytest.mark.parametrize("network", [lambda **o: ResNet50V2(ResNet50V2Config(width=4, taps=["post_relu"], **o),
                                                            [shape_of((3, 79, 83))]),
                                     lambda **o: InceptionV3(InceptionV3Config(width=4, taps=["mixed10"], **o),
                                                             [shape_of((3, 79, 83))])])
def test_grey_is_three_equal_channels_and_the_image_is_brought_to_minus_one_to_one(network) -> None:
    module, bare = network().eval(), network(normalise="none").eval()
    bare.load_state_dict(module.state_dict())
    grey = torch.rand(2, 1, 79, 83, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(module(grey), module(grey.repeat(1, 3, 1, 1)))
        torch.testing.assert_close(module(grey), bare(2 * grey - 1))


def test_multifusionnet_has_as_many_trainable_parameters_as_the_release() -> None:
    plan = fusionkit.plan("multifusionnet")
    assert sum(node.cost.trainable for node in plan.nodes) == 16_011_011
    assert sum(node.cost.parameters for node in plan.nodes if node.node.freeze) == 23_564_800 + 21_802_784 - sum(
        value.numel() for network in (resnet(), inception()) for name, value in network.named_buffers()
        if "num_batches" not in name)


@pytest.mark.parametrize(("sets", "width"), [
    (["nodes.fused.use=fusion.concat"], 4096), (["nodes.fused.use=fusion.weighted_sum"], 2048),
    (["nodes.fused.use=fusion.gmu", "nodes.fused.with.width=512"], 512)])
def test_the_experiments_are_one_change(sets: list[str], width: int) -> None:
    plan = fusionkit.plan("multifusionnet", sets=sets, measured=False)
    assert plan.node("fused").values[0].shape.sizes == (width,)
