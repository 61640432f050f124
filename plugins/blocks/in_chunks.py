"""An encoder of one image or volume that runs over many of them, some at a time.

Results are those of one large batch, with the memory for activations of a piece in evaluation, or where weights are
frozen.
"""
# Axes: M images or volumes.

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fusionkit.api import recomputed_norms, running_statistics

Maps = tuple[Tensor, ...]


def encoded(encoder: nn.Module, items_M: Tensor, take: Callable[[Any], Maps], chunk: int, recompute: bool) -> Maps:
    """What `take` makes of the encoder's result, for all items; with `recompute` training keeps no activations."""
    # Of about equal length, so that seldom a lone item is left at the end.
    pieces = items_M.tensor_split(-(-len(items_M) // chunk))
    found = [_piece(encoder, piece, take, recompute) for piece in pieces]
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _piece(encoder: nn.Module, items_M: Tensor, take: Callable[[Any], Maps], recompute: bool) -> Maps:
    def run(given_M: Tensor) -> Maps:
        # A lone item has no statistics of a batch; the norms then use their running ones, as for a lone case.
        with running_statistics(encoder) if len(given_M) == 1 else nullcontext():
            return take(encoder(given_M))

    if recompute and encoder.training and torch.is_grad_enabled():
        again = recomputed_norms(encoder)
        found: Maps = checkpoint(run, items_M, use_reentrant=False, context_fn=lambda: (nullcontext(), again))
        return found
    return run(items_M)


def adapted(encoder: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "encoder.") -> dict[str, Tensor]:
    """The tensors of a file under the names of a module that holds the encoder; a file of the encoder fits too."""
    # Not by the prefix alone: the files of BERT and ViT have layers named `encoder.layer` themselves.
    if any(prefix + name in tensors for name in encoder.state_dict()):
        return dict(tensors)
    adapt = getattr(encoder, "adapt_weights", None)
    own = adapt(tensors) if adapt else tensors
    return {f"{prefix}{name}": value for name, value in own.items()}
