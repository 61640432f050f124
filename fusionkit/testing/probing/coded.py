"""Numbers for inputs of which a token is no vector: what the kit draws becomes ids that there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fusionkit.network.coded_inputs import decoding
from fusionkit.shapes.layouts import Coded, TensorShape

_SCALE = 97
"""Normal numbers times this hit every id of a small vocabulary."""


def legal(shape: TensorShape, drawn: Tensor) -> Tensor:
    """Any numbers turned into those that an input of this shape may have; those of other layouts unchanged.

    Ids stay floating: a check may want a gradient of its inputs, and the network takes ids of any type.
    """
    if shape.layout == "text":
        return (drawn.detach().nan_to_num() * _SCALE).abs().floor() % shape.width
    return drawn


class _Legal:
    """A hook before `forward`, since checks change what they drew."""

    def __init__(self, shapes: Sequence[TensorShape]) -> None:
        self.shapes = tuple(shapes)

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(legal(shape, arg) for shape, arg in zip(self.shapes, args, strict=True))


def taking_anything(module: nn.Module, shapes: Sequence[TensorShape]) -> nn.Module:
    """The module as a network has it, which takes any numbers for the ids of its inputs."""
    if any(isinstance(shape, Coded) for shape in shapes):
        module.register_forward_pre_hook(_Legal(shapes))
    return decoding(module, shapes)
