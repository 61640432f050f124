"""Squeeze and excitation: every channel of a map times a gate computed from the means of all channels.

Source: Hu et al. 2018, Squeeze-and-Excitation Networks, arXiv 1709.01507, eq. 2 to 4; PENet's form: Huang et al. 2020,
doi:10.1038/s41746-020-0266-y.
Hu et al. put a ReLU inside the gate, PENet a leaky one: `activation`, by default PENet's.
"""
# Axes: B batch, c channels, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import Config, Encoder, Release, TensorShape, spread

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"leaky_relu": F.leaky_relu, "relu": F.relu}


class SeConfig(Config):
    """Options of `encoder.se`."""

    reduction: PositiveInt = Field(16, description="Channels of the map for each hidden unit of the gate, of which "
                                                   "there is at least one.")
    activation: Literal["leaky_relu", "relu"] = Field(
        "leaky_relu", description="Between the two layers of the gate; leaky_relu has the slope 0.01.")


class SqueezeExcitation(nn.Module):
    """x * sigmoid(W2 a(W1 z + b1) + b2), with z the mean of x over its positions.

    Shapes: (B, c, ...); gives the same. Missing rows are skipped.
    """

    def __init__(self, config: SeConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.shape = inputs[0]
        self.activation = _ACTIVATIONS[config.activation]
        hidden = max(1, self.shape.width // config.reduction)
        self.shrink = nn.Linear(self.shape.width, hidden)
        self.grow = nn.Linear(hidden, self.shape.width)

    def forward(self, features: Tensor) -> Tensor:
        """The map with its channels weighted."""
        mean_Bc = features.mean(tuple(range(2, features.dim())))
        gate_Bc = self.grow(self.activation(self.shrink(mean_Bc))).sigmoid()
        return features * spread(gate_Bc, self.shape)


RELEASE_NAMES = {"shrink": "excite.0", "grow": "excite.2"}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    hidden, channels = shapes["excite.0.weight"]
    return {"reduction": channels // hidden}


component = Encoder("se", SeConfig, SqueezeExcitation, rule="B _ ... -> same", category="attention",
                    paper="arXiv:1709.01507", reference={"release": Release(names=RELEASE_NAMES, read=_read)})
