"""Parameters that a softmax ignores, since they add one number to all scores of a row: the bias of attention's keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fusionkit.testing.probing.probes import Probe, run

_SOFTMAX = ("aten::_softmax", "aten::_safe_softmax")
_ATTENTION = "scaled_dot_product"
_CLOSE = {torch.float64: 1e-9, torch.float32: 1e-4}


_Seen = tuple[tuple[Tensor, ...], list[tuple[Tensor, int]]]
"""Results, and the scores of every softmax with its axis."""


def ignored_by_softmax(probe: Probe, names: Iterable[str], dtype: torch.dtype) -> set[str]:
    """Parameters of which a change adds a constant to each row of some softmax's scores, and does nothing else.

    q (k + b)^T = q k^T + q b^T, which is the same for all keys of a query: softmax does not see it.
    """
    names = list(names)
    unmoved = _scores(probe, dtype, "") if names else ((), [])
    return {name for name in names if _is_ignored(unmoved, _scores(probe, dtype, name), dtype)}


def _is_ignored(unmoved: _Seen, moved: _Seen, dtype: torch.dtype) -> bool:
    (before, scores), (after, others) = unmoved, moved
    if len(scores) != len(others) or not all(_close(x, y, dtype) for x, y in zip(before, after, strict=True)):
        return False
    differs = False
    for (one, dim), (other, _) in zip(scores, others, strict=True):
        if one.shape != other.shape:
            return False
        if one.shape[dim] == 1:  # over one key nothing is left of the scores at all, so it proves nothing
            continue
        finite = one.isfinite() & other.isfinite()
        change = torch.where(finite, other - one, 0)
        mean = change.sum(dim, keepdim=True) / finite.sum(dim, keepdim=True).clamp(min=1)
        size = max(1.0, float(torch.where(finite, one, 0).abs().max())) * _CLOSE[dtype]
        if float(torch.where(finite, change - mean, 0).abs().max()) > size:
            return False
        differs = differs or float(change.abs().max()) > size
    return differs


def _scores(probe: Probe, dtype: torch.dtype, moved: str) -> _Seen:
    """What is seen after a change of one parameter."""
    module = probe.module().to(dtype)
    if moved:
        parameter = module.get_parameter(moved)
        with torch.no_grad():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(6)).to(dtype))
    with _Scores() as scores:
        results = run(module, probe.data(3, dtype=dtype))
    return results, scores.seen


def _close(one: Tensor, other: Tensor, dtype: torch.dtype) -> bool:
    return torch.allclose(one, other, rtol=_CLOSE[dtype], atol=_CLOSE[dtype], equal_nan=True)


class _Scores(TorchDispatchMode):
    """Keeps what every softmax is given."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[Tensor, int]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name
        if name in _SOFTMAX:
            self.seen.append((args[0].clone(), args[1]))
        elif _ATTENTION in name:
            self.seen.append((args[0] @ args[1].transpose(-2, -1), -1))
        return function(*args, **(kwargs or {}))
