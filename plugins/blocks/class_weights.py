"""Classes and their weights, as heads of classification have them. Contains no component."""
# Axes: K classes.

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from fusionkit_plugins.blocks.options import check_names
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from fusionkit.api import Config


class ClassesConfig(Config):
    """Options of heads whose loss is a cross-entropy."""

    classes: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=2, description="Names of the classes; the first is class 0.")
    class_weights: Literal["none", "balanced"] | list[PositiveFloat] = Field(
        "none", description="Weight of a case by its class: none, balanced (by the training cases of each class), "
                            "or one number for each class.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")

    @model_validator(mode="after")
    def _names_and_weights(self) -> Self:
        check_names("classes", self.classes, "class", class_weights=self.class_weights)
        return self

    def weights(self) -> Tensor:
        """The weights before training cases are counted, (K,)."""
        given = self.class_weights if isinstance(self.class_weights, list) else [1.0] * len(self.classes)
        return torch.tensor(given, dtype=torch.float32)


def balanced_weights(counts: Tensor) -> Tensor:
    """N / (K' n_k) from the training cases n_k of each class, (K,); K' are not empty, and an empty one has weight 1."""
    seen = counts > 0
    return torch.where(seen, counts.sum() / (seen.sum() * counts), 1.0)
