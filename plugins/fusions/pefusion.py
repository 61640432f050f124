"""PEfusion: layers for each input, then further layers of the same form on their concatenation.

Source: Huang, Pareek, Zamanian, Banerjee and Lungren 2020, Multimodal fusion with deep neural networks for leveraging
CT imaging and electronic health record, doi:10.1038/s41598-020-78888-w, the joint variant. The last layer of the
authors' code, to one logit, is the head's. The late average, which did best there, is `fusion.late_mean`.
"""
# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Recorded, Release, TensorShape, fill_absent, zero_empty

_ACTIVATIONS = {"elu": nn.ELU, "leaky_relu": nn.LeakyReLU, "tanh": nn.Tanh, "relu": nn.ReLU}
_STARTS = {"normal": lambda weight: nn.init.normal_(weight, std=0.2),
         "xavier": lambda weight: nn.init.xavier_normal_(weight, gain=0.2),
         "kaiming": lambda weight: nn.init.kaiming_normal_(weight)}


class PEfusionConfig(Config):
    """Options of `fusion.pefusion`."""

    width: PositiveInt = Field(64, description="Width of every layer, and of the result; published: 10 to 500.")
    hidden: NonNegativeInt = Field(
        1, le=1000, description="Hidden layers after the first of each stack; published: 0 to 10.")
    activation: Literal["elu", "leaky_relu", "tanh", "relu"] = Field("elu", description="Activation after each layer.")
    dropout: NonNegativeFloat = Field(
        0.0, lt=1.0, description="Probability of dropping a feature after a hidden layer.")
    start: Literal["kaiming", "xavier", "normal"] = Field(
        "kaiming", description="Initial weights: normal by Kaiming's rule, by Xavier's with gain 0.2, or with "
        "standard deviation 0.2. Biases are initially zero.")


class PEfusion(nn.Module):
    """`S([S_1 x_1; ...; S_M x_M])`; a stack S is layer, activation, then `hidden` times layer, activation, dropout.

    Shapes: M inputs (B, c_m); gives (B, w).

    Missing inputs: the features of their stack are zeros. Rows with nothing present give zeros.
    """

    def __init__(self, config: PEfusionConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(_stack(config, shape.width) for shape in inputs)
        self.joint = _stack(config, len(inputs) * config.width)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The joint features."""
        filled = fill_absent(features, present)
        hidden = fill_absent([tower(x) for tower, x in zip(self.towers, filled, strict=True)], present)
        return zero_empty(self.joint(torch.cat(hidden, 1)), present)


def _stack(config: PEfusionConfig, width: int) -> nn.Sequential:
    activation = _ACTIVATIONS[config.activation]
    layers: list[nn.Module] = [nn.Linear(width, config.width), activation()]
    for _ in range(config.hidden):
        layers += [nn.Linear(config.width, config.width), activation(), nn.Dropout(config.dropout)]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            _STARTS[config.start](layer.weight)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


_LAST = "classifier_layers.feed_forward"


def _last(names: Sequence[str]) -> int:
    """The place of the authors' last layer."""
    return max(int(name.split(".")[2]) for name in names if name.startswith(_LAST))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    text = str(meta.get("constructor", "")).lower().replace("leakyrelu", "leaky_relu")
    activation = next((name for name in _ACTIVATIONS if f"act={name}" in text), "elu")
    return {"width": shapes[f"{_LAST}.0.weight"][0], "hidden": (_last([*shapes]) - 2) // 3, "activation": activation}


def _replay(module: PEfusion, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    last = f"{_LAST}.{_last([*case.rest])}"
    logits = F.linear(module(*inputs), case.rest[f"{last}.weight"], case.rest[f"{last}.bias"])
    return dict.fromkeys(case.meta["outputs"], logits)


component = Fusion(
    "pefusion", PEfusionConfig, PEfusion, rule="*features: B _ -> B {width}", absent="neutral",
    category="single-level", paper="doi:10.1038/s41598-020-78888-w",
    exceptions={"variance": "the published 'xavier' and 'normal' initialisations do not preserve the variance"},
    reference={"release": Release(names={"towers.{i}": "feature_fcnns.{i}.feed_forward", "joint": _LAST}, read=_read,
                                  replay=_replay)},
)
