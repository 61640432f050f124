"""Finds the line at which a tracer has to take a number of cases for a constant, which its message does not name."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch.fx.experimental.symbolic_shapes import ShapeEnv

_RECORDER = "_set_replacement"
"""Called by torch when a size that was open gets one value; without it (another release) lines stay unknown."""


@dataclass
class FixedSizes:
    """Where sizes got one value: file:line in the author's file, and the code there; both '' when unknown."""

    place: str = ""
    code: str = ""


@contextmanager
def fixed_sizes(file: str) -> Iterator[FixedSizes]:
    """Watches for the first line of this file at which an open size becomes a constant."""
    found, recorder = FixedSizes(), getattr(ShapeEnv, _RECORDER, None)
    if not file or recorder is None:
        yield found
        return

    def record(self: ShapeEnv, symbol: Any, target: Any, *more: Any, **keywords: Any) -> Any:
        if not found.place and getattr(target, "is_number", False):
            frames = [frame for frame in traceback.extract_stack() if frame.filename == file]
            if frames:
                found.place, found.code = f"{file}:{frames[-1].lineno}", frames[-1].line or ""
        return recorder(self, symbol, target, *more, **keywords)

    setattr(ShapeEnv, _RECORDER, record)
    try:
        yield found
    finally:
        setattr(ShapeEnv, _RECORDER, recorder)
