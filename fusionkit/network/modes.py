"""Parts of a network in training or in evaluation mode, for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_mode(parts: Sequence[nn.Module], training: bool) -> Iterator[None]:
    """Within, these modules themselves, not what they contain, are in one mode; after it each is in its own again."""
    modes = [part.training for part in parts]
    for part in parts:
        part.training = training
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode
