"""Concatenation of the features, or of the tokens, of all inputs.

Source: common practice; Li et al. 2024, A review of deep learning-based information fusion techniques
for multimodal medical image classification, arXiv 2404.15022 (single-level fusion; on raw images of one
size this is its input fusion).
"""

# Axes: B batch, M inputs, c width of one input, n tokens, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.options import presence_flag, rescaling
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Config,
    Fusion,
    MaskedTokens,
    TensorShape,
    fill_absent,
    joined_tokens,
    pointwise,
    row_mask,
    with_width,
    zero_empty,
)


class ConcatConfig(Config):
    """Options of `fusion.concat`."""

    axis: Literal["features", "tokens"] = Field(
        "features", description="The axis of concatenation: 'features' at each position, 'tokens' makes one longer "
        "sequence of tokens (tokens of one width only).")
    width: PositiveInt | None = Field(
        None, description="Width of the result after a learned projection; None returns the concatenated features.")
    fill: float = Field(0.0, description="The value of every feature of a missing input, in the input's own units.")
    availability: bool = presence_flag("feature", " (with axis 'tokens', one feature on each token for its own input)")
    rescale: bool = rescaling("inputs", "a following layer")


class Concat(nn.Module):
    """`y = [x_1; ...; x_M]`, then a projection if `width` is given.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with sum of c_m features,
    or (B, sum of n_m, c) with axis 'tokens'; `width` replaces the number of features.

    Masked tokens: inputs with the same tokens are joined token by token; with axis 'tokens' any are, one after the
    other.

    Missing inputs: the entry is replaced by the constant `fill`, which is declared as `neutral`: an operand is
    replaced, none is dropped, and nothing is rescaled unless requested. A
    concatenation has no true neutral element, though: a biased or normalised layer after it sees `fill` as
    a value. `availability` lets that layer distinguish the two; for a learned value, put an `encoder.placeholder`
    before this. Rows with nothing present give zeros.
    """

    def __init__(self, config: ConcatConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        self.feature_axis = 2 if inputs[0].layout == "tokens" else 1
        joined = _joined(config, inputs)
        self.project = pointwise(joined, config.width) if config.width else None

    def forward(self, *features: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The concatenated inputs, in order."""
        parts = fill_absent(features, present, self.config.fill)
        if self.config.rescale and present is not None:
            parts = rescaled(parts, present)
        if self.config.availability:
            flags = fill_absent([torch.ones_like(x.narrow(self.feature_axis, 0, 1)) for x in features], present)
            parts = self._with_flags(parts, flags)
        joined = torch.cat(parts, 1 if self.config.axis == "tokens" else self.feature_axis)
        return zero_empty(joined if self.project is None else self.project(joined), present)

    def _with_flags(self, parts: list[Tensor], flags: list[Tensor]) -> list[Tensor]:
        if self.config.axis == "features":
            return parts + flags
        return [torch.cat(pair, 2) for pair in zip(parts, flags, strict=True)]


def rescaled(parts: Sequence[Tensor], present_BM: Tensor) -> list[Tensor]:
    """The present inputs times M / (number present), the missing ones unchanged: M times (B, ...) and (B, M)."""
    factor_B = len(parts) / present_BM.sum(1).clamp(min=1)
    columns = present_BM.unbind(1)
    return [torch.where(row_mask(p, x), x * row_mask(factor_B, x).to(x.dtype), x)
            for x, p in zip(parts, columns, strict=True)]


def _joined(config: ConcatConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    """The shape before the projection.

    Raises: ComponentError if the inputs cannot be concatenated along the chosen axis.
    """
    if config.axis == "features":
        masks = {shape.of if isinstance(shape, MaskedTokens) else None for shape in inputs}
        if len(masks) > 1:
            raise ComponentError("its inputs have different tokens, so their features cannot be concatenated",
                                 fix="put an `encoder.pool` before it, which turns each into a vector, or use "
                                     "'axis: tokens' to make one longer sequence")
        if any(shape.positions != inputs[0].positions for shape in inputs):
            counts = " and ".join(str(shape.positions) for shape in inputs)
            raise ComponentError(f"its inputs have {counts} tokens, so their features cannot be concatenated",
                                 fix="use 'axis: tokens' to make one longer sequence")
        width = sum(shape.width for shape in inputs)
        return with_width(inputs[0], width + config.availability * len(inputs))
    if inputs[0].layout != "tokens":
        raise ComponentError(f"'axis: tokens' needs tokens, but its inputs are of the layout {inputs[0].layout!r}",
                             fix="remove 'axis', or turn the inputs into tokens before it")
    if any(shape.width != inputs[0].width for shape in inputs):
        widths = " and ".join(str(shape.width) for shape in inputs)
        raise ComponentError(f"'axis: tokens' needs tokens of one width, but these have {widths} features",
                             fix="put an `encoder.project` before it")
    return joined_tokens(inputs, inputs[0].width + config.availability)


def _output(config: ConcatConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    joined = _joined(config, inputs)
    return with_width(joined, config.width or joined.width)


component = Fusion(
    "concat", ConcatConfig, Concat,
    rule="*features: B _ | *features: B [n] _ | *features: B [_] c | *features: B _ ...",
    output=_output, absent="neutral", category="single-level", paper="arXiv:2404.15022",
    claims=("onnx",),
)
