"""Encoders of MONAI for images and volumes: DenseNet, SE-ResNet, SwinUNETR's Swin, SegResNet, ViT, without decoders.

Sources: Cardoso et al. 2022, MONAI, arXiv 2211.02701; the papers of the networks are named in
`plugins/blocks/monai_networks.py`.
"""
# Axes: B batch, c channels, ... two or three spatial axes, w features of the network.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from fusionkit_plugins.blocks.monai_networks import NETWORKS, Settings, vit_tokens
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import Config, Encoder, Probes, Recorded, Release, TensorShape, WeightsFolder, weights_folder

Network = Literal["densenet121", "densenet169", "densenet201", "densenet264", "seresnet50", "swin", "segresnet",
                  "segres_encoder", "vit"]
Counts = Annotated[list[Annotated[PositiveInt, Field(le=10_000)]], Field(min_length=1)]


class MonaiConfig(Config):
    """Options of `encoder.monai`. What is not set has MONAI's default for the network."""

    network: Network = Field(examples=["densenet121"], description="The network.")
    folder: WeightsFolder | None = weights_folder(
        "Folder with model.safetensors, or its shards and their index, below the folder of the graph file, and if "
        "there is one with the recipe.yaml of the weights, with which the other options are compared.")
    features: Literal["pooled", "map", "taps"] = Field(
        "pooled", description="pooled: a vector, see 'pool'; map: the last map; taps: the map of "
                              "every stage, of vit of every block, finest first, named f1, f2, ...")
    width: PositiveInt | None = Field(
        None, description="Channels of the first map, of vit of its tokens. densenet 64, swin 48, segresnet 8, "
                          "segres_encoder 32, vit 768.")
    blocks: Counts | None = Field(
        None, description="Layers of each stage; of vit one number. densenet and seresnet50: those of the name; swin "
                          "2 2 2 2, segresnet and segres_encoder 1 2 2 4, vit 12.")
    growth: PositiveInt | None = Field(None, description="densenet: channels that a layer adds; 32.")
    bottleneck: PositiveInt | None = Field(
        None, description="densenet: channels inside a layer, as a multiple of 'growth'; 4.")
    heads: Counts | None = Field(None, description="swin: heads of each stage, 3 6 12 24; vit: one number, 12.")
    window: PositiveInt | None = Field(None, description="swin: side of a window in tokens; 7.")
    v2: bool | None = Field(None, description="swin: residual convolutions before each stage, SwinUNETR's use_v2; "
                                              "false.")
    mlp: float | None = Field(None, gt=0, le=64, description="swin, vit: width inside an MLP, as a multiple of the "
                                                             "tokens' width; 4.")
    norm: Literal["batch", "instance"] | None = Field(None, description="segres_encoder: its norms; batch.")
    patch: Counts | None = Field(None, description=(
        "vit: side of a patch, a list of one number or of one for each axis; [16]."))
    class_token: bool | None = Field(None, description="vit: whether there is a class token before the patches; false.")
    pool: Literal["mean", "cls"] = Field(
        "mean", description="With 'features: pooled': mean, of the last map; cls, the class token of vit.")

    @model_validator(mode="after")
    def _options_belong(self) -> Self:
        known = NETWORKS[self.network].defaults
        strange = sorted(name for name, value in self if value is not None and name not in
                         {"network", "folder", "features", "pool", *known})
        if strange:
            raise ValueError(f"{strange[0]!r} is no option of {self.network}, which has {', '.join(known)}")
        has = self.settings()
        NETWORKS[self.network].check_options(self.network, has)
        if has.pool == "cls" and not has.class_token:
            raise ValueError("'pool: cls' needs 'class_token: true'")
        if self.pool == "cls" and self.features != "pooled":
            raise ValueError("'pool: cls' belongs to 'features: pooled'")
        return self

    def settings(self) -> Settings:
        """All options of the network, with its defaults for those that are not set."""
        own = ("network", "folder", "features")
        given = {name: value for name, value in self if value is not None and name not in own}
        return Settings(**{**NETWORKS[self.network].defaults, **given})


class Monai(nn.Module):
    """A network of MONAI without what its features do not reach: heads, decoders, later norms.

    The state dict has MONAI's names with the prefix `network.`; `weights:` also takes files with MONAI's bare names, or
    with those of published pre-training (`swinViT.`, `mlp.fc1`); so does `folder`.

    Shapes: (B, c, ...); gives (B, w), (B, w, ...), or several maps. Missing rows are skipped.

    Raises: ComponentError if the network cannot take an input of this size, GraphError if a file of the folder is
    missing or wrong.
    """

    def __init__(self, config: MonaiConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.features = config.features
        has = config.settings()
        self.family = NETWORKS[config.network]
        self.of_class = has.pool == "cls"
        self.family.check_input(config.network, has, inputs[0])
        self.network = self.family.build(has, inputs[0])
        self.left_out = self.family.heads + (self.family.after_taps if config.features == "taps" else ())
        for path in self.left_out:
            parent, _, name = path.rpartition(".")
            part = self.network.get_submodule(parent)
            if hasattr(part, name):
                delattr(part, name)
        if config.folder is not None:
            config.folder.fill(self)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The vector, the map, or the maps."""
        if self.features == "taps":
            return tuple(self.family.maps(self.network, image))
        if self.of_class:
            return self.family.of_class(self.network, image)
        last = self.family.last(self.network, image)
        return last if self.features == "map" else last.flatten(2).mean(2)

    def adapt_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file under this module's names; heads and decoders are dropped, and nothing else is."""
        if any(name.startswith("network.") for name in tensors):
            return dict(tensors)
        plain = {_RELEASE.plain(name): value for name, value in tensors.items()}
        unused = (*_RELEASE.unused, *(f"{path}." for path in self.left_out))
        return {f"network.{name}": value for name, value in plain.items()
                if not name.startswith(unused) and not _CROSS.search(name)}


_CROSS = re.compile(r"^blocks\.\d+\.(norm_)?cross_attn\.")
"""What each block of a ViT has for cross-attention, of which an encoder has none."""


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options that names and sizes of a checkpoint tell; of vit not its heads."""
    del meta

    def count(start: str) -> int:
        return len({name[len(start):].split(".")[0] for name in shapes if name.startswith(start)})

    if "features.conv0.weight" in shapes:
        layer, stages = "features.denseblock1.denselayer1.layers", count("features.denseblock")
        growth = shapes[f"{layer}.conv2.weight"][0]
        return {"network": "densenet121", "width": shapes["features.conv0.weight"][0], "growth": growth,
                "bottleneck": shapes[f"{layer}.conv1.weight"][0] // growth,
                "blocks": [count(f"features.denseblock{place}.denselayer") for place in range(1, stages + 1)]}
    if "patch_embed.proj.weight" in shapes:
        width, rank = shapes["patch_embed.proj.weight"][0], len(shapes["patch_embed.proj.weight"]) - 2
        tables = [shapes[f"layers{place}.0.blocks.0.attn.relative_position_bias_table"] for place in range(1, 5)]
        return {"network": "swin", "features": "taps", "width": width, "heads": [table[1] for table in tables],
                "blocks": [count(f"layers{place}.0.blocks.") for place in range(1, 5)],
                "window": (round(tables[0][0] ** (1 / rank)) + 1) // 2, "v2": count("layers1c.") > 0,
                "mlp": shapes["layers1.0.blocks.0.mlp.linear1.weight"][0] / width}
    if "convInit.conv.weight" in shapes:
        blocks = [count(f"down_layers.{place}.") - (place > 0) for place in range(count("down_layers."))]
        return {"network": "segresnet", "features": "taps", "width": shapes["convInit.conv.weight"][0],
                "blocks": blocks}
    if "conv_init.weight" in shapes:
        return {"network": "segres_encoder", "features": "taps", "width": shapes["conv_init.weight"][0],
                "blocks": [count(f"layers.{place}.blocks.") for place in range(count("layers."))],
                "norm": "batch" if "layers.0.blocks.0.norm1.running_mean" in shapes else "instance"}
    width, *patch = [shapes["patch_embedding.patch_embeddings.weight"][place] for place in (0, *range(2, len(
        shapes["patch_embedding.patch_embeddings.weight"])))]
    has_class = "cls_token" in shapes
    return {"network": "vit", "width": width, "patch": patch, "blocks": [count("blocks.")],
            "mlp": shapes["blocks.0.mlp.linear1.weight"][0] / width, "class_token": has_class,
            "pool": "cls" if has_class else "mean"}


def _replay(module: Monai, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    if module.features == "taps":
        return {f"map{place}": one for place, one in enumerate(module(inputs[0]))}
    if "class_layers.out.weight" in case.rest:
        logits = F.linear(module(inputs[0]), case.rest["class_layers.out.weight"], case.rest["class_layers.out.bias"])
        return {"logits": logits, "map": module.network.features(inputs[0]), "pooled": module(inputs[0])}
    scores = F.linear(module(inputs[0]), case.rest["classification_head.0.weight"],
                      case.rest["classification_head.0.bias"])
    states = vit_tokens(module.network, inputs[0])
    return {"logits": scores.tanh(), **{f"hidden{place}": one for place, one in enumerate(states)}}


_RELEASE = Release(
    names={"network": ""}, read=_read, replay=_replay, taps={f"block{i}": f"network.features.denseblock{i}"
                                                             for i in range(1, 5)},
    strip=("module.", "swinViT.", "swin_vit.", "module.swinViT.", "module.swin_vit.", "encoder.", "vit."),
    rename={"mlp.fc1": "mlp.linear1", "mlp.fc2": "mlp.linear2"},
    # Heads and decoders of MONAI's networks, and of the self-supervised training of Swin.
    unused=("class_layers.", "last_linear.", "classification_head.", "conv3d_transpose", "up_layers.", "up_samples.",
            "conv_final.", "rotation_head.", "contrastive_head.", "convTrans3d.", "conv.", "encoder1.", "encoder2.",
            "encoder3.", "encoder4.", "encoder10.", "decoder", "out."))

component = Encoder(
    "monai", MonaiConfig, Monai, rule="B _ ... -> ?", category="image", paper="arXiv:2211.02701",
    needs=("monai>=1.6.1", "einops>=0.8"), reference={"release": _RELEASE},
    probes=Probes(values={"network": ["segresnet"]}, together=[
        {"network": "segresnet", "blocks": [1, 1]},
        {"network": "densenet121", "width": 6, "blocks": [1, 1], "growth": 3, "bottleneck": 2, "features": "taps"},
        {"network": "swin", "width": 12, "blocks": [2, 1, 1, 1], "heads": [1, 2, 3, 2], "window": 3, "mlp": 2.0,
         "v2": False},
        {"network": "swin", "width": 12, "blocks": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "v2": True, "features": "taps"},
        {"network": "segres_encoder", "width": 6, "blocks": [1, 2], "norm": "batch"},
        {"network": "segres_encoder", "width": 6, "blocks": [1, 2], "norm": "instance", "features": "map"},
        {"network": "vit", "width": 6, "blocks": [2], "heads": [3], "mlp": 2.0, "patch": [16], "class_token": True,
         "pool": "cls"},
        {"network": "vit", "width": 6, "blocks": [2], "heads": [2], "patch": [16], "class_token": False,
         "pool": "mean"},
        {"network": "vit", "width": 6, "blocks": [2], "heads": [1], "patch": [16], "features": "taps"}]))
