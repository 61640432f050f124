"""Inputs of which a token is no vector: what stands for one that is missing, and what a component is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.layers.sequences import Events, Series
from fusionkit.planning.plan import Value
from fusionkit.shapes.layouts import Coded, TensorShape

_BYTES = 4
"""Of single precision, which has every whole number up to 16 million."""


def blank(shape: TensorShape, sizes: Sequence[int], inputs: Mapping[str, Tensor]) -> Tensor:
    """Zeros of these sizes for an input of this shape, as precise as the other inputs and on their device."""
    device = next(iter(inputs.values())).device
    kinds = [x.dtype for x in inputs.values() if x.is_floating_point()]
    dtype = torch.int64 if shape.whole else kinds[0] if kinds else torch.get_default_dtype()
    return torch.zeros(tuple(sizes), dtype=dtype, device=device)


def exact(value: Value, given: Tensor) -> Tensor:
    """What is given for an input, unless its precision would round ids and times.

    Raises: ValueError for ids, events and series in half precision: bfloat16 has no whole number between 256 and 258.
    """
    if isinstance(value.shape, Coded) and given.is_floating_point() and given.element_size() < _BYTES:
        raise ValueError(f"the input {value.name!r} has {value.shape.layout} in {given.dtype}, which rounds ids and "
                         "times; give it in single precision, and use autocast in place of a network in half precision"
                         )
    return given


def decoding(module: nn.Module, shapes: Sequence[TensorShape]) -> nn.Module:
    """The module, which turns its coded inputs into what its `forward` takes."""
    layouts = [shape.layout if isinstance(shape, Coded) else "" for shape in shapes]
    if any(layouts):
        module.register_forward_pre_hook(Decoding(layouts))
    return module


class Decoding:
    """A hook before `forward`: ids become int64, whatever carried them, and events and series their parts."""

    def __init__(self, layouts: Sequence[str]) -> None:
        self.layouts = tuple(layouts)

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """What `forward` is given."""
        return tuple(_decoded(layout, arg) for layout, arg in zip(self.layouts, args, strict=True))


def _decoded(layout: str, tensor: Tensor) -> Any:
    if layout == "text":
        return tensor.to(torch.int64)
    if layout == "events":
        return Events.unpacked(tensor)
    return Series.unpacked(tensor) if layout == "series" else tensor
