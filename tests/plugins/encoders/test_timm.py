"""Any timm model as an encoder: features, channels, normalisation, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.timm import Timm, TimmConfig, component
from pydantic import ValidationError

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Image


def make(channels: int = 3, **options: Any) -> Timm:
    torch.manual_seed(0)
    return Timm(TimmConfig(**{"model": "test_resnet", **options}), [Image((channels, 37, 41))]).eval()


def image(channels: int = 3) -> torch.Tensor:
    return torch.rand(2, channels, 37, 41, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_first_convolution_has_the_channels_of_the_input(channels: int) -> None:
    encoder = make(channels)
    first = encoder.network.get_submodule(encoder.network.pretrained_cfg["first_conv"])
    assert first.weight.shape[1] == channels
    assert encoder(image(channels)).shape == (2, 96)


def test_the_normalisation_of_the_model_is_applied_inside() -> None:
    plain, inside = make(normalise="none", model="resnet10t"), make(model="resnet10t")
    inside.network.load_state_dict(plain.network.state_dict())
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    assert torch.equal(inside(image()), plain((image() - mean) / deviation))
    assert not torch.equal(inside(image()), plain(image()))


def test_two_encoders_of_one_image_each_have_their_own_normalisation() -> None:
    assert make().mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert make(model="test_efficientnet").mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


@pytest.mark.parametrize("channels", [1, 5])
def test_other_channel_counts_get_the_average_statistics(channels: int) -> None:
    encoder = make(channels, model="test_efficientnet")
    assert encoder.mean.flatten().tolist() == pytest.approx([(0.485 + 0.456 + 0.406) / 3] * channels)
    assert encoder.deviation.flatten().tolist() == pytest.approx([(0.229 + 0.224 + 0.225) / 3] * channels)


def test_pooled_is_what_timm_gives_without_a_classifier() -> None:
    import timm

    encoder = make(normalise="none")
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=0).eval()
    assert torch.equal(encoder(image()), network(image()))


def test_all_taps_come_from_fine_to_coarse() -> None:
    maps = make(features="taps")(image())
    assert [tuple(one.shape[1:]) for one in maps] == [
        (32, 19, 21), (32, 10, 11), (48, 5, 6), (192, 3, 3), (96, 2, 2)]


def test_chosen_taps_come_in_order_of_depth() -> None:
    every, chosen = make(features="taps"), make(features="taps", taps=[-2, 1])
    chosen.load_state_dict({k: v for k, v in every.state_dict().items() if k in chosen.state_dict()})
    maps = every(image())
    for found, wanted in zip(chosen(image()), (maps[1], maps[3]), strict=True):
        assert torch.equal(found, wanted)


def test_what_is_deeper_than_the_last_tap_is_left_out() -> None:
    names = make(features="taps", taps=[1]).state_dict()
    assert not any(name.startswith(("network.layer2", "network.layer4")) for name in names)


def test_the_map_is_the_last_one_and_its_mean_is_the_pooled_vector() -> None:
    whole, pooled = make(features="map"), make()
    pooled.load_state_dict(whole.state_dict())
    assert whole(image()).shape == (2, 96, 2, 2)
    torch.testing.assert_close(whole(image()).mean((2, 3)), pooled(image()))


def test_a_transformer_of_fixed_size_follows_the_input_and_gives_its_grid() -> None:
    encoder = Timm(TimmConfig(model="test_vit", features="map"), [Image((3, 32, 48))]).eval()
    given = encoder(torch.rand(2, 3, 32, 48))
    assert given.shape == (2, 64, 2, 3)
    assert given.mean(1).abs().max() < 1e-4  # the final layer norm has been applied


def test_dropout_options_reach_the_model() -> None:
    network = make(drop_rate=0.3, drop_path_rate=0.2).network
    assert network.drop_rate == 0.3
    assert max(getattr(part, "drop_prob", 0.0) or 0.0 for part in network.modules()) == pytest.approx(0.2)


def test_the_rule_takes_images_alone() -> None:
    assert str(component.parsed) == "B _ _ _ -> ?"


@pytest.mark.parametrize(("options", "message", "fix"), [
    ({"model": "resnet81"}, "has no model 'resnet81'", "'resnet18'"),
    ({"model": "hf-hub:someone/model"}, "has no model", "folder: FOLDER"),
    ({"model": "local-dir:/tmp"}, "has no model", "folder: FOLDER"),
    ({"model": "resnet18.mine"}, "has no weights 'resnet18.mine'", "resnet18.a1_in1k"),
    ({"model": "test_mambaout", "pretrained": True}, "no published weights", "remove 'pretrained'"),
    ({"features": "taps", "taps": [0, 5]}, "the depths 0 to 4", "choose depths"),
    ({"model": "inception_v3", "drop_path_rate": 0.1}, "timm cannot build 'inception_v3'", "options"),
])
def test_refusals_say_what_to_do(options: dict[str, Any], message: str, fix: str) -> None:
    with pytest.raises(ComponentError) as caught:
        make(**options)
    assert message in caught.value.message
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize("options", [{"taps": [1]}, {"features": "taps", "taps": [1, 1]}, {"drop_rate": 1.0},
                                     {"features": "taps", "taps": []}])
def test_options_that_contradict_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TimmConfig(model="test_resnet", **options)
