"""Functions of PyTorch's that import its compiler, for a second, only to be passed over by it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_KEPT_AWAY = "__dynamo_disable"
"""Where PyTorch keeps the form of such a function that the compiler passes over, once that was made."""


def has_compiler() -> bool:
    """Whether the compiler is imported."""
    return "torch._dynamo" in sys.modules


@contextmanager
def uncompiled(*functions: Any) -> Iterator[None]:
    """Within, these functions are called as they are, unless the compiler is imported already.

    What they give is the same. Where a release of PyTorch looks otherwise, they do what they do elsewhere.
    """
    marked = [] if has_compiler() else [part for function in functions for part in _passed_over(function)]
    for part in marked:
        setattr(part, _KEPT_AWAY, part)
    try:
        yield
    finally:
        for part in marked:
            delattr(part, _KEPT_AWAY)


def _passed_over(function: Any) -> Iterator[Any]:
    """What the function calls, one inside the other, that the compiler would pass over and that is not marked yet."""
    while function is not None:
        code = getattr(function, "__code__", None)
        if code is not None and code.co_name == "inner" and code.co_filename.endswith("_compile.py"):
            held = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
            if "fn" in held and not hasattr(held["fn"].cell_contents, _KEPT_AWAY):
                yield held["fn"].cell_contents
        function = getattr(function, "__wrapped__", None)
