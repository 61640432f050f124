"""Finds the operations that make the CPU wait for the GPU, with the source lines that ask for them.

A GPU works through a queue that the CPU fills. An operation whose result the CPU needs as a number, or whose size
depends on values, empties that queue: the CPU waits until the GPU is done, and the GPU then waits for the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_ATEN = torch.ops.aten
_READ = {_ATEN._local_scalar_dense: "item", _ATEN.item: "item", _ATEN.equal: "equal", _ATEN.allclose: "allclose"}
"""Operations that give the CPU a number: item, int, float, bool, if, tolist and range all end in the first."""
_SIZED = {
    _ATEN.nonzero: "nonzero",
    _ATEN.masked_select: "masked_select",
    _ATEN._unique2: "unique",
    _ATEN.unique_dim: "unique",
    _ATEN.unique_consecutive: "unique",
    _ATEN.bincount: "bincount",
}
"""Operations whose result has a size that depends on values."""
_CHECKED = {
    _ATEN._linalg_check_errors: "linalg",
    _ATEN.multinomial: "multinomial",
    _ATEN.linalg_eigvals: "linalg",
    _ATEN._linalg_eigvals: "linalg",
    _ATEN.linalg_eig: "linalg",
    _ATEN.embedding_renorm_: "embedding_renorm",
}
"""Operations whose kernels for GPUs check values on the CPU."""


@dataclass(frozen=True)
class Wait:
    """An operation that waits, and the line (file:line) that asks for it; '' where no code of ours does."""

    operation: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.operation} at {self.place}" if self.place else self.operation


class WaitWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Within, collects the waits of one kind of device in `waits`, in order and each once.

    Fake tensors have no values: what the CPU would be told is made up, True and 1 if `answer`, else False and 0, and a
    mask selects everything, or nothing. Operations for which nothing can be made up raise what they raise.
    `files` are those (or folders) whose lines count as a place.
    """

    def __init__(self, files: Collection[str], device: str = "cuda", answer: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.files, self.device, self.answer = tuple(files), device, answer
        self.waits: list[Wait] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = waiting(function._overloadpacket, args, kwargs, self.device)
        if operation:
            wait = Wait(operation, place_in(self.files))
            if wait not in self.waits:
                self.waits.append(wait)
        if any(type(part) is not Tensor and hasattr(part, "fake_mode") for part in _tensors(args)):
            return _made_up(function, args, kwargs, self.answer)
        return function(*args, **kwargs)


def waiting(packet: Any, args: Sequence[Any], kwargs: dict[str, Any], device: str) -> str:
    """The name of the operation if it waits for this kind of device, else ''."""
    if packet in (_ATEN._to_copy, _ATEN.copy_):
        return _copying(packet, args, kwargs, device)
    if packet in _READ or packet in _SIZED or packet in _CHECKED:
        names = _READ.get(packet) or _SIZED.get(packet) or _CHECKED.get(packet) or ""
        return names if _on(args, device) else ""
    if packet is _ATEN.repeat_interleave:
        return "repeat_interleave" if _on(args[:1], device) and kwargs.get("output_size") is None else ""
    if packet in (_ATEN.index, _ATEN.index_put, _ATEN.index_put_, _ATEN._unsafe_index) and _on(args[:1], device):
        return _indexing(packet, args, device)
    return ""


def _copying(packet: Any, args: Sequence[Any], kwargs: dict[str, Any], device: str) -> str:
    """Copies between CPU and device wait unless they are told not to; what goes to the CPU is then not there yet."""
    if device == "cpu":
        return ""
    if packet is _ATEN.copy_:
        target, source = args[0].device.type, args[1].device.type
        apart = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
    else:
        source, given = args[0].device.type, kwargs.get("device")
        target, apart = source if given is None else torch.device(given).type, kwargs.get("non_blocking", False)
    if source == target or apart:
        return ""
    return "copy to the CPU" if source == device else "copy from the CPU" if target == device else ""


def _indexing(packet: Any, args: Sequence[Any], device: str) -> str:
    indices = [index for index in args[1] if index is not None]
    if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
        # One number for all places is filled in without counting them.
        fills = (
            packet in (_ATEN.index_put, _ATEN.index_put_) and args[2].numel() == 1 and not (len(args) > 3 and args[3])
        )
        return "" if fills else "boolean index"
    return "" if device == "cpu" or all(index.device.type == device for index in indices) else "copy from the CPU"


def _made_up(function: Any, args: Any, kwargs: Any, answer: bool) -> Any:
    """What an operation on fake tensors gives, where it would depend on values."""
    packet = function._overloadpacket
    if packet in (_ATEN._local_scalar_dense, _ATEN.item):
        return _number(function, args, answer)
    if packet in _READ:
        return answer
    if packet is _ATEN.nonzero:
        return torch.zeros(args[0].numel() if answer else 0, args[0].dim(), dtype=torch.int64, device=args[0].device)
    if packet is _ATEN.masked_select:
        whole = torch.broadcast_tensors(args[0], args[1])[0].flatten()  # type: ignore[no-untyped-call]
        return whole if answer else whole[:0]
    if packet is _ATEN.repeat_interleave and isinstance(args[0], Tensor) and kwargs.get("output_size") is None:
        return torch.zeros(args[0].numel() if answer else 0, dtype=torch.int64, device=args[0].device)
    if packet in (_ATEN.index, _ATEN.index_put, _ATEN.index_put_, _ATEN._unsafe_index) and any(
        index is not None and index.dtype is torch.bool for index in args[1]
    ):
        return function(args[0], list(_as_places(args[1], answer)), *args[2:], **kwargs)
    return function(*args, **kwargs)


def _number(function: Any, args: Any, answer: bool) -> bool | int | float:
    if getattr(args[0], "constant", None) is not None:
        return function(*args)  # type: ignore[no-any-return]  # a number of the program, whose value is known
    made: bool | int | float = {torch.bool: answer}.get(args[0].dtype, int(answer))
    return float(made) / 2 if args[0].dtype.is_floating_point else made


def _as_places(indices: Sequence[Tensor | None], answer: bool) -> Iterator[Tensor | None]:
    """Indices in which a mask is replaced by the places of all its entries, or of none."""
    for index in indices:
        if index is None or index.dtype is not torch.bool:
            yield index
        else:
            for _ in range(index.dim()):
                yield torch.zeros(index.numel() if answer else 0, dtype=torch.int64, device=index.device)


def _tensors(args: Any) -> list[Tensor]:
    return [part for part in tree_leaves(args) if isinstance(part, Tensor)]


def _on(args: Any, device: str) -> bool:
    return any(part.device.type == device for part in _tensors(args))


def place_in(files: Collection[str]) -> str:
    """The innermost line of the running code that is in these files or folders, as file:line."""
    frame = sys._getframe(1)
    own = __file__
    while frame is not None:
        name = frame.f_code.co_filename
        if name != own and _counts(name, tuple(files)):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]  # the outermost frame has none
    return ""


@cache
def _counts(name: str, files: tuple[str, ...]) -> bool:
    path = Path(name)
    return any(path == Path(file) or Path(file) in path.parents for file in files)


def watched(run: Callable[[], object], files: Collection[str], device: str = "cuda", answer: bool = True) -> list[Wait]:
    """The waits of a call."""
    # Where nothing can be made up for an operation, what follows it is not seen.
    watch = WaitWatch(files, device, answer)
    with watch, suppress(DynamicOutputShapeException):
        run()
    return watch.waits
