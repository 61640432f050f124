"""Channel concatenation: images of one size become one image with all channels, before any network.

Source: common practice; Li et al. 2024, A review of deep learning-based information fusion techniques for
multimodal medical image classification, arXiv 2404.15022 (input fusion).
"""

# Axes: B batch, M inputs, c channels of one input, ... the grid that all share.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.blocks.options import presence_flag, rescaling
from fusionkit_plugins.fusions.concat import rescaled
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, TensorShape, fill_absent, with_width, zero_empty


class ChannelConcatConfig(Config):
    """Options of `fusion.channel_concat`."""

    fill: float | list[float] = Field(
        0.0, description="The value of every channel of a missing input, in its normalised units: one number for all "
        "inputs, or a list with one for each.")
    availability: bool = presence_flag("plane", "; recommended if inputs are often missing or are dropped in training")
    rescale: bool = rescaling("channels", "the first convolution")


class ChannelConcat(nn.Module):
    """`y = [x_1; ...; x_M]` along channels, optionally with a plane of ones or zeros for each input.

    Shapes: M maps (B, c_m, ...) of one spatial size; gives (B, sum of c_m, ...), with `availability` M channels more.

    The images must be aligned in space, not only equal in size: registered, with one spacing and orientation, which
    is checked where their files tell their place. Normalise each input separately before, never all of them as one
    stack.

    Missing inputs: their channels become `fill`, an ordinary value for later layers; `availability` distinguishes
    the two. The planes are not rescaled. Rows with nothing present give zeros.

    Raises: ComponentError if `fill` is a list of another length than there are inputs.
    """

    def __init__(self, config: ChannelConcatConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        _output(config, inputs)
        self.fill = config.fill if isinstance(config.fill, list) else [config.fill] * len(inputs)
        self.availability, self.rescale = config.availability, config.rescale

    def forward(self, *maps: Tensor, present: Tensor | None = None) -> Tensor:
        """The stacked channels, in the order of the inputs."""
        parts = list(maps)
        if present is not None:
            parts = [fill_absent([x], present[:, place:place + 1], self.fill[place])[0] for place, x in enumerate(maps)]
            if self.rescale:
                parts = rescaled(parts, present)
        if self.availability:
            parts = parts + fill_absent([torch.ones_like(x[:, :1]) for x in maps], present)
        return zero_empty(torch.cat(parts, 1), present)


def _output(config: ChannelConcatConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    if isinstance(config.fill, list) and len(config.fill) != len(inputs):
        raise ComponentError(f"'fill' has {len(config.fill)} numbers for {len(inputs)} inputs",
                             fix="give one number for each input, or a single one for all")
    return with_width(inputs[0], sum(shape.width for shape in inputs) + config.availability * len(inputs))


component = Fusion(
    "channel_concat", ChannelConcatConfig, ChannelConcat, rule="*maps: B _ ...",
    output=_output, absent="neutral", category="input", paper="arXiv:2404.15022",
    claims=("onnx",),
)
