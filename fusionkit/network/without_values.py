"""Building modules on the meta device without the work of drawing their initial weights, which have no values there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_FILLS = frozenset({"normal_", "uniform_", "exponential_", "erfinv_", "fill_", "zero_", "kaiming_normal_",
                    "kaiming_uniform_", "constant_"})
"""What only sets the numbers of its first argument, which it gives back: methods of tensors, and of `torch.nn.init`."""
_CHANGES = frozenset({"add_", "mul_", "clamp_"})
"""Methods that change the numbers of a tensor by other numbers: the rest of a truncated normal distribution."""


class WithoutValues(TorchFunctionMode):
    """Within, what only sets the numbers of a tensor on the meta device is left out.

    PyTorch runs it there by Python code that takes most of the time to build a large network.
    """

    def __torch_function__(self, function: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (),
                           kwargs: Mapping[str, Any] | None = None) -> Any:
        given = kwargs or {}
        name = getattr(function, "__name__", "")
        if name in _FILLS or (name in _CHANGES and all(
                isinstance(part, int | float) for part in (*args[1:], *given.values()))):
            filled = args[0] if args else given.get("tensor")
            if isinstance(filled, Tensor) and filled.is_meta:
                return filled
        return function(*args, **given)
