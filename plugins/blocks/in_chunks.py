"""An encoder of one image or volume that runs over many of them, some at a time.

Results are those of one large batch, with the memory for activations of a piece in evaluation, or where weights are
frozen. How long a piece is follows from the encoder and the size of an item alone, so that results do not depend on a
machine.
"""
# Axes: M images or volumes.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from fusionkit.api import recomputed_norms, running_statistics

Maps = tuple[Tensor, ...]
Chunk = Literal["auto"]
AUTO = "auto: as many as take up to 256 MB in evaluation, a power of two"
BUDGET = 256 << 20
_LIVE = 3
"""What is held besides the inputs and results of the largest operation, such as the sum that a block adds to, and what
the operation itself needs, as a factor: `benchmarks/chunks.py` measures the whole."""


def length_of(encoder: nn.Module, sizes: Sequence[int], chunk: Chunk | int) -> int:
    """How many items of these sizes are encoded at a time: as written, or as many as fit into `BUDGET`.

    The latter is a power of two, found when the module is made: what hooks that others add would see is data alone.
    """
    if chunk != "auto":
        return chunk
    if any(value.is_meta or is_fake(value) for value in encoder.parameters()):
        return 1 << 20  # there is no memory to save
    return 1 << max(0, (BUDGET // max(1, bytes_of_item(encoder, sizes))).bit_length() - 1)


def bytes_of_item(encoder: nn.Module, sizes: Sequence[int]) -> int:
    """About how much memory the encoder needs for one more item in evaluation: found without computing anything."""
    state = {name: value.detach().to("meta") for name, value in (*encoder.named_parameters(), *encoder.named_buffers())}
    pair = torch.empty(2, *sizes, device="meta")  # one alone has no statistics of a batch
    with torch.no_grad(), _LargestOperation(state.values()) as seen:
        functional_call(encoder, state, (pair,))
    return _LIVE * seen.most // len(pair)


class _LargestOperation(TorchDispatchMode):
    """The most bytes that the tensors of one operation take, without those of weights."""

    def __init__(self, weights: Any) -> None:
        super().__init__()
        self.weights, self.most = {id(each) for each in weights}, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        held = {id(each): each.nbytes for each in tree_leaves((args, kwargs, found))
                if isinstance(each, Tensor) and id(each) not in self.weights}
        self.most = max(self.most, sum(held.values()))
        return found


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
