"""Which nodes depend on chance: one pass on the meta device, by PyTorch's own tag for random operations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode

from fusionkit.measure import BATCH
from fusionkit.model import Bound, FusionModel, State
from fusionkit.plans import Plan, PlannedNode


class _RandomWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Notes whether any operation draws random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or torch.Tag.nondeterministic_seeded in function.tags
        return function(*args, **(kwargs or {}))


@contextmanager
def sampling(model: FusionModel, nodes: Collection[str]) -> Iterator[None]:
    """Within, the nodes behave randomly as in training, but their norms keep their running statistics.

    Frozen nodes stand still.
    """
    frozen = {node.name for node in model.plan.nodes if node.node.freeze}
    parts = [part for name in nodes if name not in frozen for part in model.get_submodule(name).modules()]
    modes = [part.training for part in parts]
    for part in parts:
        part.training = not isinstance(part, _NormBase)
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def hot_nodes(plan: Plan) -> frozenset[str]:
    """The nodes whose results change from one random pass to the next: random themselves, or behind one that is.

    A node that cannot run on the meta device counts as random, which costs time and is never wrong.
    """
    with torch.device("meta"), torch.no_grad():
        model = FusionModel(plan, weights_follow=True).eval()
        state = model.begin({value.name: torch.zeros(BATCH, *value.shape.sizes) for value in plan.inputs})
        every, _ = model.split(())
        random = set()
        with sampling(model, [node.name for node in plan.nodes]):
            for node, bound in zip(plan.nodes, every, strict=True):
                state, hot = _watched(model, node, bound, state)
                random |= {node.name} if hot else set()
    return behind(plan, random)


def _watched(model: FusionModel, node: PlannedNode, bound: Bound, state: State) -> tuple[State, bool]:
    try:
        with _RandomWatch() as watch:
            return model.advance([bound], state), watch.seen
    except (NotImplementedError, RuntimeError):
        return _planned(node, bound, state), True


def _planned(node: PlannedNode, bound: Bound, state: State) -> State:
    """The state as if a node had run, its results taken from the plan."""
    write = bound[3]
    slots = list(state.slots)
    for slot, value in zip((write,) if isinstance(write, int) else write, node.values, strict=True):
        slots[slot] = torch.zeros(BATCH, *value.shape.sizes)
    return State(slots, state.masks)


def behind(plan: Plan, sources: Collection[str]) -> frozenset[str]:
    """The given nodes and every node that reads from them, directly or not."""
    reached = set(sources)
    for node in plan.nodes:
        if {value.name.partition(".")[0] for value in node.reads} & reached:
            reached.add(node.name)
    return frozenset(reached)


