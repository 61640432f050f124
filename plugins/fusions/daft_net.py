"""The whole DAFT network: a small residual network for an image, whose last block is modulated by a table.

Source: Poelsterl, Wolf and Wachinger 2021, Combining 3D Image and Tabular Data via the Dynamic Affine Feature Map
Transform, arXiv 2107.05990, section 3; the layers are those of the authors' code, without its last linear layer,
which is the head's. The authors' class has the affine map at location 0, its training scripts and here at 3; it has
no `1 +` (`residual: false`).
"""
# Axes: B batch, c channels, p columns of the table, n {width}, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch.nn.functional as F
from fusionkit_plugins.fusions.daft import (
    AffineConfig,
    AffineMap,
    Hosted,
    ResidualBlock,
    affine_options,
    average,
    block_names,
    block_shape,
    said,
)
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Fusion, Probes, Recorded, Release, TensorShape, shape_of


class DAFTNetConfig(AffineConfig):
    """Options of `fusion.daft_net`."""

    width: PositiveInt = Field(
        4, examples=[8], description="Channels of the first stage; the result has eight times as many.")
    location: Literal[0, 1, 2, 3, 4] = Field(
        3, description="Where in the last block the affine map acts: 0 on its input, 1 on the shortcut, 2 on the "
        "input of the convolutions, 3 after the first norm, 4 after the first ReLU.")


class DAFTNet(Hosted):
    """conv, max pool, blocks of n, 2n, 4n and 8n channels (the last with the table), mean over all positions.

    The spatial size is halved before the first block and in each of the other three.

    Shapes: an image (B, c, ...) and a table (B, p); gives (B, 8n).

    Raises: ComponentError if an axis of the image is shorter than 2.
    """

    def __init__(self, config: DAFTNetConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        image, table = inputs
        result_shape(config, inputs)
        planes = len(image.spatial)
        convolution, norm = (nn.Conv3d, nn.BatchNorm3d) if planes == 3 else (nn.Conv2d, nn.BatchNorm2d)
        self.conv = convolution(image.width, config.width, 3, padding=1, bias=False)
        self.norm = norm(config.width)
        self.pool = nn.MaxPool3d(2) if planes == 3 else nn.MaxPool2d(2)
        shape = shape_of((config.width, *(size // 2 for size in image.spatial)))
        self.blocks = nn.ModuleList()
        for factor, stride in ((1, 1), (2, 2), (4, 2)):
            self.blocks.append(ResidualBlock(shape, factor * config.width, stride))
            shape = block_shape(shape, factor * config.width, stride)
        self.shape = block_shape(shape, 8 * config.width, 2)
        affine = AffineMap(config, self.shape if config.location in (3, 4) else shape, table.width, sees_image=True)
        self.last = ResidualBlock(shape, self.shape.width, 2, affine, config.location)

    def transform(self, image: Tensor, table_Bp: Tensor, heard_B: Tensor | None) -> Tensor:
        """The features of the image modulated by the table."""
        image = self.pool(self.norm(self.conv(image)).relu())
        for block in self.blocks:
            image = block(image)
        return average(self.last(image, table_Bp, heard_B), self.shape)


def result_shape(config: DAFTNetConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    """The shape of the result.

    Raises: ComponentError if an axis of the image is shorter than 2.
    """
    if min(inputs[0].spatial) < 2:
        raise ComponentError(f"its image has the spatial size {'x'.join(map(str, inputs[0].spatial))}",
                             why="a max pool of 2 halves every axis, so 1 is too small",
                             fix="give it an image of at least 2 along every axis")
    return shape_of((8 * config.width,))


def _names() -> dict[str, str]:
    names = {"conv": "conv1.conv", "norm": "conv1.bn"}
    for ours, theirs in (("blocks.0", "block1"), ("blocks.1", "block2"), ("blocks.2", "block3"), ("last", "blockX")):
        names |= {f"{ours}.{part}": f"{theirs}.{counterpart}" for part, counterpart in block_names.items()}
    return names


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    width, location = shapes["conv1.conv.weight"][0], int(said(meta).get("location", 0))
    options = affine_options(shapes["blockX.aux.aux_base.weight"], shapes["blockX.aux.aux_out.weight"],
                             (8 if location in (3, 4) else 4) * width, meta)
    return {"width": width, "location": location, **options}


def _replay(module: DAFTNet, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    return {name: F.linear(module(*inputs), case.rest["fc.weight"], case.rest["fc.bias"])
            for name in case.meta["outputs"]}


component = Fusion(
    "daft_net", DAFTNetConfig, DAFTNet, rule="image: B _ ..., table: B _", output=result_shape, absent="identity",
    category="network", paper="arXiv:2107.05990",
    reference={"release": Release(names=_names(), read=_read, replay=_replay)},
    probes=Probes(together=[{"width": 8, "activation": "sigmoid", "residual": False}]),
)
