"""A network as individual calls of its components, with chains and branches expanded, to run a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from torch import nn

from fusionkit.network.absence import Absence, Mask, Output, Valid
from fusionkit.network.model import FusionModel, Instruction
from fusionkit.network.node_modules import Chain, Each
from fusionkit.planning.plan import Call, Lane, PlannedNode
from fusionkit.shapes.layouts import Shape, members


@dataclass(frozen=True)
class ModuleCall:
    """One call of one component's module: `path` in the network, slots that it reads and writes, as `planned`."""

    node: str
    path: str
    module: nn.Module
    absence: Absence
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    output: Shape
    frozen: bool
    planned: Call

    def call(self, slots: list[Any], masks: list[Mask], valid: Valid | None = None) -> None:
        """Run the module on the slots that it reads, and write its output and mask."""
        args, columns = [slots[index] for index in self.reads], [masks[index] for index in self.reads]
        self.write(self.absence.call(self.module, args, columns, valid), slots, masks)

    def write(self, output: Output, slots: list[Any], masks: list[Mask]) -> None:
        """Put a result into the slots."""
        parts = output if isinstance(output, tuple) else (output,)
        mask = self.absence.output_mask([masks[index] for index in self.reads])
        for index, part in zip(self.writes, parts, strict=True):
            slots[index], masks[index] = part, mask


@dataclass(frozen=True)
class ModuleCalls:
    """The calls of a network in order, and the number of slots; the network's own slots come first."""

    calls: tuple[ModuleCall, ...]
    slots: int


def steps_of(model: FusionModel, slots: int) -> ModuleCalls:
    """Every call of a network that has `slots` slots of its own."""
    fresh = count(slots)
    calls: list[ModuleCall] = []
    for instruction in model.program:
        node = model.plan.node(instruction.name)
        calls.extend(_node(node, instruction, model.get_submodule(instruction.name), fresh))
    return ModuleCalls(tuple(calls), next(fresh))


def _node(node: PlannedNode, instruction: Instruction, module: nn.Module, fresh: Iterator[int]) -> Iterator[ModuleCall]:
    reads, writes = list(instruction.reads), list(instruction.writes)
    for place, lane in enumerate(node.lanes):
        mine, reads = tuple(reads[:len(lane.reads)]), reads[len(lane.reads):]
        gives = len(members(lane.calls[-1].output))
        results, writes = tuple(writes[:gives]), writes[gives:]
        part, path = (module.lane(place), f"{node.name}.{place}") if isinstance(module, Each) else (module, node.name)
        yield from _lane(node, lane, part, path, reads=mine, writes=results, fresh=fresh)


def _lane(node: PlannedNode, lane: Lane, module: nn.Module, path: str, *, reads: tuple[int, ...],
          writes: tuple[int, ...], fresh: Iterator[int]) -> Iterator[ModuleCall]:
    modules = list(module) if isinstance(module, Chain) else [module]
    for place, (part, absence, call) in enumerate(zip(modules, Absence.of(lane), lane.calls, strict=True)):
        last = place == len(modules) - 1
        results = writes if last else tuple(next(fresh) for _ in members(call.output))
        name = path if len(modules) == 1 else f"{path}.{place}"
        yield ModuleCall(node.name, name, part, absence, reads, results, call.output, node.node.freeze, call)
        reads = results
