"""The state of an optimiser as named tensors, and back: what a resumed run needs to continue bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fusionkit.errors import Diagnostic, UserError
from fusionkit.training.distributed import assign, whole
from fusionkit.training.optimiser import RATE_FACTOR

_GROUP = "#"
_PLAIN: dict[type, tuple[str, torch.dtype]] = {
    bool: ("bool", torch.bool), int: ("int", torch.int64), float: ("float", torch.float64)}
_SET_BY_TRAINING = ("params", "lr", "weight_decay", RATE_FACTOR)


def state_tensors(parameters: Iterable[tuple[str, nn.Parameter]], optimiser: Optimizer) -> dict[str, Tensor]:
    """The state by `parameter/key`, and what has changed in group N by `#N/key`; unsharded, on the CPU, copied.

    A number has its type after its key, `key:int`; an entry of a list its place, `key:0`. With weights that are sharded
    among processes every process must call it.

    Raises: UserError with `unsaved-state` for anything but tensors, numbers, None and lists of these.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters:
        for key, value in optimiser.state.get(parameter, {}).items():
            _check_sharded(name, key, value, parameter)
            tensors.update((f"{name}/{path}", tensor) for path, tensor in _flat(str(key), value))
    for place, group in enumerate(optimiser.param_groups):
        for key, value in group.items():
            if key not in _SET_BY_TRAINING and not _is_default(value, optimiser.defaults.get(key)):
                tensors.update((f"{_GROUP}{place}/{path}", tensor) for path, tensor in _flat(key, value))
    return tensors


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (type(value) is type(default) and not isinstance(value, Tensor) and value == default)


def _flat(key: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield key, whole(value.detach()).cpu().clone(memory_format=torch.contiguous_format)
    elif type(value) in _PLAIN:
        word, dtype = _PLAIN[type(value)]
        yield f"{key}:{word}", torch.tensor(value, dtype=dtype)
    elif value is None:
        yield f"{key}:none", torch.zeros(0)
    elif isinstance(value, list | tuple):
        yield f"{key}:{type(value).__name__}", torch.zeros(0)
        for place, item in enumerate(value):
            yield from _flat(f"{key}:{place}", item)
    else:
        raise UserError(Diagnostic(
            "unsaved-state", f"the state {key!r} of this optimiser cannot be saved", why=f"it is a "
            f"{type(value).__name__}", fix="keep tensors, numbers and lists of these in it, or use another optimiser"))


def _check_sharded(name: str, key: Any, value: Any, parameter: nn.Parameter) -> None:
    if hasattr(parameter, "device_mesh") and isinstance(value, Tensor) and value.dim() and \
            value.shape != parameter.shape:
        raise UserError(Diagnostic(
            "unsaved-state", f"the state {key!r} of {name!r} cannot be saved with 'strategy: fsdp'",
            why="its shape is not that of the weights, which are divided among processes",
            fix="use 'strategy: ddp' or another optimiser"))


def put_back_state(parameters: Mapping[str, nn.Parameter], optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the state from what `state_tensors` gave.

    Raises: UserError with `wrong-state` if it belongs to other parameters.
    """
    groups = {f"{_GROUP}{place}": group for place, group in enumerate(optimiser.param_groups)}
    kept: dict[tuple[str, str], _Parts] = {}
    for full, value in tensors.items():
        owner, _, path = full.rpartition("/")
        if owner not in parameters and owner not in groups:
            raise UserError(Diagnostic("wrong-state", "the saved state belongs to another network",
                                       why=f"it remembers {owner!r}, which this one has not",
                                       fix="resume with the graph that the run was started with"))
        key, *rest = path.split(":")
        kept.setdefault((owner, key), {})[tuple(rest)] = value
    for (owner, key), parts in kept.items():
        if owner in groups:
            groups[owner][key] = _value(parts, None)
        else:
            # Optimisers keep the step count on the CPU; everything else is where its parameter is.
            beside = None if key == "step" else parameters[owner]
            optimiser.state[parameters[owner]][key] = _value(parts, beside)


_Parts = dict[tuple[str, ...], Tensor]


def _value(parts: _Parts, beside: nn.Parameter | None) -> Any:
    """The value of an entry from the tensors whose paths begin with its key; the inverse of `_flat`."""
    if () in parts:
        return _placed(parts[()], beside)
    tag = next(path[0] for path in parts if len(path) == 1 and not path[0].isdecimal())
    if tag not in ("list", "tuple"):
        return None if tag == "none" else parts[(tag,)].item()
    places = sorted({int(path[0]) for path in parts if path[0].isdecimal()})
    items = [_value({path[1:]: part for path, part in parts.items() if path[0] == str(place)}, beside)
             for place in places]
    return tuple(items) if tag == "tuple" else items


def _placed(value: Tensor, beside: nn.Parameter | None) -> Tensor:
    """A copy with the device of a parameter, and its layout if it has the same shape."""
    if beside is None:
        return value.clone()
    if value.shape != beside.shape:
        return value.to(beside.device, copy=True)
    kept = torch.zeros_like(beside, dtype=value.dtype, requires_grad=False)
    assign(kept, value)
    return kept
