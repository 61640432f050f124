"""Temporarily puts parts of a network in training or evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


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


def training_norms(module: nn.Module) -> list[nn.Module]:
    """The norms of a module, its own and those of its parts, that take the statistics of their batch.

    They are looked up at each call: a layer may have been replaced, for example by synchronised batch normalisation.
    """
    return [part for part in module.modules() if isinstance(part, _NormBase) and part.training]


@contextmanager
def running_statistics(module: nn.Module) -> Iterator[None]:
    """Within, the norms of a module take their running statistics, which stay as they are: one row has none of its own.

    The rest of the module stays in its mode.
    """
    with in_mode(training_norms(module), training=False):
        yield


def recomputed_norms(module: nn.Module) -> AbstractContextManager[None]:
    """A block, to be entered later, in which the norms of a module repeat what they do now, for a gradient.

    A forward pass that is computed anew must be the same, while the norms may be in another mode by then; and its
    batch has been counted already, so that running statistics stay as they are.
    """
    held = [part for part in module.modules() if isinstance(part, _NormBase) and not part.training]
    return _repeating(module, held)


@contextmanager
def _repeating(module: nn.Module, held: Sequence[nn.Module]) -> Iterator[None]:
    with in_mode(held, training=False):
        learning = [part for part in module.modules() if isinstance(part, _NormBase) and part.training]
        kept = [(part.momentum, part.num_batches_tracked) for part in learning]
        for part in learning:
            part.momentum = 0.0
            part.num_batches_tracked = None if part.num_batches_tracked is None else part.num_batches_tracked.clone()
        try:
            yield
        finally:
            for part, (momentum, counted) in zip(learning, kept, strict=True):
                part.momentum, part.num_batches_tracked = momentum, counted
