"""The stem of DRIFA-Net: a wide convolution with MFA before its normalisation, then max pooling.

Source: Dhar et al. 2025, Multimodal Fusion Learning with Dual Attention for Medical Imaging, WACV, arXiv 2412.01248;
kernel, stride, padding and order are those of the authors' code.
"""
# Axes: B batch, c channels, w {width}, ... spatial axes.

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from fusionkit_plugins.blocks.keras import batch_norm, conv_names, norm_names, pad_same, same_grid
from fusionkit_plugins.encoders.mfa import MFA, MFAConfig, Preset, mfa_names
from fusionkit_plugins.encoders.rra import SameConv, rra_layout
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Release, Shape, TensorShape, shape_of

_POOLS = {2: F.max_pool2d, 3: F.max_pool3d}


class DRIFAStemConfig(Config):
    """Options of `encoder.drifa_stem`."""

    width: PositiveInt = Field(64, description="Channels of the result.")
    attention: bool = Field(True, description="Put MFA after the convolution.")
    scale: bool = Field(True, description="Learn the weights of the two branches of the gate.")
    rank: PositiveInt | None = Field(None, description="Rank of the factorised square maps of MFA; full by default.")
    preset: Preset = Field("release", description="Norms and initial values: release (Keras's) or torch.")


class DRIFAStem(nn.Module):
    """relu(BN(MFA(conv 7, stride 2))), then max pooling 3, stride 2, both padded as Keras does.

    Shapes: (B, c, ...); gives (B, w, ...) with a quarter of the positions on each axis, rounded up at each halving.
    Missing rows are skipped.
    """

    def __init__(self, config: DRIFAStemConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.rank = len(inputs[0].spatial)
        self.strides = [2] * self.rank
        inner = [shape_of((config.width, *inputs[0].spatial))]
        attention = MFAConfig(scale=config.scale, rank=config.rank, preset=config.preset)
        self.conv = SameConv(inputs[0].width, config.width, 7, self.strides, config.preset)
        self.mfa = MFA(attention, inner) if config.attention else nn.Identity()
        self.bn = batch_norm(config.width, self.rank, config.preset == "release")

    def forward(self, image: Tensor) -> Tensor:
        """The pooled map."""
        x = self.bn(self.mfa(self.conv(image))).relu()
        # After a ReLU a padded zero never exceeds an actual value.
        return _POOLS[self.rank](pad_same(x, 3, self.strides), 3, 2)


def _shape(config: DRIFAStemConfig, inputs: Sequence[TensorShape]) -> Shape:
    grid = inputs[0].spatial
    twos = [2] * len(grid)
    return shape_of((config.width, *same_grid(same_grid(grid, twos), twos)))


def _read(shapes: dict[str, Sequence[int]], meta: dict[str, object]) -> dict[str, object]:
    return {"width": shapes["conv.kernel"][-1]}


component = Encoder(
    "drifa_stem", DRIFAStemConfig, DRIFAStem, rule="B _ ...", output=_shape, category="image",
    paper="arXiv:2412.01248",
    reference={"release": Release(
        names={**conv_names("conv.layer", "conv"), **mfa_names("mfa", "mfa"), **norm_names("bn", "bn")},
        layout=rra_layout, read=_read)},
)
