"""Image models of the transformers library: a pooled vector, a map, maps of several depths, or tokens.

Source: Wolf et al. 2020, Transformers: State-of-the-Art Natural Language Processing,
doi:10.18653/v1/2020.emnlp-demos.6; each model has a paper of its own.
"""
# Axes: B batch, C channels, H W image, n patches, p class token and registers, w features of the model.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from fusionkit_plugins.blocks.transformers_folder import image_statistics, values_of
from fusionkit_plugins.blocks.transformers_models import VISION
from fusionkit_plugins.blocks.transformers_state import TransformersNetwork
from pydantic import Field, model_validator
from torch import Tensor

from fusionkit.api import (
    ComponentError,
    Config,
    Encoder,
    PretrainedFacts,
    Probes,
    TensorShape,
    WeightsFolder,
    weights_folder,
)

_FIXED = {"vit", "clip_vision_model", "siglip_vision_model"}
"""Kinds whose codes of positions are for one size of the image."""
_MAPS = {"convnext", "convnextv2", "resnet"}
"""Kinds that have maps and no tokens."""
_HALVING = {"swin", "swinv2", "dinov3_convnext"}
"""Kinds whose tokens are those of the last of several stages, each half as fine as the one before."""
_WITHOUT_CLASS = _MAPS | {"swin", "swinv2", "siglip_vision_model"}
_EXAMPLE = {"model_type": "dinov2", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
            "mlp_ratio": 2, "image_size": 32, "patch_size": 8}


class HfVisionConfig(Config):
    """Options of `encoder.hf_vision`."""

    folder: WeightsFolder | None = weights_folder()
    config: dict[str, Any] | None = Field(
        None, description="In place of 'folder': what a config.json says, as a mapping with 'model_type'; weights are "
                          "then random, or those of the node's 'weights:'.")
    features: Literal["pooled", "map", "taps", "tokens"] = Field(
        "pooled", description="pooled: one vector; map: the patches or the last map; taps: a map from each depth in "
                              "'taps', named f1, f2, ...; tokens: the patches as tokens.")
    pool: Literal["cls", "mean", "cls_mean", "model"] = Field(
        "model", description="Which vector 'features: pooled' is. cls: the class token; mean: the mean of the patches "
                             "without class token and registers; cls_mean: both side by side; model: what the model "
                             "itself gives (the class token, the mean, or a pooling that it learned).")
    taps: list[int] | None = Field(
        None, min_length=1, description="Depths that 'features: taps' gives, counted from 0, or from the end if "
                                        "negative; all by default. They are returned in order of depth.")
    interpolate: bool = Field(
        False, description="Whether codes of positions are interpolated for an image of another size than the model "
                           "was trained with. DINOv2 and DINOv3 always do so.")
    normalise: Literal["model", "none"] = Field(
        "model", description="model: expect an image in 0..1 and apply the mean and deviation that the model was "
                             "trained with; none: use the input as it is.")
    mean: list[float] | None = Field(
        None, description="The mean of each channel, where neither recipe.yaml nor preprocessor_config.json of the "
                          "folder tells it or another is wanted.")
    std: list[float] | None = Field(None, description="The deviation of each channel, likewise.")

    @model_validator(mode="after")
    def _used(self) -> Self:
        if self.taps is not None and self.features != "taps":
            raise ValueError("'taps' belongs to 'features: taps'")
        if self.taps is not None and len(set(self.taps)) < len(self.taps):
            raise ValueError("'taps' names one depth twice")
        if self.pool != "model" and self.features != "pooled":
            raise ValueError("'pool' belongs to 'features: pooled'")
        if (self.config is None) == (self.folder is None):
            raise ValueError("a network is that of a folder or of a config; write 'folder: PATH' or "
                             "'config: {model_type: ...}'")
        if (self.mean is None) != (self.std is None):
            raise ValueError("'mean' and 'std' belong together")
        if self.normalise == "none" and self.mean is not None:
            raise ValueError("'mean' and 'std' belong to 'normalise: model'")
        return self


class HfVision(TransformersNetwork):
    """A network of transformers without its head, preceded by the normalisation it was trained with.

    Let h be the last hidden state, after the final norm if the network has one there: (B, p + n, w) with the class
    token first, registers next, patches last. `cls` is h[:, 0], of CLIP the same after its last norm; `mean` is the
    mean of the patches, without registers. `map` is the patches, or the last map, as (B, w, h', w'); taps are hidden
    states before the final norm. A grey image is shown as three equal channels to a network of colours.

    The state dict has the names of the release's files. Shapes: (B, C, H, W); gives (B, w), (B, 2 w) with `cls_mean`,
    (B, w, h', w'), several of these, or (B, n, w). Missing rows are skipped.

    Raises: ComponentError if transformers cannot build the network, the image does not fit it, or it lacks what the
    options ask for.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: HfVisionConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(values_of(config.config, config.folder), VISION)
        self.features, self.pool = config.features, config.pool
        about = self.network.config
        self.channels = int(getattr(about, "num_channels", 3))
        _check_pool(self.kind, about, config)
        _check_image(self.kind, about, inputs[0], config.interpolate)
        self.before = 0 if self.kind in _WITHOUT_CLASS else 1 + int(getattr(about, "num_register_tokens", 0) or 0)
        self.grids = _grids(self.kind, about, inputs[0].spatial)
        self.depths, count = _depths(self.kind, about, config)
        blocks = self.keep(self.depths, count)
        self.keywords: dict[str, bool] = {}
        if config.interpolate and self.kind in _FIXED | {"swin", "swinv2"}:
            self.keywords["interpolate_pos_encoding"] = True
        mean, deviation = _statistics(config, self.channels)
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).reshape(-1, 1, 1), persistent=False)
        self.freeze(*_unused(self.kind, config))
        if self.depths:
            for block in blocks[self.depths[-1] + 1 :]:
                block.requires_grad_(False)
        if config.folder is not None:
            config.folder.fill(self)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The vector, the map, the maps or the tokens."""
        image = (image.expand(-1, self.channels, -1, -1) - self.mean) / self.deviation
        found, kept = self.run(image, **self.keywords)
        if self.features == "taps":
            return tuple(self._map(state, self.grids[depth]) for state, depth in zip(kept, self.depths, strict=True))
        last = found.last_hidden_state
        if self.features == "map":
            return self._map(last, self.grids[-1])
        patches = last.flatten(2).transpose(1, 2) if last.dim() == 4 else last[:, self.before :]
        if self.features == "tokens":
            return patches.contiguous()
        return self._pooled(found, patches)

    def _pooled(self, found: Any, patches_Bnw: Tensor) -> Tensor:
        if self.pool == "mean":
            return patches_Bnw.mean(1)
        # Networks without a pooling of their own give their class token.
        given = found.pooler_output if self.kind != "vit" else found.last_hidden_state[:, 0]
        whole: Tensor = given.flatten(1)
        return torch.cat([whole, patches_Bnw.mean(1)], 1) if self.pool == "cls_mean" else whole

    def _map(self, state: Tensor, grid: Sequence[int]) -> Tensor:
        if state.dim() == 3:
            state = state[:, self.before :].transpose(1, 2).unflatten(2, grid)
        return state.contiguous()


def _check_pool(kind: str, about: Any, config: HfVisionConfig) -> None:
    if config.pool in ("cls", "cls_mean") and kind in _WITHOUT_CLASS:
        raise ComponentError(f"{kind!r} has no class token", "its patches or its map are all it gives",
                             "write 'pool: mean', or 'pool: model' for what the model itself pools")
    if config.pool == "model" and config.features == "pooled" and not getattr(about, "vision_use_head", True):
        raise ComponentError(f"this {kind!r} has no pooling of its own", fix="write 'pool: mean'")


def _check_image(kind: str, about: Any, shape: TensorShape, interpolate: bool) -> None:
    """Refuse images that the network would crop in silence, or cannot read."""
    channels, sizes = int(getattr(about, "num_channels", 3)), shape.spatial
    if shape.width not in (1, channels):
        raise ComponentError(f"the network reads {channels} channels, the image has {shape.width}",
                             "its first layer was trained on these", "give an image of these channels, or of one")
    patch = _patch(about)
    if any(size % side or size < side for size, side in zip(sizes, patch, strict=True)):
        wanted = [max(round(size / side), 1) * side for size, side in zip(sizes, patch, strict=True)]
        raise ComponentError(f"an image of {_product(sizes)} does not divide into patches of {_product(patch)}",
                             "the network would leave out its edge without a word",
                             f"resize or crop it to a multiple, such as {_product(wanted)}")
    trained = _pair(getattr(about, "image_size", sizes))
    if kind in _FIXED and tuple(sizes) != trained and not interpolate:
        raise ComponentError(f"the network is for images of {_product(trained)}, and this one has {_product(sizes)}",
                             "its codes of positions are for that size", f"resize the image to {_product(trained)}, "
                             "or write 'interpolate: true', which interpolates the codes")


def _patch(about: Any) -> tuple[int, ...]:
    if about.model_type == "dinov3_convnext":  # its first layer has a stride of 4, which its settings do not name
        return (4, 4)
    if hasattr(about, "patch_size"):
        return _pair(about.patch_size)
    return (1, 1)  # a ResNet pads


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (int(value), int(value))


def _product(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _grids(kind: str, about: Any, sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """How many patches there are along each axis at each depth, of networks that have patches."""
    if kind == "dinov3_convnext":  # its last map is given as tokens; strides 4, 2, 2, 2 without padding
        return [tuple(size // 4 // 2 ** (len(about.depths) - 1) for size in sizes)]
    grid = tuple(size // side for size, side in zip(sizes, _patch(about), strict=True))
    if kind not in _HALVING:
        return [grid] * (len(about.depths) if kind in _MAPS else int(about.num_hidden_layers))
    # Each stage but the last halves what it gives.
    halves = [min(stage, len(about.depths) - 1) for stage in range(1, len(about.depths) + 1)]
    return [tuple(-(-size // 2**times) for size in grid) for times in halves]


def _depths(kind: str, about: Any, config: HfVisionConfig) -> tuple[list[int], int]:
    """The depths whose maps are given, in order, and how many the network has."""
    count = len(about.depths) if kind in _MAPS | _HALVING else int(about.num_hidden_layers)
    if config.features != "taps":
        return [], count
    chosen = list(range(count)) if config.taps is None else config.taps
    if any(not -count <= depth < count for depth in chosen):
        raise ComponentError(f"'taps' is {config.taps}, but the network has the depths 0 to {count - 1}",
                             fix="choose depths in that range")
    return sorted({depth % count for depth in chosen}), count


def _unused(kind: str, config: HfVisionConfig) -> tuple[str, ...]:
    """The layers behind what is asked for, which are there as the file has them and have no part in the result."""
    if config.features == "taps":
        return ("layernorm.", "layer_norm.", "norm.", "post_layernorm.", "head.")
    whole = config.features == "pooled" and config.pool != "mean"
    behind = {"convnext": ("layernorm.",), "convnextv2": ("layernorm.",), "clip_vision_model": ("post_layernorm.",),
              "siglip_vision_model": ("head.",)}
    return () if whole else behind.get(kind, ())


def _statistics(config: HfVisionConfig, channels: int) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel."""
    if config.normalise == "none":
        return [0.0] * channels, [1.0] * channels
    found = _told(config)
    if found is None:
        raise ComponentError("nothing tells the mean and deviation of the images that the network was trained with",
                             "there is no preprocessor_config.json beside its weights, and no recipe.yaml that has them"
                             if config.folder else "'config' has none", "write 'mean:' and 'std:', or "
                             "'normalise: none' where the data file normalises or weights are random")
    mean, deviation = ([*part] * channels if len(part) == 1 else [*part] for part in found)
    if len(mean) != channels or len(deviation) != channels or min(deviation) <= 0:
        raise ComponentError(f"'mean' and 'std' must have {channels} numbers each, those of 'std' above 0",
                             fix="write one for each channel that the network reads")
    return mean, deviation


def _told(config: HfVisionConfig) -> tuple[list[float], list[float]] | None:
    if config.mean is not None and config.std is not None:
        return config.mean, config.std
    return image_statistics(config.folder)


def facts(config: HfVisionConfig) -> PretrainedFacts | None:
    """The normalisation before the folder's weights; their source and licence are told by a recipe."""
    if config.folder is None:
        return None
    mean, deviation = (_told(config) if config.normalise == "model" else None) or ((), ())
    return PretrainedFacts(mean=mean, std=deviation)


component = Encoder("hf_vision", HfVisionConfig, HfVision, rule="image: B _ _ _ -> ?", category="image",
                    paper="doi:10.18653/v1/2020.emnlp-demos.6", needs=("transformers>=5.18",), pretrained=facts,
                    probes=Probes(values={"config": [_EXAMPLE]}, together=[
                        {"config": _EXAMPLE, "normalise": "none"},
                        {"config": _EXAMPLE, "features": "taps", "taps": [0], "normalise": "none"},
                        {"config": _EXAMPLE, "normalise": "model", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}]))
