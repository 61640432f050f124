"""Counts what a network's operations on the meta device cost, without running those again that it repeats."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class _Sizes:
    """What makes a tensor without values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class _Seen:
    """What an operation gave, sizes in place of tensors, and what it cost."""

    parts: tuple[Any, ...]
    single: bool
    operations: int
    made: int

    def result(self) -> Any:
        """The same result again."""
        parts = tuple(torch.empty_strided(part.shape, part.stride, dtype=part.dtype, device="meta")
                      if isinstance(part, _Sizes) else part for part in self.parts)
        return parts[0] if self.single else parts


class CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Adds up the floating point operations inside it, and the bytes of every tensor created; views count nothing.

    An operation on the meta device with arguments of sizes that were there before is not run again: PyTorch finds the
    sizes of most results there by Python code, some milliseconds each, and networks repeat their layers.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # It imports triton, which takes longer than a small network does.
        from torch.utils.flop_counter import FlopCounterMode

        self.operations = self.made = 0
        self._formulas: Mapping[Any, Callable[..., int]] = FlopCounterMode(display=False).flop_registry
        self._seen: dict[Hashable, _Seen] = {}
        self._views: dict[Any, bool] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        view = self._views.get(function)
        if view is None:
            view = self._views[function] = any(part.alias_info is not None for part in (
                *function._schema.arguments, *function._schema.returns))
        key = None if view else _key((function, args, named))
        seen = self._seen.get(key) if key is not None else None
        if seen is not None:
            self._add(seen.operations, seen.made)
            return seen.result()
        result = _normed(args[0]) if key is not None and _is_norm(function, args) else function(*args, **named)
        formula = self._formulas.get(function._overloadpacket)
        operations = int(formula(*args, **named, out_val=result)) if formula else 0
        parts = tuple(result) if isinstance(result, tuple | list) else (result,)
        made = 0 if view else sum(part.numel() * part.element_size() for part in parts if isinstance(part, Tensor))
        if key is not None and not isinstance(result, list) and all(
                part is None or isinstance(part, int) or _plain(part) for part in parts):
            sizes = tuple(_sizes(part) if isinstance(part, Tensor) else part for part in parts)
            self._seen[key] = _Seen(sizes, not isinstance(result, tuple), operations, made)
        self._add(operations, made)
        return result

    def _add(self, operations: int, made: int) -> None:
        self.operations += operations
        self.made += made


def _is_norm(function: Any, args: Sequence[Any]) -> bool:
    """Whether it is a batch norm by the statistics of training, with all its weights."""
    return (function is torch.ops.aten.native_batch_norm.default and len(args) == 8 and args[5] is False
            and all(isinstance(part, Tensor) for part in args[:5]))


def _normed(x: Tensor) -> tuple[Tensor, ...]:
    """What PyTorch gives there: the result, and two vectors of statistics, which it takes longest of all to find."""
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.empty_like(x), *(torch.empty(x.shape[1], dtype=kind, device="meta") for _ in range(2))


def _plain(value: Any) -> bool:
    """Whether it is a tensor of which sizes, strides and type say all."""
    return type(value) in (Tensor, nn.Parameter) and value.is_meta and not value.is_complex()


def _sizes(tensor: Tensor) -> _Sizes:
    return _Sizes(tuple(tensor.shape), tensor.stride(), tensor.dtype)


def _key(value: Any) -> Hashable | None:
    """What two equal calls have in common; None for an argument with a value that decides, such as a CPU tensor's."""
    if isinstance(value, Tensor):
        return _sizes(value) if _plain(value) else None
    if isinstance(value, Mapping):
        return _key(tuple(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = tuple(_key(part) for part in value)
        return None if None in parts else (type(value), parts)
    return type(value), value  # 1, 1.0 and true are equal, and give results of different types
