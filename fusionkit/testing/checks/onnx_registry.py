"""PyTorch's table of ONNX functions, built once: each export rebuilds it, which takes longer than most exports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib import import_module
from typing import Any

_PLACE = "torch.onnx._internal.exporter._registration"
_MADE: dict[Any, Any] = {}


@contextmanager
def one_registry() -> Iterator[None]:
    """Context in which exports for the same version of the operator set use copies of one table.

    Copies, because an exporter may add functions to its own. The table is a PyTorch internal: in versions where its
    place is not known here, each export builds the table itself, with the same result.
    """
    owner = _owner()
    if owner is None:
        yield
        return
    make = owner.from_torchlib

    def kept(*args: Any, **keywords: Any) -> Any:
        key = args, tuple(sorted(keywords.items()))
        if key not in _MADE:
            _MADE[key] = make(*args, **keywords)
        registry = copy(_MADE[key])
        registry.functions = {target: list(found) for target, found in registry.functions.items()}
        return registry

    before = vars(owner)["from_torchlib"]
    owner.from_torchlib = staticmethod(kept)
    try:
        yield
    finally:
        owner.from_torchlib = before


def _owner() -> Any:
    """The class whose tables can be cached, None when this PyTorch has no such class."""
    try:
        owner = import_module(_PLACE).ONNXRegistry
        return owner if "from_torchlib" in vars(owner) and isinstance(owner().functions, dict) else None
    except (ImportError, AttributeError, TypeError):
        return None
