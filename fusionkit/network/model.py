"""`FusionModel`, the network of a plan: a plain nn.Module that runs its nodes over slots fixed at build time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.layers.known_masks import constant, told
from fusionkit.network.absence import Absence, Mask, Valid, cells_of, evaluate, evaluate_all, reads_table
from fusionkit.network.coded_inputs import blank, exact
from fusionkit.network.instantiate import make_node
from fusionkit.network.node_modules import Chain, call_masked, node_absence
from fusionkit.network.padding import padded, those_with_tokens
from fusionkit.planning.plan import Plan, PlannedNode, Value
from fusionkit.shapes.layouts import MaskedTokens

# Axes: B batch.


@dataclass(frozen=True)
class Instruction:
    """One node of the program: the slots that it reads and writes, and those that it frees."""

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    frees: tuple[int, ...]
    single: bool


@dataclass(frozen=True)
class ExecutionState:
    """The live values at one point of the program, the masks of all values, and those of masked tokens by input.

    `to_run` are the nodes that have to run, None for all of them: nodes whose results were given, or lead only to
    these, are excluded.
    """

    slots: list[Any]
    masks: list[Mask] | None
    to_run: frozenset[str] | None = None
    valid: Valid | None = None


Bound = tuple[nn.Module, Absence | None, int | tuple[int, ...], int | tuple[int, ...], tuple[int, ...]]
"""An instruction bound to its module and absence semantics: the slots that it reads, writes and frees."""


class FusionModel(nn.Module):
    """The network of a plan.

    `forward(inputs, present, valid)` takes tensors by input name, (B, ...) as the plan says, and for optional
    inputs a boolean mask (B,), True = present; an optional input may be omitted. For inputs of masked tokens, (B, N, c)
    padded to any N, `valid` has a boolean mask (B, N), True = a token and not padding; without one all are tokens. A
    case without a token lacks the input. Vectors of which a component asks for the `known` cells may have a mask (B, c)
    there, True = the cell was not blank. Such a mask may be in `present` as well, in place of that of the cases. It
    returns the raw output of every head by name, and auxiliary losses as `node.loss_name`.

    `inputs` may also contain node outputs by name, `node` or
    `node.result`: nodes that only lead to these are then not run, and inputs that nothing else reads may be omitted.
    The keys of the state dict begin with the node names. `weights_follow` names the nodes (True: all) whose weights a
    file will set, so that no pretrained weights are fetched for them. `modules` are those of existing nodes, for
    networks that share a part.

    `class_priors` are factors of the classes of heads that training drew in other shares than they have:
    `decode_output` multiplies by them. They belong to the run, not to the weights.
    """

    def __init__(self, plan: Plan, seed: int = 0, weights_follow: bool | Collection[str] = False,
                 modules: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.plan = plan
        self._slots = {value.name: index for index, value in enumerate(_values(plan))}
        self._presence = [value.present for value in _values(plan)]
        self._tabled = {self._slots[value.name] for node in plan.nodes for lane in node.lanes if reads_table(lane)
                        for value in lane.reads}
        self._masked = [value for value in plan.inputs if isinstance(value.shape, MaskedTokens)]
        asked = asked_cells(plan)
        self._cells = [value for value in plan.inputs if value.name in asked]
        self._outputs = _outputs(plan)
        for node in plan.nodes:
            follow = weights_follow if isinstance(weights_follow, bool) else node.name in weights_follow
            made = (modules or {}).get(node.name)
            module = make_node(node, seed, follow) if made is None else made
            self.add_module(node.name, module.requires_grad_(False) if node.node.freeze else module)
        self.class_priors: Mapping[str, Sequence[float]] = {}
        self._frozen = [node.name for node in plan.nodes if node.node.freeze]
        self._program = self._schedule([node.name for node in plan.nodes])
        self._read = {value.name for value in plan.inputs}
        self._bound: list[Bound] = []
        self._parts: dict[frozenset[str], list[Bound]] = {}
        self._bind()
        self.train()

    def forward(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None,
                valid: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Head outputs and auxiliary losses by name."""
        state = self.begin(inputs, present, valid)
        bound = self._bound if state.to_run is None else self._part(state.to_run)
        self._run(bound, state.slots, state.masks, state.valid)
        return self.results(state)

    def _run(self, bound: Sequence[Bound], slots: list[Any], masks: list[Mask] | None, valid: Valid | None) -> None:
        """Run instructions over the slots. The only place where the network is executed."""
        number, result, part = -1, None, None
        try:
            for number, (module, absence, read, write, frees) in enumerate(bound):  # noqa: B007 - used after an error
                if masks is not None:
                    reads = (read,) if isinstance(read, int) else read
                    result = call_masked(module, absence, [slots[i] for i in reads], [masks[i] for i in reads], valid)
                elif isinstance(read, int):
                    result = module(slots[read])
                else:
                    result = module(*[slots[i] for i in read])
                if isinstance(write, int):
                    slots[write] = result
                else:
                    for index, part in zip(write, result, strict=True):
                        slots[index] = part
                    result = part = None  # otherwise they would outlive their slots
                for index in frees:
                    slots[index] = None
        except Exception as error:
            self._explain(error, bound, number)
            raise

    def _explain(self, error: Exception, bound: Sequence[Bound], number: int) -> None:
        names = [name for name, module in self._modules.items() if number >= 0 and module is bound[number][0]]
        if names:
            name, node = names[0], self.plan.node(names[0])
            error.add_note(f"in node {name!r} ({node.uses}) at {node.node.span}")

    def begin(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None,
              valid: Mapping[str, Tensor] | None = None) -> ExecutionState:
        """The state before any node has run, to be advanced by `advance`."""
        given = [name for name in inputs if name in self._slots and name not in self._read]
        to_run: frozenset[str] | None = None
        unread: set[str] = set()
        if given:
            to_run = self._to_run(given)
            read = {slot for step in self._program if step.name in to_run for slot in step.reads}
            unread = {value.name for value in self.plan.inputs if self._slots[value.name] not in read} - inputs.keys()
        if self._masked or self._cells or valid:
            inputs, present, valid = padded(self._masked, inputs, present, valid or {}, unread=unread,
                                            cells=self._cells)
        slots = self._load(inputs, unread)
        for name in given:
            slots[self._slots[name]] = inputs[name]
        masks = self._masks(inputs, present, unread)
        if valid and masks is None:
            masks = [None] * len(slots)
        return ExecutionState(slots, masks, to_run, valid)

    def results_at(self, names: Collection[str], inputs: Mapping[str, Tensor],
                   present: Mapping[str, Tensor] | None = None,
                   valid: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Outputs of nodes by name; only nodes that lead to them, and whose outputs are not given, are run."""
        given = [self._slots[name] for name in inputs if name in self._slots and name not in self._read]
        needed = self._leading_to((self._slots[name] for name in names), given)
        state = self.begin(inputs, present, valid)
        program = self._schedule([step.name for step in self._program if step.name in needed],
                                 [self._slots[name] for name in names])
        state = self.advance(self._binding(program), state)
        return {name: state.slots[self._slots[name]] for name in names}

    def advance(self, bound: Sequence[Bound], state: ExecutionState) -> ExecutionState:
        """The state after a part of the program has run; the given state is unchanged."""
        slots = list(state.slots)
        self._run(bound, slots, state.masks, state.valid)
        return ExecutionState(slots, state.masks, state.to_run, state.valid)

    def results(self, state: ExecutionState) -> dict[str, Tensor]:
        """Head outputs and auxiliary losses of a state in which every node has run."""
        return {name: state.slots[index] for name, index in self._outputs.items()}

    def split(self, later: Collection[str]) -> tuple[list[Bound], list[Bound]]:
        """The program split in two: the nodes that do not depend on `later`, and `later` itself.

        `later` must contain, for each of its nodes, all nodes that read from it.
        """
        second = [step.name for step in self._program if step.name in later]
        first = [step.name for step in self._program if step.name not in later]
        needed = {slot for step in self._schedule(second, self._slots.values()) for slot in step.reads}
        return (self._binding(self._schedule(first, needed)),
                self._binding(self._schedule(second, self._slots.values())))

    @property
    def program(self) -> tuple[Instruction, ...]:
        """The nodes in the order in which they run, with the slots that they read and write."""
        return tuple(self._program)

    @property
    def outputs(self) -> Mapping[str, int]:
        """The slot of every head's output and of every auxiliary loss, by name."""
        return dict(self._outputs)

    def head(self, name: str) -> Any:
        """The module of a head, which has `loss`, `decode` and `balance`."""
        module = self._modules[name]
        return module[-1] if isinstance(module, Chain) else module

    def decode_output(self, name: str, output: Tensor) -> Tensor:
        """What a head predicts from its output: (B, K); of classes, corrected for the shares in which they were drawn.
        """
        found: Tensor = self.head(name).decode(output)
        if name not in self.class_priors:
            return found
        shares = found * told(self.class_priors[name], found.device, found.dtype)
        return shares / shares.sum(dim=1, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)

    def _leading_to(self, slots: Iterable[int], given: Collection[int] = ()) -> frozenset[str]:
        """The nodes that lead to some slots, stopping at slots that are given."""
        needed, names = {*slots} - {*given}, set()
        for step in reversed(self._program):
            if needed & set(step.writes):
                names.add(step.name)
                needed |= set(step.reads) - {*given}
        return frozenset(names)

    def _to_run(self, given: Collection[str]) -> frozenset[str]:
        """The nodes that have to run if some node outputs are given."""
        return self._leading_to(self._outputs.values(), {self._slots[name] for name in given})

    def _part(self, to_run: frozenset[str]) -> list[Bound]:
        if to_run not in self._parts:
            names = [step.name for step in self._program if step.name in to_run]
            self._parts[to_run] = self._binding(self._schedule(names))
        return self._parts[to_run]

    def _load(self, inputs: Mapping[str, Tensor], unread: Collection[str] = ()) -> list[Any]:
        slots: list[Any] = [None] * len(self._slots)
        for value in self.plan.inputs:
            if value.name in inputs:
                slots[self._slots[value.name]] = exact(value, inputs[value.name])
            elif value.name in unread:
                continue
            elif value.present is None:
                needed = ", ".join(v.name for v in self.plan.inputs)
                raise ValueError(f"the input {value.name!r} is missing; the network {self.plan.name!r} reads {needed}")
            else:
                count = _first(inputs).shape[0]
                slots[self._slots[value.name]] = blank(value.shape, (count, *value.shape.carried), inputs)
        return slots

    def _masks(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None,
               unread: Collection[str] = ()) -> list[Mask] | None:
        """The mask of every slot, or None if nothing is missing.

        An optional input that is omitted is missing, unless node outputs are given in its place.
        """
        given = dict(present or {})
        unknown = sorted(given.keys() - {value.name for value in self.plan.inputs})
        if unknown:
            raise ValueError(f"`present` has {unknown[0]!r}, which is not an input; the network "
                             f"{self.plan.name!r} reads {', '.join(value.name for value in self.plan.inputs)}")
        for value in self.plan.inputs:
            if value.name not in inputs and value.name not in unread and value.present is not None:
                like = _first(inputs)
                given[value.name] = constant(False, like.shape[:1], like.device)
        if not given:
            return None
        return evaluate_all(self._presence, given, self._tabled)

    def validity(self, present: Mapping[str, Tensor], valid: Mapping[str, Tensor] | None = None) -> dict[str, Mask]:
        """For each head, the cases for which it has a result: (B,) boolean, or None for all of them."""
        there = those_with_tokens([*self._masked, *self._cells], present, valid or {})
        return {head.name: evaluate(head.present, there) for head in self.plan.heads}

    def train(self, mode: bool = True) -> FusionModel:
        """Set the mode; frozen nodes stay in evaluation mode, with fixed norms and without dropout."""
        super().train(mode)
        for name in self._frozen:
            self._modules[name].eval()  # type: ignore[union-attr]  # every frozen name is a node
        return self

    def hold(self, names: Collection[str]) -> None:
        """Keep these nodes in evaluation mode too, besides the frozen ones, until the next call."""
        self._frozen = [node.name for node in self.plan.nodes if node.node.freeze or node.name in names]
        self.train(self.training)

    def _schedule(self, names: Iterable[str], keep: Iterable[int] = ()) -> list[Instruction]:
        """Instructions for some nodes in order; a slot is freed after its last reader unless it is kept."""
        nodes = [self.plan.node(name) for name in names]
        kept = set(keep) | set(self._outputs.values())
        last: dict[int, str] = {}
        for node in nodes:
            last.update({self._slots[value.name]: node.name for value in (*node.values, *_reads(node))})
        return [self._instruction(node, kept, last) for node in nodes]

    def _instruction(self, node: PlannedNode, kept: set[int], last: Mapping[int, str]) -> Instruction:
        reads = tuple(self._slots[value.name] for value in _reads(node))
        writes = tuple(self._slots[value.name] for value in node.values)
        frees = tuple(sorted(slot for slot, name in last.items() if name == node.name and slot not in kept))
        single = len(node.values) == 1 and node.values[0].name == node.name
        return Instruction(node.name, reads, writes, frees, single)

    def _bind(self) -> None:
        """Bind the modules of the program, so that running it needs no look-ups by name."""
        self._bound = self._binding(self._program)
        self._parts = {}

    def _binding(self, program: Sequence[Instruction]) -> list[Bound]:
        bound: list[Bound] = []
        for step in program:
            module = self._modules[step.name]
            assert module is not None
            read = step.reads[0] if len(step.reads) == 1 else step.reads
            write = step.writes[0] if step.single else step.writes
            bound.append((module, node_absence(self.plan.node(step.name).lanes[0], module), read, write, step.frees))
        return bound

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, nn.Module) and "_bound" in self.__dict__:
            self._bind()

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add or replace a submodule; the program then calls the new one."""
        super().add_module(name, module)
        if "_bound" in self.__dict__:
            self._bind()

    def listing(self) -> str:
        """The program as readable lines, one per node, with output shapes."""
        names = {index: name.replace(".", "_") for name, index in self._slots.items()}
        lines = []
        for step in self._program:
            node = self.plan.node(step.name)
            left = ", ".join(names[index] for index in step.writes)
            right = ", ".join(names[index] for index in step.reads)
            shapes = ", ".join(str(value.shape) for value in node.values)
            lines.append(f"{left} = {step.name}({right})  # {node.uses}: {shapes}")
            ended = [names[index] for index in step.frees]
            lines.extend([f"del {', '.join(ended)}"] if ended else [])
        returned = ", ".join(f"{name}={names[index]}" for name, index in self._outputs.items())
        return "\n".join([*lines, f"return dict({returned})" if "." not in returned else f"return {returned}"]) + "\n"


def _first(inputs: Mapping[str, Tensor]) -> Tensor:
    """Any input, for the number of cases, the precision and the device."""
    if not inputs:
        raise ValueError("no input is given; at least one is needed for the batch size")
    return next(iter(inputs.values()))


def asked_cells(plan: Plan) -> set[str]:
    """The inputs of which a component asks for the cells that are not blank."""
    return {cells_of(lane) for node in plan.nodes for lane in node.lanes} & {value.name for value in plan.inputs}


def _values(plan: Plan) -> list[Value]:
    return [*plan.inputs, *(value for node in plan.nodes for value in node.values)]


def _reads(node: PlannedNode) -> list[Value]:
    """The arguments of a node's module, in order; a tensor may occur twice."""
    return [value for lane in node.lanes for value in lane.reads]


def _outputs(plan: Plan) -> dict[str, int]:
    """The slots of the network's outputs: one for each head, and every auxiliary loss."""
    slots = {value.name: index for index, value in enumerate(_values(plan))}
    losses = [value.name for node in plan.nodes for value in node.values if value.shape.layout == "scalar"]
    return {name: slots[name] for name in [*(head.name for head in plan.heads), *losses]}
