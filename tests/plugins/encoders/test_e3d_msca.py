"""The E3D-MSCA pyramid: its size, its chain against its parts, any number of levels, its names in the release."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn
from fusionkit_plugins.encoders.e3d_msca import E3dMsca, E3dMscaConfig, component, e3d_msca_shape
from recorded import GOLDEN
from torch import Tensor
from torch.nn import functional as F

from fusionkit.components.config import ComponentError
from fusionkit.conversion.name_mapping import counterpart
from fusionkit.shapes.layouts import shape_of

MMCAF = GOLDEN / "mmcaf"
PAPER = [(256, 6, 48, 48), (512, 3, 24, 24), (1024, 2, 12, 12)]
IMAGES = [(7, 11, 13), (11, 5, 7), (13, 3, 2)]
SMALL = {"width": 5, "ratio": 2, "sab_kernel": 3, "kernels": [1, 3]}


def made(sizes: list[tuple[int, ...]], **options: Any) -> E3dMsca:
    return E3dMsca(E3dMscaConfig(**options), [shape_of(one) for one in sizes])


def maps(sizes: list[tuple[int, ...]]) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(3, *one, generator=random, dtype=torch.float64) for one in sizes]


def test_the_number_of_weights_at_the_paper_s_sizes() -> None:
    with torch.device("meta"):
        module = made(PAPER)
        own = made(PAPER, share_sab=False)
    encoder, penet, logit = 106_877_208, 28_119_345, 25
    assert sum(p.numel() for p in module.parameters()) == encoder - penet - logit
    assert sum(p.numel() for p in own.parameters()) == encoder - penet - logit + 2 * 686


def test_three_levels_are_the_chain_of_their_parts() -> None:
    module = drawn(made(IMAGES, **SMALL))
    given = maps(IMAGES)
    p1, p2, p3 = (F.relu(module.prepare[str(level)][0](x)) for level, x in enumerate(given, start=1))

    def refined(level: str, x: Tensor) -> Tensor:
        return module.mix[level](module.spatial["1"](module.channel[level](x)))

    def grown(level: str, x: Tensor, grid: tuple[int, ...]) -> Tensor:
        return F.interpolate(module.enlarge[level](x), size=grid, mode="bilinear", align_corners=True)

    d3 = refined("3", p3)
    d2 = refined("2", p2 + grown("2", d3, (5, 7)))
    d1 = refined("1", p1 + grown("1", d2, (11, 13)))
    last = module.join["2"](d3, module.join["1"](d2, d1))
    wanted = module.project[0](last.amax((2, 3))).relu()
    torch.testing.assert_close(module(*given), wanted, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("fusion", ["release", "paper"])
def test_any_number_of_levels(count: int, fusion: str) -> None:
    sizes = [(7, 4, 11, 13), (3, 5, 5, 7), (11, 1, 3, 4), (5, 2, 2, 1)][:count]
    module = drawn(made(sizes, **SMALL, output="both", pool="avg", fusion=fusion))
    shapes = [shape_of(one) for one in sizes]
    vector, last = module(*maps(sizes))
    assert [tuple(one.shape[1:]) for one in (vector, last)] == [
        shape.sizes for _, shape in e3d_msca_shape(module.config, shapes)]
    assert last.shape[1] == sizes[-1][0] * (2 if fusion == "paper" and count > 1 else 1)
    torch.testing.assert_close(vector, module.project[0](last.flatten(2).mean(2)).relu())


def test_an_image_pyramid_is_one_of_volumes_of_one_slice() -> None:
    flat = drawn(made(IMAGES, **SMALL))
    deep = made([(c, 1, h, w) for c, h, w in IMAGES], **SMALL).double().eval()
    own = deep.state_dict()
    for name, value in flat.state_dict().items():
        if value.dim() == 4:
            own[name].zero_()[:, :, own[name].shape[2] // 2] = value
        else:
            own[name].copy_(value)
    given = maps(IMAGES)
    torch.testing.assert_close(deep(*[x.unsqueeze(2) for x in given]), flat(*given), atol=1e-10, rtol=1e-10)


def test_without_norm_a_level_is_taken_as_it_is() -> None:
    module = drawn(made(IMAGES[:1], **SMALL, norm="none", output="map")).train()
    x = -maps(IMAGES[:1])[0].abs()
    module.mix.eval()
    torch.testing.assert_close(module(x), module.mix["1"](module.spatial["1"](module.channel["1"](x))))


def test_images_and_volumes_do_not_mix() -> None:
    with pytest.raises(ComponentError, match="images and others volumes"):
        made([(7, 11, 13), (7, 2, 5, 7)])


def test_even_kernels_are_refused_as_an_option() -> None:
    with pytest.raises(ValueError, match="odd"):
        E3dMscaConfig(kernels=[2])


@pytest.mark.parametrize("share", [True, False])
def test_every_parameter_has_its_name_and_shape_in_the_release(share: bool) -> None:
    with np.load(MMCAF / "img_encoder_12x64x64.npz", allow_pickle=False) as file:
        shapes = {name: tuple(shape) for name, (shape, _) in json.loads(str(file["state"])).items()}
    release = component.reference["release"]
    assert release.read is not None
    options = release.read(shapes, {})
    config = E3dMscaConfig(**options, share_sab=share)
    assert config.model_copy(update={"share_sab": True}) == E3dMscaConfig()
    with torch.device("meta"):
        module = E3dMsca(config, [shape_of(one) for one in PAPER])
    assert callable(release.names)
    found = {counterpart(name, release.names(config)): tuple(value.shape)
             for name, value in module.state_dict().items()}
    wanted = {name: shape for name, shape in shapes.items() if not name.startswith(("encoder.", "fused_cls."))}
    assert found == wanted
