"""What a component says of the pretrained weights that its options name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PretrainedFacts:
    """The weights of a component: where they are from, their licence, and what it does to its input before them.

    `source` names them, such as `timm/resnet18.a1_in1k`, '' if a recipe does. `licence` is as their publisher names it,
    '' if unknown. `mean` and `std` are those that the module itself applies to its input; empty if it applies none, so
    that the data file has to.
    """

    source: str = ""
    licence: str = ""
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
