"""Regression: one number for each named value, with a squared, absolute or Huber loss.

Source: Huber 1964, Robust Estimation of a Location Parameter, doi:10.1214/aoms/1177703732, for the loss of
that name.
"""
# Axes: B batch, c features, K {values}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch.nn.functional as F
from fusionkit_plugins.blocks.options import check_names
from fusionkit_plugins.blocks.readout_head import ReadoutHead
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from fusionkit.api import Head, Probes, ReadoutConfig, TensorShape, at_least_single


class RegressConfig(ReadoutConfig):
    """Options of `head.regress`."""

    values: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="Names of the values, in the order of the targets.")
    loss: Literal["mse", "mae", "huber"] = Field(
        "mse", description="mse: squared error; mae: absolute error; huber: squared when small, absolute when large.")
    delta: PositiveFloat = Field(1.0, description="Where the Huber loss turns from squared to absolute, "
                                                  "in the unit of the targets.")

    @model_validator(mode="after")
    def _names_and_delta(self) -> Self:
        check_names("values", self.values, "value")
        if self.delta != 1.0 and self.loss != "huber":
            raise ValueError("'delta' belongs to 'loss: huber'")
        return self


class Regress(ReadoutHead):
    """Maps features to K numbers in the unit of the targets.

    Targets are not standardised, so a target far from zero, or with a large
    spread, should be rescaled in the table. Loss of a case with error e: (1 / K) sum_k of e_k^2 (mse), |e_k|
    (mae), or e_k^2 / 2 up to |e_k| = delta and delta (|e_k| - delta / 2) beyond (huber), over the known values.

    Shapes: (B, c); gives (B, K). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not K.
    """

    def __init__(self, config: RegressConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs[0], config.values)
        self.kind = config.loss
        self.delta = config.delta

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case, a mean over values: (B, K) and targets (B, K) give (B,).

        A target that is NaN is not known and adds 0.
        """
        values = at_least_single(output)
        known_BK = ~target.isnan()
        target = target.where(known_BK, 0).to(values.dtype)
        if self.kind == "mse":
            losses_BK = F.mse_loss(values, target, reduction="none")
        elif self.kind == "mae":
            losses_BK = F.l1_loss(values, target, reduction="none")
        else:
            losses_BK = F.huber_loss(values, target, reduction="none", delta=self.delta)
        return losses_BK.where(known_BK, 0).mean(1)

    def decode(self, output: Tensor) -> Tensor:
        """The values, (B, K)."""
        return at_least_single(output)

    def balance(self, counts: Tensor) -> None:
        """Does nothing: numbers have no classes."""


component = Head("regress", RegressConfig, Regress, rule="features: B _ -> B {values}", task="regression",
                 names="values", partial=True, category="regression", claims=("onnx",),
                 probes=Probes(sizes=[((2,),)], together=[{"loss": "huber", "delta": 0.5}]))
