"""The networks of `encoder.monai`: how MONAI builds each, its maps, the inputs that it takes. MONAI is imported late.

Sources: Huang et al. 2017, DenseNet, arXiv 1608.06993; Hu et al. 2018, Squeeze-and-Excitation, arXiv 1709.01507;
Hatamizadeh et al. 2022, Swin UNETR, arXiv 2201.01266; Myronenko 2018, SegResNet, arXiv 1810.11654; Dosovitskiy et al.
2021, ViT, arXiv 2010.11929.
"""
# Axes: B batch, c channels, ... two or three spatial axes, w features of the network.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fusionkit.api import ComponentError, TensorShape

_GROUPS = 8
"""Groups of the norms of `SegResNet`."""


@dataclass(frozen=True)
class Settings:
    """The options of a network; those that it does not have are as here."""

    width: int = 0
    blocks: Sequence[int] = ()
    growth: int = 0
    bottleneck: int = 0
    heads: Sequence[int] = ()
    window: int = 0
    v2: bool = False
    mlp: float = 0.0
    norm: str = ""
    patch: Sequence[int] = ()
    class_token: bool = False
    pool: str = "mean"


class Family:
    """Networks of one kind.

    `defaults` are its options. `heads` are the children that no features reach, `after_taps` those that maps of the
    stages do not reach. `stages` is the number of entries that `blocks` must have, 0 for any.
    """

    defaults: Mapping[str, Any]
    heads: ClassVar[tuple[str, ...]] = ()
    after_taps: ClassVar[tuple[str, ...]] = ()
    stages: ClassVar[int] = 0

    def build(self, has: Settings, shape: TensorShape) -> Any:
        """The network of MONAI for inputs of this shape."""
        raise NotImplementedError

    def maps(self, network: Any, x: Tensor) -> list[Tensor]:
        """The map of every stage, finest first."""
        raise NotImplementedError

    def last(self, network: Any, x: Tensor) -> Tensor:
        """The map whose mean is the vector."""
        return self.maps(network, x)[-1]

    def of_class(self, network: Any, x: Tensor) -> Tensor:
        """The class token after the last norm, of those that have one."""
        raise NotImplementedError

    def check_options(self, name: str, has: Settings) -> None:
        """Raises: ValueError for options that do not go together."""
        if self.stages and len(has.blocks) != self.stages:
            raise ValueError(f"'blocks' has {len(has.blocks)} entries; {name} needs {self.stages}")

    def check_input(self, name: str, has: Settings, shape: TensorShape) -> None:
        """Raises: ComponentError for inputs that the network cannot take."""


def _written(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))


def _at_least(name: str, shape: TensorShape, least: int, why: str) -> None:
    if min(shape.spatial) < least:
        wanted = _written([max(side, least) for side in shape.spatial])
        raise ComponentError(f"{name} needs at least {least} on every axis, and the input has "
                             f"{_written(shape.spatial)}", why=why,
                             fix=f"resample or pad the input to {wanted}, for example, or choose another network")


def _several_positions(name: str, shape: TensorShape, total: int) -> None:
    """Instance norm has nothing to standardise by where one position is left."""
    if max(shape.spatial) <= total:
        wanted = _written([*shape.spatial[:-1], total + 1])
        raise ComponentError(f"of an input of {_written(shape.spatial)}, {name} leaves one position, which instance "
                             "norm cannot standardise", why=f"its strides divide each axis by {total}",
                             fix=f"use a larger input, such as {wanted}, or fewer stages")


def _divided(name: str, width: int, heads: Sequence[int]) -> None:
    for place, count in enumerate(heads):
        if width * 2 ** place % count:
            raise ValueError(f"{count} heads do not divide the {width * 2 ** place} channels of stage {place + 1} of "
                             f"{name}; choose other 'heads', or another 'width'")


class DenseNets(Family):
    """DenseNet: a stem of stride 4, dense blocks, and between them transitions that halve."""

    heads = ("class_layers",)
    after_taps = ("features.norm5",)

    def __init__(self, *blocks: int) -> None:
        self.defaults = {"width": 64, "blocks": list(blocks), "growth": 32, "bottleneck": 4}

    def build(self, has: Settings, shape: TensorShape) -> Any:
        """See `Family`."""
        from monai.networks.nets import DenseNet

        network = DenseNet(len(shape.spatial), shape.width, 1, has.width, has.growth, tuple(has.blocks), has.bottleneck)
        for name, part in network.features.named_children():
            if name.startswith("transition"):
                part.pool = _Halved()
        return network

    def maps(self, network: Any, x: Tensor) -> list[Tensor]:
        """The result of each dense block."""
        maps = []
        for name, layer in network.features.named_children():
            x = layer(x)
            if name.startswith("denseblock"):
                maps.append(x)
        return maps

    def last(self, network: Any, x: Tensor) -> Tensor:
        """After the last norm and a ReLU, which MONAI counts to the classifier."""
        found: Tensor = network.features(x)
        return found.relu()

    def check_input(self, name: str, has: Settings, shape: TensorShape) -> None:
        """Each transition needs two positions on every axis."""
        halves = len(has.blocks) - 1
        _at_least(name, shape, 4 * (2 ** halves - 1) + 1,
                  f"its first layers divide an axis by 4 and round up, then {halves} transitions halve and round down")


class _Halved(nn.Module):
    """The mean of every 2x2(x2) positions, in float32: in bfloat16, torch has none for volumes on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Half of each side, rounded down."""
        pool = F.avg_pool2d if x.dim() == 4 else F.avg_pool3d
        return pool(x.float(), 2, 2).to(x.dtype)


class SeResNet(Family):
    """A ResNet-50 whose blocks weight their channels."""

    heads = ("adaptive_avg_pool", "last_linear")
    stages = 4

    def __init__(self) -> None:
        self.defaults = {"blocks": [3, 4, 6, 3]}

    def build(self, has: Settings, shape: TensorShape) -> Any:
        """See `Family`."""
        from monai.networks.nets import SEResNet50

        return SEResNet50(layers=tuple(has.blocks), spatial_dims=len(shape.spatial), in_channels=shape.width,
                          num_classes=1)

    def maps(self, network: Any, x: Tensor) -> list[Tensor]:
        """The map of the first layer and of each of the four that follow."""
        maps = []
        for place in range(5):
            x = getattr(network, f"layer{place}")(x)
            maps.append(x)
        return maps

    def check_input(self, name: str, has: Settings, shape: TensorShape) -> None:
        """The pooling of the first layer needs two positions."""
        del has
        _at_least(name, shape, 3, "the pooling of its first layer needs two positions after a stride of 2")


class _RangesHaveNumbers(TorchFunctionMode):
    """Within, `torch.linspace` is on the CPU: Swin's constructor reads the numbers, which the meta device has not."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
                           ) -> Any:
        return function(*args, **(kwargs or {}), **({"device": "cpu"} if function is torch.linspace else {}))


class Swin(Family):
    """SwinUNETR's encoder: patches of 2, then four stages of windowed attention that halve the map.

    Its five maps are standardised over channels, without weights. Odd sides are rounded up.
    """

    stages = 4

    def __init__(self) -> None:
        self.defaults = {"width": 48, "blocks": [2, 2, 2, 2], "heads": [3, 6, 12, 24], "window": 7, "v2": False,
                         "mlp": 4.0}

    def build(self, has: Settings, shape: TensorShape) -> Any:
        """See `Family`."""
        from monai.networks.nets.swin_unetr import SwinTransformer

        rank = len(shape.spatial)
        with _RangesHaveNumbers():
            return SwinTransformer(shape.width, has.width, (has.window,) * rank, (2,) * rank, tuple(has.blocks),
                                   tuple(has.heads), mlp_ratio=has.mlp, spatial_dims=rank, use_v2=has.v2)

    def maps(self, network: Any, x: Tensor) -> list[Tensor]:
        """The map of the patches and of each stage."""
        return list(network(x))

    def check_options(self, name: str, has: Settings) -> None:
        """Heads must divide the channels of their stage."""
        super().check_options(name, has)
        if len(has.heads) != self.stages:
            raise ValueError(f"'heads' has {len(has.heads)} entries; {name} needs {self.stages}")
        _divided(name, has.width, has.heads)

    def check_input(self, name: str, has: Settings, shape: TensorShape) -> None:
        """With `v2`, instance norm stands before the last stage, at a sixteenth of the input."""
        if has.v2:
            _several_positions(f"{name} with 'v2: true'", shape, 16)


class SegResNets(Family):
    """SegResNet: residual blocks with group norms, each stage but the first with a stride of 2; halves round up."""

    heads = ("up_layers", "up_samples", "conv_final")

    def __init__(self) -> None:
        self.defaults = {"width": 8, "blocks": [1, 2, 2, 4]}

    def build(self, has: Settings, shape: TensorShape) -> Any:
        """See `Family`."""
        from monai.networks.nets import SegResNet

        return SegResNet(len(shape.spatial), has.width, shape.width, 2, blocks_down=tuple(has.blocks),
                         blocks_up=(1,) * (len(has.blocks) - 1))

    def maps(self, network: Any, x: Tensor) -> list[Tensor]:
        """The map of each stage."""
        return list(network.encode(x)[1])

    def check_options(self, name: str, has: Settings) -> None:
        """The groups of its norms must divide the channels."""
        if has.width % _GROUPS:
            raise ValueError(f"'width' is {has.width}; {name} needs a multiple of {_GROUPS}, the groups of its norms")


class SegResEncoders(Family):
    """The encoder of SegResNetDS, that of CT-FM: as SegResNet, with batch or instance norms."""

    def __init__(self) -> None:
        self.defaults = {"width": 32, "blocks": [1, 2, 2, 4], "norm": "batch"}

    def build(self, has: Settings, shape: TensorShape) -> Any:
        """See `Family`."""
        from monai.networks.nets.segresnet_ds import SegResEncoder

        return SegResEncoder(spatial_dims=len(shape.spatial), init_filters=has.width, in_channels=shape.width,
                             blocks_down=tuple(has.blocks), norm=has.norm)

    def maps(self, network: Any, x: Tensor) -> list[Tensor]:
        """The map of each stage."""
        return list(network(x))

    def check_input(self, name: str, has: Settings, shape: TensorShape) -> None:
        """Instance norm needs more than one position."""
        if has.norm == "instance":
            _several_positions(name, shape, 2 ** (len(has.blocks) - 1))


class VisionTransformers(Family):
    """ViT: patches as tokens with learned positions for this size of the input, and blocks of attention."""

    heads = ("classification_head",)
    after_taps = ("norm",)
    stages = 1

    def __init__(self) -> None:
        self.defaults = {"width": 768, "blocks": [12], "heads": [12], "mlp": 4.0, "patch": [16], "class_token": False}

    def build(self, has: Settings, shape: TensorShape) -> Any:
        """See `Family`."""
        from monai.networks.nets import ViT

        rank = len(shape.spatial)
        network = ViT(shape.width, shape.spatial, _patch(has, rank), has.width, int(has.width * has.mlp), has.blocks[0],
                      has.heads[0], classification=has.class_token, num_classes=1, spatial_dims=rank)
        for block in network.blocks:
            block.norm_cross_attn = nn.Identity()  # Nothing reads it without cross-attention.
        return network

    def maps(self, network: Any, x: Tensor) -> list[Tensor]:
        """The patches after each block, before the last norm."""
        return [_as_map(network, tokens, x) for tokens in vit_tokens(network, x)]

    def last(self, network: Any, x: Tensor) -> Tensor:
        """The patches after the last norm."""
        return _as_map(network, network.norm(vit_tokens(network, x)[-1]), x)

    def of_class(self, network: Any, x: Tensor) -> Tensor:
        """The class token after the last norm."""
        found: Tensor = network.norm(vit_tokens(network, x)[-1][:, 0])
        return found

    def check_options(self, name: str, has: Settings) -> None:
        """Heads must divide the tokens' width."""
        super().check_options(name, has)
        if len(has.heads) != 1:
            raise ValueError(f"'heads' has {len(has.heads)} entries; {name} needs 1")
        _divided(name, has.width, has.heads)

    def check_input(self, name: str, has: Settings, shape: TensorShape) -> None:
        """Patches must divide every axis."""
        patch = _patch(has, len(shape.spatial))
        if any(side % one for side, one in zip(shape.spatial, patch, strict=True)):
            wanted = _written([-(-side // one) * one for side, one in zip(shape.spatial, patch, strict=True)])
            raise ComponentError(f"{name} cannot divide an input of {_written(shape.spatial)} into patches of "
                                 f"{_written(patch)}", why="every axis must be a multiple of the patch's",
                                 fix=f"resample, crop or pad the input to {wanted}, for example, or choose another "
                                     "'patch'")


def _patch(has: Settings, rank: int) -> tuple[int, ...]:
    patch = tuple(has.patch) * (rank if len(has.patch) == 1 else 1)
    if len(patch) != rank:
        raise ComponentError(f"'patch' has {len(patch)} numbers for an input with {rank} spatial axes",
                             fix=f"write one number, or {rank} of them")
    return patch


def vit_tokens(network: Any, x: Tensor) -> list[Tensor]:
    """The tokens after each block of a ViT, before the last norm: a class token, if there is one, then the patches."""
    tokens: Tensor = network.patch_embedding(x)
    if hasattr(network, "cls_token"):
        tokens = torch.cat([network.cls_token.expand(len(tokens), -1, -1), tokens], 1)
    states = []
    for block in network.blocks:
        tokens = block(tokens)
        states.append(tokens)
    return states


def _as_map(network: Any, tokens: Tensor, x: Tensor) -> Tensor:
    """The patches among the tokens as a map (B, w, ...)."""
    patch = network.patch_embedding.patch_embeddings.kernel_size
    grid = [side // one for side, one in zip(x.shape[2:], patch, strict=True)]
    others = tokens.shape[1] - network.patch_embedding.position_embeddings.shape[1]
    return tokens[:, others:].transpose(1, 2).unflatten(2, grid)


NETWORKS: Mapping[str, Family] = {
    "densenet121": DenseNets(6, 12, 24, 16), "densenet169": DenseNets(6, 12, 32, 32),
    "densenet201": DenseNets(6, 12, 48, 32), "densenet264": DenseNets(6, 12, 64, 48), "seresnet50": SeResNet(),
    "swin": Swin(), "segresnet": SegResNets(), "segres_encoder": SegResEncoders(), "vit": VisionTransformers()}
