"""Records what a built network does: the shapes on every edge, and multiply-adds counted by operation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fusionkit.network.model import FusionModel
from fusionkit.network.node_modules import Chain, Each
from fusionkit.planning.plan import Call, PlannedNode
from fusionkit.testing.probing.probes import results

Sizes = tuple[int, ...]


class _Products(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Counts the products of matrix products, convolutions and attention by the sizes of their operands.

    The formulas are repeated here, so that the plan's costs are checked independently.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")
        if name in ("mm", "bmm", "mv", "dot"):
            self.total += args[0].numel() * _columns(args[1])
        elif name in ("addmm", "baddbmm", "addmv"):
            self.total += args[1].numel() * _columns(args[2])
        elif name == "convolution":
            self.total += _convolved(args[0], args[1], result, transposed=args[6])
        elif name.startswith("_scaled_dot_product"):
            query, key, value = (tuple(tensor.shape) for tensor in args[:3])
            self.total += prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
        elif name == "mkldnn_rnn_layer":
            self.total += args[0].shape[0] * args[0].shape[1] * (args[1].numel() + args[2].numel())
        elif "multi_head_attention" in name or "encoder_layer" in name:
            raise AssertionError(f"the products of {name} are not counted; please report")
        return result


def _columns(second: Tensor) -> int:
    return second.shape[-1] if second.dim() > 1 else 1


def _convolved(image: Tensor, weight: Tensor, result: Tensor, transposed: bool) -> int:
    return (image if transposed else result).numel() * weight[0].numel()


@dataclass(frozen=True)
class Seen:
    """One call of one component's module: sizes in, sizes out with the batch axis, and its products."""

    reads: tuple[Sizes, ...]
    gives: tuple[Sizes, ...]
    single: bool
    products: int


def watched(network: FusionModel, inputs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[tuple[Call, Seen]]]:
    """The results of a network, and for every call of its plan what was recorded."""
    planned = [(call, path) for node in network.plan.nodes for call, path in calls_of(node)]
    paths = dict.fromkeys(path for _, path in planned)
    seen: dict[str, list[Seen]] = {path: [] for path in paths}
    with torch.no_grad(), _Products() as products, _noting(network, products, seen):
        outputs = network(inputs)
    turns = {path: iter(found) for path, found in seen.items()}
    return outputs, [(call, next(turns[path])) for call, path in planned]


def calls_of(node: PlannedNode) -> Iterator[tuple[Call, str]]:
    """Every call of a node in execution order, and the path of the called module."""
    shared = node.lanes[0].name
    for lane in node.lanes:
        path = f"{node.name}.{shared if node.node.share else lane.name}" if node.node.each else node.name
        for index, call in enumerate(lane.calls):
            yield call, f"{path}.{index}" if len(lane.calls) > 1 else path


@contextmanager
def _noting(network: FusionModel, products: _Products, seen: Mapping[str, list[Seen]]) -> Iterator[None]:
    """Hooks on the modules of a network that record inputs, outputs and cost of each call."""
    handles = []
    for path, found in seen.items():
        module = network.get_submodule(path)
        assert not isinstance(module, Chain | Each), f"{path} is not a component's module; please report"
        began: list[int] = []
        handles += [module.register_forward_pre_hook(_begun(products, began)),
                    module.register_forward_hook(_ended(products, began, found))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _begun(products: _Products, began: list[int]) -> Any:
    return lambda module, args: began.append(products.total)


def _ended(products: _Products, began: list[int], found: list[Seen]) -> Any:
    def note(module: nn.Module, args: Sequence[Tensor], output: Any) -> None:
        given = tuple(tuple(part.shape) for part in results(output))
        # Of events and series the first part tells the cases and the steps.
        reads = tuple(tuple((arg if isinstance(arg, Tensor) else arg[0]).shape) for arg in args)
        found.append(Seen(reads, given, isinstance(output, Tensor), products.total - began.pop()))

    return note
