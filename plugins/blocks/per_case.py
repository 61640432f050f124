"""Numbers of cases beside their arrays."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def per_case(numbers: Tensor, like: Tensor) -> Tensor:
    """One number a case with as many axes as the arrays: (B,) to (B, 1, ...)."""
    return numbers.reshape(-1, *[1] * (like.dim() - 1))


def over_positions(values: Tensor) -> tuple[int, ...]:
    """The axes of the positions of (B, c, ...)."""
    return tuple(range(2, values.dim()))


_RUN = 1024


def mean_of(values: Tensor) -> Tensor:
    """The mean of every channel: (B, c, ...) to (B, c, 1, ...); the same bits in every batch and with every number of
    threads, which `Tensor.mean` does not promise.
    """
    return _over_runs(values, torch.sum, 1)


def deviation_of(centred: Tensor) -> Tensor:
    """The standard deviation of every channel of values whose means are 0: (B, c, ...) to (B, c, 1, ...); the same bits
    as `mean_of`. It divides by the number of values less one.
    """
    return _over_runs(centred, lambda runs, dim: torch.linalg.vector_norm(runs, dim=dim), 2)


def _over_runs(values: Tensor, reduce: Callable[..., Tensor], power: int) -> Tensor:
    """Runs of values are reduced by themselves and joined in double precision."""
    flat = values.flatten(2)
    count = flat.shape[2]
    whole = count // _RUN * _RUN
    runs = [flat[..., :whole].unflatten(2, (-1, _RUN))] if whole else []
    runs += [flat[..., None, whole:]] if whole < count else []
    total = torch.cat([reduce(run, dim=-1).double() for run in runs], 2).pow(power).sum(2)
    found = total / count if power == 1 else (total / max(1, count - 1)).sqrt()
    return found.to(values.dtype).reshape(*values.shape[:2], *[1] * (values.dim() - 2))


GREY = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in grey: the luma of ITU-R BT.601."""


def grey(values: Tensor) -> Tensor:
    """The grey of colours: (B, 3, ...) to (B, 1, ...)."""
    red, green, blue = values.split(1, 1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue
