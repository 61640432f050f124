"""DAFT: a table scales and shifts the channels of an image, directly or inside a residual block.

Source: Poelsterl, Wolf and Wachinger 2021, Combining 3D Image and Tabular Data via the Dynamic Affine Feature Map
Transform, arXiv 2107.05990, section 2; the locations in the block are those of the authors' code.
The authors' code has no `1 +` (`residual: false`); an untrained map then shrinks its image to a small fraction.
The authors' code does not support a missing table: here the image is then unchanged. It refuses location 2 if the block
keeps size and width, without need; that works here.
"""
# Axes: B batch, c channels, p columns of the table, n tokens, ... spatial axes of a map.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Fusion,
    Probes,
    Release,
    TensorShape,
    fill_absent,
    places_of,
    row_mask,
    running_statistics,
    shape_of,
    spread,
    training_norms,
)

_SQUASHES = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
_CONVOLUTIONS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORMS: dict[int, type[nn.BatchNorm2d | nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class AffineConfig(Config):
    """Options of an affine map that is computed from a table."""

    bottleneck: PositiveInt = Field(7, description="Width of the hidden layer that computes scale and shift.")
    scale: bool = Field(True, description="Whether the channels are scaled.")
    shift: bool = Field(True, description="Whether the channels are shifted.")
    activation: Literal["linear", "sigmoid", "tanh"] = Field(
        "linear", description="Activation of the computed scale.")
    residual: bool = Field(
        True, description="Whether the image is scaled by 1 + the computed scale, and the last layer starts at zero, "
        "so that the map starts as the identity. The published form has no 1.")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.scale or self.shift):
            raise ValueError("with neither 'scale' nor 'shift' it does nothing")
        if self.residual and self.activation == "sigmoid":
            raise ValueError("a sigmoid starts at 1/2, so 1 + sigmoid is not the identity: set 'residual: false'")
        return self


class ModulationConfig(AffineConfig):
    """Options of an affine map that may be inside a residual block."""

    location: Literal[0, 1, 2, 3, 4] | None = Field(
        None, description="Where in a residual block the map acts: 0 on the block's input, 1 on the shortcut, 2 on the "
        "input of the convolutions, 3 after the first norm, 4 after the first ReLU. None: without a block.")
    width: PositiveInt | None = Field(
        None, description="Channels of the block's result; None keeps those of the image.")
    stride: PositiveInt = Field(1, description="Stride of the block's first convolution.")

    @model_validator(mode="after")
    def _has_a_block(self) -> Self:
        if self.location is None and (self.width is not None or self.stride > 1):
            raise ValueError("'width' and 'stride' belong to a block: set 'location'")
        return self


class DAFTConfig(ModulationConfig):
    """Options of `fusion.daft`."""


def average(features: Tensor, shape: TensorShape) -> Tensor:
    """The mean over all positions: (B, c), (B, n, c) or (B, c, ...) gives (B, c)."""
    if shape.layout == "tokens":
        return features.mean(1)
    return features.flatten(2).mean(2) if shape.spatial else features


def everywhere(numbers_Bc: Tensor, shape: TensorShape) -> Tensor:
    """One number for each channel, reshaped to broadcast over all positions of a layout."""
    return numbers_Bc.unsqueeze(1) if shape.layout == "tokens" else spread(numbers_Bc, shape)


class AffineMap(nn.Module):
    """`a * image + b` with `[a; b] = W_2 relu(W_1 s)`, s = [mean of the image; table] or the table alone; no biases.

    Shapes: (B, c, ...), (B, n, c) or (B, c), and (B, p); gives that of the image.
    """

    def __init__(self, config: AffineConfig, image: TensorShape, columns: int, sees_image: bool) -> None:
        super().__init__()
        self.config, self.shape, self.sees_image = config, image, sees_image
        self.squeeze = nn.Linear(image.width * sees_image + columns, config.bottleneck, bias=False)
        self.expand = nn.Linear(config.bottleneck, (config.scale + config.shift) * image.width, bias=False)
        self.squash = _SQUASHES[config.activation]()
        if config.residual:
            nn.init.zeros_(self.expand.weight)

    def forward(self, image: Tensor, table_Bp: Tensor, heard_B: Tensor | None) -> Tensor:
        """The changed image; rows without a table by `heard_B` are unchanged."""
        seen = torch.cat([average(image, self.shape), table_Bp], 1) if self.sees_image else table_Bp
        numbers = list(self.expand(self.squeeze(seen).relu()).chunk(self.config.scale + self.config.shift, 1))
        if self.config.scale:
            scale_Bc = self.squash(numbers.pop(0)) + int(self.config.residual)
            image = image * everywhere(_unless(heard_B, scale_Bc, 1.0), self.shape)
        if self.config.shift:
            image = image + everywhere(_unless(heard_B, numbers.pop(), 0.0), self.shape)
        return image


def _unless(heard_B: Tensor | None, numbers_Bc: Tensor, neutral: float) -> Tensor:
    return numbers_Bc if heard_B is None else numbers_Bc.where(heard_B.unsqueeze(1), neutral)


class ResidualBlock(nn.Module):
    """conv - norm - ReLU - conv - norm, plus the input, ReLU; with an affine map at one of five locations, or none.

    Convolutions of size 3 without biases; the shortcut is a pointwise convolution and a norm if size or width change.

    Shapes: (B, c, ...); gives (B, width, ...), the size divided by the stride and rounded up.
    """

    def __init__(
        self, image: TensorShape, width: int, stride: int, affine: AffineMap | None = None, location: int | None = None
    ) -> None:
        super().__init__()
        convolution, norm = _CONVOLUTIONS[len(image.spatial)], _NORMS[len(image.spatial)]
        self.conv1 = convolution(image.width, width, 3, stride, 1, bias=False)
        self.norm1 = norm(width, affine=location != 3)
        self.conv2 = convolution(width, width, 3, 1, 1, bias=False)
        self.norm2 = norm(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or width != image.width:
            self.shortcut = nn.Sequential(convolution(image.width, width, 1, stride, bias=False), norm(width))
        self.affine, self.location = affine, location

    def forward(self, image: Tensor, table_Bp: Tensor | None = None, heard_B: Tensor | None = None) -> Tensor:
        """The block's result."""

        def at(location: int, features: Tensor) -> Tensor:
            return self.affine(features, table_Bp, heard_B) if self.affine and location == self.location else features

        image = at(0, image)
        hidden = at(3, self.norm1(self.conv1(at(2, image))))
        hidden = at(4, hidden.relu())
        result: Tensor = self.norm2(self.conv2(hidden)) + self.shortcut(at(1, image))
        return result.relu()


def block_shape(image: TensorShape, width: int, stride: int) -> TensorShape:
    """The output shape of a residual block."""
    return shape_of((width, *((size - 1) // stride + 1 for size in image.spatial)))


class Hosted(nn.Module):
    """A fusion into an image: without the image there is no result, without the table the image is used alone.

    Missing inputs: rows without an image give zeros and do not enter the statistics of norms; rows without a
    table keep their image unchanged, and the table enters as zeros.
    """

    def transform(self, image: Tensor, table_Bp: Tensor, heard_B: Tensor | None) -> Tensor:
        """The result for rows that have an image; `heard_B` marks those that have a table."""
        raise NotImplementedError

    def forward(self, image: Tensor, table: Tensor, present: Tensor | None = None) -> Tensor:
        """The image changed by the table."""
        if present is None:
            return self.transform(image, table, None)
        image, table = fill_absent([image, table], present)
        shown_B, heard_B = present.unbind(1)
        if not training_norms(self):
            result = self.transform(image, table, heard_B)
            return result.where(row_mask(shown_B, result), 0.0)
        rows = places_of(present, 0)
        if len(rows) < 2:
            with running_statistics(self):
                return Hosted.forward(self, image, table, present)
        result = self.transform(image[rows], table[rows], heard_B[rows])
        return result.new_zeros(len(image), *result.shape[1:]).index_copy(0, rows, result)


class DAFT(Hosted):
    """`a * image + b` in each channel, `[a; b] = W_2 relu(W_1 [mean of the image; table])`, optionally in a block.

    Shapes: an image (B, c, ...), tokens (B, n, c) or a vector (B, c), and a table (B, p); gives that of the image, or
    that of the residual block, which takes maps only. Costs (c + p) bottleneck + 2 c bottleneck.

    Raises: ComponentError if a block is requested and the first input is not a map.
    """

    sees_image: ClassVar[bool] = True

    def __init__(self, config: ModulationConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        image, table = inputs
        result = modulated_shape(config, inputs)
        host = result if config.location in (3, 4) else image
        affine = AffineMap(config, host, table.width, self.sees_image)
        self.body = affine if config.location is None else ResidualBlock(
            image, result.width, config.stride, affine, config.location)

    def transform(self, image: Tensor, table_Bp: Tensor, heard_B: Tensor | None) -> Tensor:
        """The changed image."""
        result: Tensor = self.body(image, table_Bp, heard_B)
        return result


def modulated_shape(config: ModulationConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    """The shape of the result.

    Raises: ComponentError if a block is requested and the first input is not a map.
    """
    image = inputs[0]
    if config.location is None:
        return image
    if not image.spatial:
        raise ComponentError(f"'location' requires a residual block, but 'image' is ({image})",
                             why="the block's convolutions need an image or a volume",
                             fix="remove 'location' to scale and shift the features directly")
    return block_shape(image, config.width or image.width, config.stride)


def said(meta: Mapping[str, Any]) -> dict[str, str]:
    """The authors' settings in the metadata of a recorded case, `name=value` by name."""
    return dict(re.findall(r"(\w+)=([\w.]+)", str(meta.get("constructor", ""))))


def affine_options(base: Sequence[int], out: Sequence[int], channels: int, meta: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the affine map from the sizes of its two layers in the authors' code."""
    both = out[0] == 2 * channels
    only_shift = "shift only" in str(meta.get("constructor", ""))
    return {"bottleneck": base[0], "scale": both or not only_shift, "shift": both or only_shift,
            "activation": said(meta).get("activation", "linear"), "residual": False}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    width, channels = shapes["conv1.weight"][:2]
    location = int(said(meta).get("location", 0 if "bn1.weight" in shapes else 3))
    stride = int(said(meta).get("stride", 2 if "downsample.0.weight" in shapes else 1))
    options = affine_options(shapes["aux.aux_base.weight"], shapes["aux.aux_out.weight"],
                             width if location in (3, 4) else channels, meta)
    return {"location": location, "width": width, "stride": stride, **options}


block_names = {"affine.squeeze": "aux.aux_base", "affine.expand": "aux.aux_out", "conv1": "conv1", "norm1": "bn1",
               "conv2": "conv2", "norm2": "bn2", "shortcut": "downsample"}
"""Name prefixes in a residual block, here and in the authors' code."""
modulation_rule = " | ".join(f"image: {axes}, table: B _" for axes in ("B _ ...", "B _", "B _ _"))
release = Release(names={f"body.{ours}": theirs for ours, theirs in block_names.items()}, read=_read)

PROBES = Probes(together=[{"activation": "sigmoid", "residual": False}, {"location": 3, "width": 8, "stride": 2}])
component = Fusion(
    "daft", DAFTConfig, DAFT, rule=modulation_rule, output=modulated_shape, absent="identity",
    category="single-level", paper="arXiv:2107.05990", reference={"release": release},
    probes=PROBES,
)
