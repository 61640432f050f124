"""`encoder.hf_vision`: numbers that the library recorded, its own results now, files of weights, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.transformers_folder import image_statistics
from fusionkit_plugins.encoders.each_slice import EachSlice, EachSliceConfig
from fusionkit_plugins.encoders.hf_vision import HfVision, HfVisionConfig, component
from recorded import GOLDEN as RECORDED
from torch import Tensor

from fusionkit.api import ComponentError, Image, Volume, WeightsFolder
from fusionkit.components.inner import Inner
from fusionkit.conversion.verification.case import Fixture
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.errors import GraphError

GOLDEN = RECORDED / "encoders"
SMALL = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}


def net(case: Fixture, **options: Any) -> HfVision:
    """The component of a recorded case, with its weights, read as a file of a release."""
    module = HfVision(HfVisionConfig(config=dict(case.meta["config"]), normalise="none", **options),
                      [Image(case.inputs[0].shape[1:])])
    module.load_state_dict(module.adapt_weights(dict(case.parameters)))
    return module.eval()


def far(case: Fixture, entry: str, found: Tensor) -> float:
    """The largest error of a result or a gradient, of those numbers that were kept."""
    wanted = next(one for one in case.expected if one.entry == entry)
    flat = found.detach().numpy().ravel()[:: wanted.stride or 1]
    return float(np.abs(flat - wanted.array.ravel()).max())


@pytest.mark.parametrize(("name", "options", "result"), [
    ("hf_vit", {}, "cls"), ("hf_vit", {"features": "taps"}, ["hidden1", "hidden2", "hidden3"]),
    ("hf_dinov2_reg", {}, "pooler"), ("hf_dinov2_reg", {"features": "taps", "taps": [-1]}, ["hidden2"]),
    ("hf_dinov3_vit", {}, "pooler"), ("hf_clip_vision", {"pool": "cls"}, "pooler"),
    ("hf_clip_vision", {"features": "taps"}, ["hidden1", "hidden2", "hidden3"]),
    ("hf_swin", {}, "pooler"), ("hf_swin", {"features": "taps"}, ["map1", "map2"]),
    ("hf_convnext", {}, "pooler"), ("hf_convnext", {"features": "map"}, "last"),
    ("hf_convnext", {"features": "taps", "taps": [3, 1]}, ["map2", "map4"]),
])
def test_results_are_those_that_the_library_recorded(name: str, options: dict[str, Any], result: str | list[str]
                                                     ) -> None:
    case = read_fixture(GOLDEN / f"{name}.npz")
    module, kept = net(case, **options), {one.name: one for one in case.expected}
    with torch.no_grad():
        found = module(case.inputs[0])
    if result == "cls":
        assert np.abs(found.numpy() - kept["last"].array[:, 0]).max() < 1e-5
        return
    for part, wanted in zip([found] if isinstance(result, str) else found, [result] if isinstance(result, str)
                            else result, strict=True):
        if part.dim() == 4 and kept[wanted].array.ndim == 3:  # the library keeps class token, registers and patches
            tokens = part.flatten(2).transpose(1, 2)
            assert np.abs(tokens.numpy() - kept[wanted].array[:, -tokens.shape[1]:]).max() < 1e-5
        else:
            assert far(case, f"out_{wanted}", part) < 1e-5


@pytest.mark.parametrize("name", ["hf_vit", "hf_dinov2_reg", "hf_dinov3_vit", "hf_swin", "hf_convnext",
                                  "hf_clip_vision"])
def test_gradients_by_the_image_are_those_that_the_library_recorded(name: str) -> None:
    """Of all results at once, also of the states before the first block and of class token and registers."""
    case = read_fixture(GOLDEN / f"{name}.npz")
    module = net(case, features="taps")
    first: list[Tensor] = []
    module.keep((), len(module.depths))[0].register_forward_pre_hook(lambda _, given: first.append(given[0]))
    image = case.inputs[0].clone().requires_grad_()
    found, states = module.run(image)
    results = {"last": found.last_hidden_state, "pooler": found.get("pooler_output")}
    total = torch.zeros(())
    for place, result in enumerate(case.outputs):
        shape = case.meta["output_shapes"][result]
        part = results[result] if result in results else [*first, *states][int(result[-1])]
        part = part.transpose(1, 2) if len(shape) == 4 and part.dim() == 3 else part
        total = total + (part.reshape(shape) * case.cotangent(place, shape)).sum()
    gradient, = torch.autograd.grad(total, image)
    assert far(case, "grad_input0", gradient) < 1e-4


@pytest.mark.parametrize("chunk", [1, 2, 10])
def test_slices_of_a_volume_and_their_gradient_are_those_that_were_recorded(chunk: int) -> None:
    case = read_fixture(GOLDEN / "slices_vit.npz")
    volume, total = case.inputs[0].clone().requires_grad_(), torch.zeros(())
    for place, (result, pool) in enumerate((("tokens", "cls"), ("mean", "mean"))):
        encoder = Inner.of(component, config=dict(case.meta["config"]), pool=pool, normalise="none")
        module = EachSlice(EachSliceConfig(encoder=encoder, chunk=chunk), [Volume(volume.shape[1:])]).eval()
        module.load_state_dict(module.adapt_weights(dict(case.parameters)))
        found = module(volume)
        assert far(case, f"out_{result}", found) < 1e-5
        total = total + (found * case.cotangent(place, found.shape)).sum()
    gradient, = torch.autograd.grad(total, volume)
    assert far(case, "grad_input0", gradient) < 1e-4


@pytest.mark.parametrize(("name", "before"), [("hf_vit", 1), ("hf_dinov2_reg", 3), ("hf_dinov3_vit", 3),
                                              ("hf_clip_vision", 1), ("hf_swin", 0)])
def test_patches_have_neither_the_class_token_nor_registers(name: str, before: int) -> None:
    case = read_fixture(GOLDEN / f"{name}.npz")
    last = next(torch.from_numpy(one.array) for one in case.expected if one.name == "last")[:, before:]
    with torch.no_grad():
        tokens, mean, as_map = (net(case, **options)(case.inputs[0]) for options in (
            {"features": "tokens"}, {"pool": "mean"}, {"features": "map"}))
    assert torch.allclose(tokens, last, atol=1e-5) and torch.allclose(mean, last.mean(1), atol=1e-5)
    assert torch.equal(as_map.flatten(2).transpose(1, 2), tokens)
    if name == "hf_dinov2_reg":
        both = net(case, pool="cls_mean")(case.inputs[0])
        assert both.shape == (2, 32) and torch.allclose(both[:, 16:], mean, atol=1e-6)


def test_the_state_has_the_names_of_the_file_and_a_layer_that_the_file_lacks_is_missing() -> None:
    case = read_fixture(GOLDEN / "hf_vit.npz")
    module, file = net(case), dict(case.parameters)
    assert module.state_dict().keys() == file.keys()
    assert any(name not in file for name in dict(module.network.named_parameters()))  # the library's own names
    assert all(torch.equal(value, file[name]) for name, value in module.state_dict().items())
    # Of a larger model: under a prefix, with heads. What is no head stays, and is refused when it is loaded.
    larger = {f"vit.{name}": value for name, value in file.items()} | {"classifier.weight": torch.zeros(2, 16),
                                                                       "strange.weight": torch.zeros(1)}
    del larger["vit.layernorm.weight"]
    found = module.adapt_weights(larger)
    assert found.keys() ^ file.keys() == {"layernorm.weight", "strange.weight"}


KINDS = {
    "vit": {**SMALL, "image_size": [8, 12], "patch_size": 4},
    "dinov2": {**SMALL, "image_size": 8, "patch_size": 4, "mlp_ratio": 2},
    "dinov3_vit": {**SMALL, "image_size": 8, "patch_size": 4, "num_register_tokens": 2, "num_attention_heads": 3},
    "dinov3_convnext": {"hidden_sizes": [4, 8, 12, 16], "depths": [1, 1, 1, 1]},
    "swin": {"image_size": [8, 12], "patch_size": 2, "embed_dim": 6, "depths": [1, 1], "num_heads": [2, 3],
             "window_size": 2, "drop_path_rate": 0.0},
    "swinv2": {"image_size": [8, 12], "patch_size": 2, "embed_dim": 6, "depths": [1, 1], "num_heads": [2, 3],
               "window_size": 2, "drop_path_rate": 0.0},
    "convnext": {"hidden_sizes": [4, 8, 12, 16], "depths": [1, 1, 1, 1]},
    "convnextv2": {"hidden_sizes": [4, 8, 12, 16], "depths": [1, 1, 1, 1]},
    "clip_vision_model": {**SMALL, "image_size": 12, "patch_size": 4},
    "siglip_vision_model": {**SMALL, "image_size": 12, "patch_size": 4},
    "resnet": {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"},
}
SIZES = {"clip_vision_model": (12, 12), "siglip_vision_model": (12, 12)} | dict.fromkeys(
    ("convnext", "convnextv2", "dinov3_convnext", "resnet"), (64, 32))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_the_library_wrote_gives_what_the_library_computes_of_it(kind: str, tmp_path: Path) -> None:
    import transformers
    from fusionkit_plugins.blocks.transformers_models import VISION
    from safetensors.torch import load_file

    about = transformers.AutoConfig.for_model(kind, **KINDS[kind])
    build = getattr(transformers, VISION[kind].network)
    torch.manual_seed(3)
    theirs = build(about).eval()
    theirs.save_pretrained(tmp_path)
    file = load_file(tmp_path / "model.safetensors")
    theirs = build.from_pretrained(tmp_path, local_files_only=True).eval()
    sizes = SIZES.get(kind, (8, 12))
    image = torch.randn(2, 3, *sizes)
    other = image.clone().requires_grad_()
    ours = HfVision(HfVisionConfig(config={"model_type": kind, **KINDS[kind]}, pool="mean", normalise="none"),
                    [Image((3, *sizes))]).eval()
    tensors = ours.adapt_weights(file)
    assert tensors.keys() <= file.keys()
    ours.load_state_dict(tensors)
    last = theirs(image.requires_grad_()).last_hidden_state
    before = {"vit": 1, "dinov2": 1, "dinov3_vit": 3, "clip_vision_model": 1, "dinov3_convnext": 1}.get(kind, 0)
    wanted = last.flatten(2).mean(2) if last.dim() == 4 else last[:, before:].mean(1)
    found = ours(other)
    assert torch.allclose(found, wanted, atol=1e-6)
    wanted.square().sum().backward()
    found.square().sum().backward()
    assert torch.allclose(other.grad, image.grad, atol=1e-5)


def refusal(options: dict[str, Any], shape: tuple[int, ...] = (3, 8, 12)) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        HfVision(HfVisionConfig(**{"normalise": "none", **options}), [Image(shape)])
    return caught.value


def test_what_cannot_be_is_refused_with_the_reason() -> None:
    vit = {"config": {"model_type": "vit", **KINDS["vit"]}}
    dino = {"config": {"model_type": "dinov2", **KINDS["dinov2"]}}
    divided = refusal(dino, (3, 8, 13))
    assert "8 x 13 does not divide into patches of 4 x 4" in str(divided) and "8 x 12" in str(divided.fix)
    assert "images of 8 x 12" in str(refusal(vit, (3, 12, 12)))
    assert "no class token" in str(refusal({"config": {"model_type": "swin", **KINDS["swin"]}, "pool": "cls"}))
    assert "3 channels, the image has 2" in str(refusal(vit, (2, 8, 12)))
    assert "depths 0 to 1" in str(refusal({**vit, "features": "taps", "taps": [2]}))
    assert "the mean and deviation" in str(refusal({**vit, "normalise": "model"}))
    code = refusal({"config": {"model_type": "hibou", "auto_map": {"AutoModel": "modeling.Hibou"}}})
    assert "never run" in str(code) and "auto_map" in str(code.why)
    assert "encoder.hf_text" in str(refusal({"config": {"model_type": "bert"}}))
    assert "quantised" in str(refusal({"config": {"model_type": "vit", "quantization_config": {"bits": 4}}}))
    assert "must be the name of a kind" in str(refusal({"config": {"model_type": ["vit"]}}))
    assert "has no -1 blocks" in str(
        refusal({"config": {"model_type": "vit", **KINDS["vit"], "num_hidden_layers": -1}}))
    next_ = {"config": {"model_type": "dinov3_convnext", "hidden_sizes": [6, 8], "depths": [1, 1]}}
    assert "37 x 32 does not divide into patches of 4 x 4" in str(refusal(next_, (3, 37, 32)))
    assert "16,777,216" in str(refusal({"config": {"model_type": "vit", "hidden_size": 1 << 40}}).fix)


def test_a_grey_image_is_three_equal_channels_and_statistics_are_those_of_the_options() -> None:
    config = {"model_type": "dinov2", **KINDS["dinov2"]}
    options = {"config": config, "normalise": "model", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.1]}
    grey, colour, plain = (HfVision(HfVisionConfig(**given), [Image((channels, 8, 12))]).eval() for given, channels in (
        (options, 1), (options, 3), ({"config": config, "normalise": "none"}, 3)))
    colour.load_state_dict(grey.state_dict())
    plain.load_state_dict(grey.state_dict())
    image = torch.rand(2, 1, 8, 12)
    repeated = image.expand(-1, 3, -1, -1)
    standard = (repeated - torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.1]).reshape(
        3, 1, 1)
    with torch.no_grad():
        assert torch.equal(grey(image), colour(repeated)) and torch.equal(grey(image), plain(standard))


@pytest.mark.parametrize(("said", "message"), [
    ('{"image_mean": ["a", 0, 0], "image_std": [1, 1, 1]}', "no lists of numbers 'image_mean' and 'image_std'"),
    ('{"image_mean": [true, 0, 0], "image_std": [1, 1, 1]}', "no lists of numbers 'image_mean' and 'image_std'"),
    ('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": "x"}', "'rescale_factor' in .* is 'x'"),
    ('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": 0}', "must be a number above 0"),
    ('{"image_mean": [NaN, 0, 0], "image_std": [1, 1, 1]}', "it has NaN in place of a number"),
])
def test_statistics_that_are_no_numbers_are_refused(said: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(said)
    with pytest.raises((ComponentError, GraphError), match=message):
        image_statistics(WeightsFolder.at(tmp_path))


def test_images_that_are_not_normalised_are_scaled_alone(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        '{"do_normalize": false, "image_mean": 0.5, "rescale_factor": 0.00784313725490196}')
    assert image_statistics(WeightsFolder.at(tmp_path)) == ([0.0], pytest.approx([0.5]))
