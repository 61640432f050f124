"""Finds the stochastic calls of a network on the meta device, by PyTorch's own tag for random operations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode

from fusionkit.inference.calls import ModuleCall, ModuleCalls, steps_of
from fusionkit.layers.modes import in_mode
from fusionkit.network.absence import Mask
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan
from fusionkit.shapes.layouts import members

BATCHES = (61, 67)
"""Two batch sizes show which axes grow with the batch; primes, so that no width is mistaken for one of them."""


class RandomnessWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Records which modules draw random numbers, how many, and the size in bytes of the largest operation.

    The bytes of an operation are those of its arguments and results, without weights.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drawn = 0
        self.largest = 0
        self.running: list[str] = []
        self.modules: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        parts = [part for part in _flat(result) if isinstance(part, Tensor)]
        if torch.Tag.nondeterministic_seeded in function.tags:
            self.drawn += sum(part.numel() for part in parts)
            self.modules |= set(self.running[-1:])
        given = [part for part in _flat(args) if isinstance(part, Tensor) and not isinstance(part, nn.Parameter)]
        self.largest = max(self.largest, sum(part.numel() * part.element_size() for part in (*parts, *given)))
        return result

    @contextmanager
    def following(self, module: nn.Module) -> Iterator[None]:
        """Within, draws are attributed to the innermost part of `module` that is running."""
        handles = []
        for name, part in module.named_modules():
            handles.append(part.register_forward_pre_hook(lambda _part, _args, name=name: self.running.append(name)))
            handles.append(part.register_forward_hook(lambda *_: self._left(), always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _left(self) -> None:
        self.running.pop()


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, tuple | list):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def sampling(model: nn.Module, parts: Collection[str]) -> AbstractContextManager[None]:
    """Within, these parts of a network are stochastic as in training; the rest, norms included, is unchanged."""
    return in_mode([model.get_submodule(name) for name in parts], training=True)


class MetaNetwork:
    """The network of a plan on the meta device, with its calls and, after running, their results."""

    def __init__(self, plan: Plan, batch: int) -> None:
        self.batch = batch
        with torch.device("meta"):
            self.model = FusionModel(plan, weights_follow=True).eval()
            inputs = {value.name: torch.zeros(batch, *value.shape.carried) for value in plan.inputs}
            state = self.model.begin(inputs)
            slots = state.slots
        self.valid = state.valid
        self.steps: ModuleCalls = steps_of(self.model, len(slots))
        self.slots: list[Any] = [*slots, *[None] * (self.steps.slots - len(slots))]
        self.masks: list[Mask] = [None] * len(self.slots)

    def call(self, step: ModuleCall, random: Collection[str]) -> RandomnessWatch | None:
        """Run one call with these parts of its module stochastic; None if it cannot run on the meta device."""
        try:
            watch = RandomnessWatch()
            with torch.no_grad(), torch.device("meta"), sampling(step.module, random), watch, \
                    watch.following(step.module):
                step.call(self.slots, self.masks, self.valid)
        except (NotImplementedError, RuntimeError):
            for slot, (_, shape) in zip(step.writes, members(step.output), strict=True):
                self.slots[slot] = torch.zeros(self.batch, *shape.carried, device="meta")
            return None
        return watch


@dataclass(frozen=True)
class Draw:
    """How one call draws random numbers: how many, in which parts of its module, and its largest operation's bytes.

    `drawn` is None if unknown; the call then counts as stochastic as a whole.
    """

    drawn: int | None
    parts: tuple[str, ...]


def draws_of(network: MetaNetwork) -> dict[int, Draw]:
    """The calls that draw random numbers when everything that is not frozen is in training mode, by their numbers.

    A call that cannot run on the meta device counts as stochastic as a whole, which costs time but is never wrong.
    """
    found = {}
    for number, step in enumerate(network.steps.calls):
        names = [] if step.frozen else [name for name, part in step.module.named_modules()
                                        if not isinstance(part, _NormBase)]
        draw = _draw(network, step, names)
        if draw.drawn != 0:
            found[number] = draw
    return found


def _draw(network: MetaNetwork, step: ModuleCall, every: list[str]) -> Draw:
    seen = network.call(step, every)
    if seen is None:
        return Draw(None, tuple(every))
    if not seen.drawn:
        return Draw(0, ())
    # A part may be reached only if the modules around it are in training mode too.
    inner = sorted(seen.modules)
    around = [name for name in every if any(part == name or part.startswith(f"{name}.") for part in inner) or not name]
    for chosen in (inner, around):
        again = network.call(step, chosen)
        if again is not None and again.drawn == seen.drawn:
            return Draw(seen.drawn, tuple(chosen))
    return Draw(seen.drawn, tuple(every))


def downstream(calls: Sequence[ModuleCall], sources: Collection[int]) -> frozenset[int]:
    """The given calls and every call that depends on one of them."""
    reached: set[int] = set()
    slots: set[int] = set()
    for number, step in enumerate(calls):
        if number in sources or slots & set(step.reads):
            reached.add(number)
            slots |= set(step.writes)
    return frozenset(reached)

