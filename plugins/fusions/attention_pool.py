"""Gated attention pooling: a small network scores every input, or every token, and the scores weight their mean.

Source: Ilse, Tomczak and Welling 2018, Attention-based Deep Multiple Instance Learning, arXiv 1802.04712, eq. 7 to 9.
"""
# Axes: B batch, M inputs, c width of one input, n items (inputs, or tokens of all), d width of an item, h {hidden}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fusionkit_plugins.blocks.gated_pool import GatedScores
from fusionkit_plugins.blocks.options import input_width
from pydantic import Field, PositiveInt
from torch import Tensor

from fusionkit.api import (
    Config,
    Fusion,
    Projections,
    Recorded,
    Release,
    TensorShape,
    Vector,
    joined_shape,
    tokens_there,
)


class AttentionPoolConfig(Config):
    """Options of `fusion.attention_pool`."""

    width: PositiveInt | None = input_width("takes")
    hidden: PositiveInt = Field(64, description="Hidden features of the scoring network.")
    gated: bool = Field(True, description="Whether a sigmoid gates the hidden features; without it, the score is "
                                          "u tanh(V x), eq. 8.")


class AttentionPool(GatedScores):
    """`y = sum w_i x_i`, w the softmax over the present i of `u (tanh(V x_i + b) * sigmoid(U x_i + c))`.

    The x_i are the inputs, if these are vectors, or the tokens of all of them, for example slices of a scan.

    Shapes: M inputs (B, c_m), or (B, n_m, c_m) of any numbers of tokens; gives (B, d). Costs 2 (d h + h) + h.

    Missing inputs, and padding of masked tokens: they do not enter the softmax. Rows with nothing present give zeros.
    """

    def __init__(self, config: AttentionPoolConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(joined_shape(config, inputs).width, config.hidden, config.gated)
        self.vectors = inputs[0].layout == "vector"
        self.project = Projections(inputs, config.width)

    def forward(self, *features: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The weighted mean."""
        return self._weighed(features, present, valid)[0]

    def weights(self, *features: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The weight of each item, for reports: (B, n), in the order of inputs and tokens."""
        return self._weighed(features, present, valid)[1]

    def _weighed(self, features: Sequence[Tensor], present: Tensor | None,
                 valid: Sequence[Tensor | None] | None) -> tuple[Tensor, Tensor]:
        parts = self.project(features, present)
        items_Bnd = torch.stack(parts, 1) if self.vectors else torch.cat(parts, 1)
        return self.pooled(items_Bnd, tokens_there(features, present, valid))


def _output(config: AttentionPoolConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    return Vector((joined_shape(config, inputs).width,))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"hidden": shapes["att.attention_a.0.weight"][0]}


def _replay(module: AttentionPool, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    mask = case.arrays.get("mask")
    valid = None if mask is None else [mask.bool()]
    return {"y": module(*inputs, valid=valid), "weights": module.weights(*inputs, valid=valid)}


component = Fusion(
    "attention_pool", AttentionPoolConfig, AttentionPool, rule="*features: B _ | *features: B [_] _", output=_output,
    absent="drop", category="attention", paper="arXiv:1802.04712", claims=("symmetric", "onnx"),
    exceptions={"symmetry: *width=*": "with 'width' each input has a projection of its own"},
    reference={"release": Release(names={"hidden": "att.attention_a.0", "gate": "att.attention_b.0",
                                         "score": "att.attention_c"}, read=_read, replay=_replay)},
)
