"""Robust residual attention block: two convolutions, each with MFA before its normalisation, and a shortcut.

Source: Dhar et al. 2025, Multimodal Fusion Learning with Dual Attention for Medical Imaging, WACV, arXiv 2412.01248,
the RRA block; its order (convolution, MFA, batch norm, ReLU) and padding are those of the authors' code.
Keras's batch norm (eps 1e-3, momentum 0.01) and initial values are `preset: release`, PyTorch's `preset: torch`.
"""
# Axes: B batch, c channels, w {width}, ... spatial axes.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fusionkit_plugins.blocks.keras import (
    batch_norm,
    conv_names,
    kernel_layout,
    norm_names,
    pad_same,
    same_grid,
    start_like_keras,
)
from fusionkit_plugins.encoders.mfa import MFA, MFAConfig, Preset, mfa_layout, mfa_names
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Probes, Release, Shape, TensorShape, shape_of

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}


class RRAConfig(Config):
    """Options of `encoder.rra`."""

    width: PositiveInt = Field(64, description="Channels of the result.")
    stride: PositiveInt | list[PositiveInt] = Field(
        1, description="Stride of the first convolution: one number, or one for each spatial axis.")
    shortcut: Literal["auto", "identity", "projection"] = Field(
        "auto", description="The shortcut of the block: projection is a 1x1 convolution with its own norm; auto uses "
                            "it if stride or width change.")
    attention: bool = Field(True, description="Put MFA after each convolution; off, it is a plain residual block.")
    scale: bool = Field(True, description="Learn the weights of the two branches of each gate.")
    rank: PositiveInt | None = Field(None, description="Rank of the factorised square maps of MFA; full by default.")
    preset: Preset = Field("release", description="Norms and initial values: release (Keras's) or torch.")


class SameConv(nn.Module):
    """A convolution that gives ceil(n / stride) positions, padded as Keras does: the odd element at the end.

    Shapes: (B, before, ...); gives (B, width, ...).
    """

    def __init__(self, before: int, width: int, kernel: int, strides: Sequence[int], preset: Preset) -> None:
        super().__init__()
        layer = _CONVOLUTIONS[len(strides)](before, width, kernel, tuple(strides))
        if preset == "release":
            start_like_keras(layer)
        self.layer, self.kernel, self.strides = layer, kernel, tuple(strides)

    def forward(self, x: Tensor) -> Tensor:
        """The convolved map."""
        return self.layer(pad_same(x, self.kernel, self.strides))


class RRA(nn.Module):
    """relu(BN(MFA(conv(relu(BN(MFA(conv(x))))))) + shortcut(x)).

    Shapes: (B, c, ...); gives (B, w, ...) with ceil(n / stride) positions on each axis. Missing rows are skipped.
    """

    def __init__(self, config: RRAConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        before, width, preset = inputs[0].width, config.width, config.preset
        strides = _strides(config, len(inputs[0].spatial))
        rank, release = len(strides), preset == "release"
        ones = [1] * rank
        inner = [shape_of((width, *inputs[0].spatial))]
        attention = MFAConfig(scale=config.scale, rank=config.rank, preset=preset)
        self.conv1 = SameConv(before, width, 3, strides, preset)
        self.mfa1 = MFA(attention, inner) if config.attention else nn.Identity()
        self.bn1 = batch_norm(width, rank, release)
        self.conv2 = SameConv(width, width, 3, ones, preset)
        self.mfa2 = MFA(attention, inner) if config.attention else nn.Identity()
        self.bn2 = batch_norm(width, rank, release)
        self.proj = nn.Identity()
        if _projects(config, before, strides):
            self.proj = nn.Sequential(SameConv(before, width, 1, strides, preset), batch_norm(width, rank, release))

    def forward(self, features: Tensor) -> Tensor:
        """The map after the block."""
        x = self.bn1(self.mfa1(self.conv1(features))).relu()
        x = self.bn2(self.mfa2(self.conv2(x)))
        return (x + self.proj(features)).relu()


def _strides(config: RRAConfig, rank: int) -> list[int]:
    strides = config.stride if isinstance(config.stride, list) else [config.stride] * rank
    if len(strides) != rank:
        raise ComponentError(f"'stride' has {len(strides)} numbers for {rank} spatial axes",
                             fix="give one number, or one for each axis")
    return strides


def _projects(config: RRAConfig, before: int, strides: Sequence[int]) -> bool:
    changes = before != config.width or any(stride > 1 for stride in strides)
    if changes and config.shortcut == "identity":
        raise ComponentError("an identity shortcut cannot change width or spatial size",
                             why=f"{before} channels become {config.width}, with stride {list(strides)}",
                             fix="remove 'shortcut', or set it to projection")
    return changes or config.shortcut == "projection"


def _shape(config: RRAConfig, inputs: Sequence[TensorShape]) -> Shape:
    grid = inputs[0].spatial
    return shape_of((config.width, *same_grid(grid, _strides(config, len(grid)))))


def rra_names(ours: str, theirs: str) -> dict[str, str]:
    """The parameter names of the block in the authors' code, where it is under `theirs`; both prefixes may be ''."""
    here, there = (f"{place}." if place else "" for place in (ours, theirs))
    names = {f"{here}proj.0.layer": f"{there}proj.conv", f"{here}proj.0.layer.weight": f"{there}proj.conv.kernel",
             **norm_names(f"{here}proj.1", f"{there}proj.bn")}
    for place in ("1", "2"):
        names |= conv_names(f"{here}conv{place}.layer", f"{there}conv{place}")
        names |= mfa_names(f"{here}mfa{place}", f"{there}mfa{place}")
        names |= norm_names(f"{here}bn{place}", f"{there}bn{place}")
    return names


def rra_layout(name: str, tensor: Tensor) -> Tensor:
    """A tensor of the authors' code as ours: attention as `encoder.mfa` has it, kernels of convolutions to weights."""
    if "mfa" in name:
        return mfa_layout(name, tensor)
    return kernel_layout(tensor) if tensor.dim() > 1 else tensor


def _read(shapes: dict[str, Sequence[int]], meta: dict[str, object]) -> dict[str, object]:
    """The options that follow from a case: width from the first kernel, stride if the case is of a single block."""
    stride = {"stride": meta["stride"]} if "stride" in meta else {}
    return {"width": shapes["conv1.kernel"][-1], "scale": "mfa1.global_scale" in shapes, **stride,
            "shortcut": "projection" if "proj.conv.kernel" in shapes else "identity"}


component = Encoder(
    "rra", RRAConfig, RRA, rule="B _ ...", output=_shape, category="attention", paper="arXiv:2412.01248",
    reference={"release": Release(names=rra_names("", ""), layout=rra_layout, read=_read)},
    probes=Probes(together=[{"shortcut": "identity", "width": 5}]),
)
