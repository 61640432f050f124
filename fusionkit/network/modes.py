"""Temporarily puts parts of a network in training or evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_mode(parts: Sequence[nn.Module], training: bool) -> Iterator[None]:
    """Within, these modules, but not their submodules, are in the given mode; their modes are restored afterwards."""
    modes = [part.training for part in parts]
    for part in parts:
        part.training = training
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
