"""EmbraceNet: each feature of the result is taken from one present input, chosen at random in training.

Source: Choi and Lee 2019, EmbraceNet: A robust deep learning architecture for multimodal classification,
arXiv 1904.09078, section 3.
In evaluation the expectation over the draws is used, so that results are deterministic.
The paper has an activation after each projection, which `activation` adds. The initial projections, which preserve
the variance, are ours.
"""

# Axes: B batch, M inputs, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.fusions.mutan import started
from fusionkit_plugins.fusions.pixel_mean import scores_of, weighted_mean
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Activation, Config, Fusion, TensorShape, activation, fill_absent, softmax_present


class EmbraceConfig(Config):
    """Options of `fusion.embrace`."""

    width: PositiveInt = Field(64, description="Width of the result; each input is projected to it.")
    probabilities: Literal["equal"] | list[PositiveFloat] = Field(
        "equal", description="Probability of each input to be drawn: 'equal', or a list with one number for each, "
        "which are divided by the sum over the present ones.")
    activation: Activation = Field("none", description="The activation after each projection.")


class Embrace(nn.Module):
    """`y_j = P_m(x_m)_j` with m drawn for each case and feature j in training; `y = sum p_m P_m(x_m)` in evaluation.

    Shapes: M vectors (B, c_m); gives (B, width). Costs SC width + M width, SC the sum of the c_m.

    Missing inputs: are never drawn; the probabilities are divided by the sum of the present ones. Rows with nothing
    present give zeros.

    Raises: ComponentError if `probabilities` is a list of another length than there are inputs.
    """

    scores: Tensor

    def __init__(self, config: EmbraceConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.width = config.width
        given = config.probabilities if isinstance(config.probabilities, list) else None
        self.register_buffer("scores", scores_of(given, len(inputs), "probabilities"))
        self.project = nn.ModuleList(started(nn.Linear(shape.width, config.width)) for shape in inputs)
        self.activation = activation(config.activation)

    def probabilities(self, present: Tensor | None = None) -> Tensor:
        """The probability of each input: (1, M), or (B, M) if presence is given; those of present inputs sum to 1."""
        return softmax_present(self.scores.unsqueeze(0), present)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The embraced features."""
        filled = fill_absent(features, present)
        docked = [self.activation(layer(x)) for layer, x in zip(self.project, filled, strict=True)]
        docked = fill_absent(docked, present)
        if not self.training:
            return weighted_mean(docked, self.probabilities(present))
        return torch.stack(docked, 1).gather(1, self._draw(docked[0].shape[0], present).unsqueeze(1)).squeeze(1)

    def _draw(self, rows: int, present: Tensor | None) -> Tensor:
        """The input that each feature is taken from, (B, w). Rows with nothing present draw among zeros."""
        drawable = present if present is None else present | ~present.any(1, keepdim=True)
        chances = self.probabilities(drawable).float().expand(rows, -1)
        return chances.multinomial(self.width, replacement=True)


component = Fusion(
    "embrace", EmbraceConfig, Embrace, rule="*features: B _ -> B {width}",
    absent="drop", category="single-level", paper="arXiv:1904.09078", claims=("onnx",),
    exceptions={"waits: multinomial": "in training the modality of a feature is drawn, and PyTorch checks the shares"},
)
