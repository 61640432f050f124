"""Modules and tensors that stand on a GPU without values, on a machine that needs none."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

M = TypeVar("M", bound=nn.Module)
GPU = torch.device("cuda")


def standing(module: M, device: torch.device = GPU) -> M:
    """A copy of a module whose parameters and buffers stand on a device, within a `FakeTensorMode`.

    A tensor that the module keeps outside its parameters and buffers stays on the CPU, as it would.
    """
    memo: dict[int, object] = {}
    for part in (*module.parameters(), *module.buffers()):
        if id(part) not in memo:
            made = placed(part, device)
            memo[id(part)] = nn.Parameter(made, part.requires_grad) if isinstance(part, nn.Parameter) else made
    with unset_fake_temporarily():  # what is not in the memo is copied with its values
        return copy.deepcopy(module, memo)


def placed(tensor: Tensor, device: torch.device = GPU) -> Tensor:
    """A tensor like this one on a device, with its strides, within a `FakeTensorMode`."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


@contextmanager
def without_values(precision: torch.dtype | None = None) -> Iterator[FakeTensorMode]:
    """Within, tensors have no values, and with a `precision` operations on a GPU are computed in it (autocast).

    `torch.autocast("cuda")` switches itself off where no GPU is found, so that it is switched on beneath.
    """
    before, kind = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with FakeTensorMode() as mode:
        if precision is not None:
            torch.set_autocast_dtype("cuda", precision)
            torch.set_autocast_enabled("cuda", True)
        try:
            yield mode
        finally:
            torch.set_autocast_enabled("cuda", before)
            torch.set_autocast_dtype("cuda", kind)
            if precision is not None:
                torch.clear_autocast_cache()
