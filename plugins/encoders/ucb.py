"""Up-convolution (UCB): a map upsampled by two with half the channels, by a depthwise convolution.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the UCB of E3D-MSCA; a 3D form of the EUCB of Rahman et al. 2024, EMCAD: Efficient
Multi-scale Convolutional Attention Decoding for Medical Image Segmentation, arXiv 2405.06880.
EMCAD has a configurable number of channels, the authors' code halves them: `width`, by default half of the input's.
EMCAD repeats positions, the authors' code interpolates with the corners aligned: `upsample`, by default as in the
authors' code. The authors' channel shuffle has one channel in each group and changes nothing; it is left out.
"""
# Axes: B batch, c channels, w {width}, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fusionkit_plugins.encoders.dcfb import LAST, FoldedBranch, FoldedPointwise
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import ComponentError, Config, Encoder, Release, Shape, TensorShape, resized, shape_of

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class UcbConfig(Config):
    """Options of `encoder.ucb`."""

    width: PositiveInt | None = Field(
        None, description="Channels of the result; None gives half of the input's, rounded down.", examples=[12])
    upsample: Literal["linear", "nearest"] = Field(
        "linear", description="How the map is upsampled: 'linear' interpolates with aligned corners, 'nearest' "
                              "repeats every position.")


class Ucb(nn.Module):
    """V relu(N(D up(x))) + b, with D a depthwise 3x3 convolution, N a batch norm, V pointwise to w channels.

    Convolutions are initialised normal with standard deviation 0.02, the bias at zero.

    Shapes: (B, c, ...); gives (B, w, ...) with every spatial axis twice as long. Missing rows are skipped.

    Raises: ComponentError if a map has one channel only and `width` is not set.
    """

    def __init__(self, config: UcbConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        rank, before = len(inputs[0].spatial), inputs[0].width
        self.upsample = config.upsample
        self.depthwise = nn.Sequential(_CONVOLUTIONS[rank](before, before, 3, padding=1, groups=before, bias=False),
                                       _NORMS[rank](before), nn.ReLU())
        self.project = _CONVOLUTIONS[rank](before, _width(config, inputs[0]), 1)
        for layer in (self.depthwise[0], self.project):
            nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(self.project.bias)

    def forward(self, features: Tensor) -> Tensor:
        """The larger map."""
        result: Tensor = self.project(self.depthwise(doubled(features, self.upsample)))
        return result

    def optimized(self) -> nn.Module:
        """The same function for inference only: see `FoldedUcb`."""
        return FoldedUcb(self)


def doubled(features: Tensor, upsample: str) -> Tensor:
    """The map upsampled by two."""
    if upsample == "linear":
        return resized(features, [2 * size for size in features.shape[2:]])
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


class FoldedUcb(nn.Module):
    """A `Ucb` for evaluation, with its norm folded and channels last in memory throughout; equal up to rounding.

    Shapes: as the `Ucb`; the result has channels last in memory.
    """

    def __init__(self, source: Ucb) -> None:
        super().__init__()
        self.upsample = source.upsample
        self.depthwise = FoldedBranch(source.depthwise)
        self.project = FoldedPointwise([source.project])

    def forward(self, features: Tensor) -> Tensor:
        """The larger map."""
        larger = doubled(features.contiguous(memory_format=LAST[features.dim() - 2]), self.upsample)
        result: Tensor = self.project(self.depthwise(larger.movedim(1, -1)))
        return result.movedim(-1, 1)


def _width(config: UcbConfig, shape: TensorShape) -> int:
    if config.width is None and shape.width < 2:
        raise ComponentError("its input has one channel, which cannot be halved",
                             why="without the option 'width' the result has half of the input's channels",
                             fix="set 'width'")
    return config.width or shape.width // 2


def ucb_shape(config: UcbConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `encoder.ucb`.

    Raises: ComponentError if a map has one channel only and `width` is not set.
    """
    return shape_of((_width(config, inputs[0]), *(2 * size for size in inputs[0].spatial)))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"width": shapes["pwc.0.weight"][0]}


NAMES = {"depthwise.0": "up_dwc.1", "depthwise.1": "up_dwc.2", "project": "pwc.0"}

component = Encoder(
    "ucb", UcbConfig, Ucb, rule="B _ ...", output=ucb_shape, category="attention", paper="arXiv:2405.06880",
    reference={"release": Release(names=NAMES, read=_read)},
)
