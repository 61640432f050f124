"""Numbers for inputs of which a token is no vector: what the kit draws becomes ids that there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.network.coded_inputs import decoding
from fusionkit.shapes.layouts import Coded, TensorShape

_SCALE = 97
"""Normal numbers times this hit every id of a small vocabulary."""
_SELDOM = -1.0
"""A normal number above it is a cell that was observed: five of six."""


def legal(shape: TensorShape, drawn: Tensor) -> Tensor:
    """Any numbers turned into those that an input of this shape may have; those of other layouts unchanged.

    Ids stay floating: a check may want a gradient of its inputs, and the network takes ids of any type.
    """
    if shape.layout == "text":
        return _ids(drawn, shape.width)
    if shape.layout == "events":
        return torch.stack([drawn[..., 0], _ids(drawn[..., 1], shape.width), drawn[..., 2]], -1)
    if shape.layout == "series":
        observed = (drawn[..., shape.width : -1].detach() > _SELDOM).to(drawn.dtype)
        return torch.cat([drawn[..., : shape.width], observed, drawn[..., -1:]], -1)
    return drawn


def _ids(drawn: Tensor, count: int) -> Tensor:
    return (drawn.detach().nan_to_num() * _SCALE).abs().floor() % count


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
