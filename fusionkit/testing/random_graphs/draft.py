"""A graph in the making: inputs and nodes as plain data, and every tensor that a further node may read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fusionkit.components.component import Component
from fusionkit.shapes.layouts import (
    KINDS_KEY,
    Bundle,
    MaskedTokens,
    Shape,
    TensorShape,
    features_of,
    is_loss,
    members,
    stated,
)
from fusionkit.shapes.rule import given_back
from fusionkit.testing.random_graphs.inputs import written_out
from fusionkit.testing.random_graphs.menu import Limits, Menu, Trial

ComponentUse = tuple[str, dict[str, Any]]
"""A component's id and its options as written."""
_INPUT_NAMES = ("ct", "ehr", "xray", "notes")
_NOT_LANES = {"clear", "items", "keys", "pop", "update", "values", "forward", "train", "type", "to"}


@dataclass(frozen=True)
class Stream:
    """One tensor: how a graph refers to it, which input or node gives it, and whether it may be missing."""

    reference: str
    owner: str
    shape: TensorShape
    optional: bool


@dataclass(frozen=True)
class DraftLane:
    """What one module, or a chain of them, reads and gives; `name` distinguishes the branches of `each`."""

    reads: tuple[Stream, ...]
    trials: tuple[Trial, ...]
    name: str = ""

    @property
    def output(self) -> Shape:
        """The shape that comes out at the end."""
        return self.trials[-1].output


class Draft:
    """A graph to which nodes are added; the sources of a node must exist already."""

    def __init__(self, menu: Menu) -> None:
        self.menu = menu
        self.inputs: dict[str, Any] = {}
        self.nodes: dict[str, Any] = {}
        self.streams: list[Stream] = []
        self.spent = Limits(0, 0)
        self._read: set[str] = set()
        self._heads: set[str] = set()
        self._stems: Counter[str] = Counter()

    @property
    def left(self) -> Limits:
        """The budget of further nodes."""
        return self.menu.limits.less(self.spent)

    def loose(self) -> list[str]:
        """Inputs and nodes that nothing reads yet, which is invalid in a graph; without heads."""
        owners = dict.fromkeys(stream.owner for stream in self.streams)
        return [owner for owner in owners if owner not in self._read | self._heads]

    def bundles(self) -> list[list[Stream]]:
        """The tensors of every node that gives several."""
        owned: dict[str, list[Stream]] = {}
        for stream in self.streams:
            owned.setdefault(stream.owner, []).append(stream)
        return [group for group in owned.values() if len(group) > 1]

    def input_name(self, later: int = 0) -> str:
        """The name of the next input, or of a `later` one."""
        number = len(self.inputs) + later
        return _INPUT_NAMES[number] if number < len(_INPUT_NAMES) else f"in{number}"

    def add_input(self, shape: TensorShape, optional: bool) -> Stream:
        """A further input of the network."""
        name = self.input_name()
        most = {"max": shape.positions} if isinstance(shape, MaskedTokens) and shape.layout not in KINDS_KEY else {}
        self.inputs[name] = stated(shape) | most | ({"optional": True} if optional else {})
        self.streams.append(Stream(name, name, shape, optional))
        return self.streams[-1]

    def add_node(self, steps: Sequence[ComponentUse], lanes: Sequence[DraftLane], source: Any, each: bool = False,
                 **keys: Any) -> list[Stream]:
        """A further node; gives the tensors that it offers."""
        name = self._named(steps)
        entry: dict[str, Any] = _step(steps[0]) if len(steps) == 1 else {"chain": [_bare(step) for step in steps]}
        self.nodes[name] = entry | {"from": source} | ({"each": True} if each else {}) | keys
        if steps[-1][0].startswith("head."):
            self._heads.add(name)
        components = [self.menu.component(use) for use, _ in steps]
        self._read |= {stream.owner for lane in lanes for stream in lane.reads}
        self._pay(lanes[:1] if keys.get("share") else lanes, lanes)
        given = [Stream(f"{name}.{member}" if member else name, name, shape, optional)
                 for lane in lanes for member, shape, optional in _given(components, lane)]
        self.streams.extend(given)
        return given

    def has_distinct_names(self, steps: Sequence[ComponentUse], lanes: Sequence[DraftLane]) -> bool:
        """Whether all outputs of a node would have different names."""
        components = [self.menu.component(use) for use, _ in steps]
        names = [member for lane in lanes for member, _, _ in _given(components, lane)]
        return len(set(names)) == len(names)

    def _pay(self, built: Sequence[DraftLane], run: Sequence[DraftLane]) -> None:
        parameters = sum(trial.cost.parameters for lane in built for trial in lane.trials)
        work = sum(trial.cost.work for lane in run for trial in lane.trials)
        self.spent = Limits(self.spent.parameters + parameters, self.spent.work + work)

    def _named(self, steps: Sequence[ComponentUse]) -> str:
        stem = steps[-1][0].partition(".")[2].replace(".", "_")
        while True:
            self._stems[stem] += 1
            name = f"{stem}_{self._stems[stem]}"
            if name not in self.inputs and name not in self.nodes:
                return name


def _step(step: ComponentUse) -> dict[str, Any]:
    use, options = step
    return {"use": use} | ({"with": options} if options else {})


def _bare(step: ComponentUse) -> Any:
    """A step of a chain, of which the id may be enough."""
    return _step(step) if step[1] else step[0]


def _given(components: Sequence[Component], lane: DraftLane) -> Iterator[tuple[str, TensorShape, bool]]:
    """The outputs of a branch: member names, shapes, and whether each may be missing, as in docs/graph.md."""
    output = _labelled(components, lane)
    optional = [stream.optional for stream in lane.reads]
    own = len(components) == 1 and isinstance(output, Bundle) and _each_back(components[0], lane, output)
    for place, (member, shape) in enumerate(members(output)):
        if is_loss(member):
            continue
        name = "_".join(part for part in (lane.name, member) if part)
        yield name, shape, optional[place] if own else _may_be_absent(components, optional)


def _each_back(component: Component, lane: DraftLane, output: Bundle) -> bool:
    given = tuple(name for name, _ in features_of(output))
    if component.absent == "identity":
        return len(given) == len(lane.reads)
    return given == tuple(_labels(component, [stream.reference for stream in lane.reads]))


def _may_be_absent(components: Sequence[Component], optional: Sequence[bool]) -> bool:
    if any(component.absent == "fill" for component in components):
        return False
    if components[0].absent in ("drop", "neutral"):
        return all(optional)
    return optional[0] if components[0].absent == "identity" else any(optional)


def _labels(component: Component, read: Sequence[str]) -> list[str]:
    """How a call names its inputs: by port, or at a `*` port by reference, of which members keep the last part."""
    alternative = component.parsed.alternatives[0]
    ports = [None if port.variadic else port.name
             for port in written_out(alternative, len(read) - len(alternative.inputs) + 1)]
    short = [port or name.rpartition(".")[2] for port, name in zip(ports, read, strict=True)]
    if len(set(short)) == len(short):
        return short
    return [port or name.replace(".", "_") for port, name in zip(ports, read, strict=True)]


def _labelled(components: Sequence[Component], lane: DraftLane) -> Shape:
    """The output of a branch, under the names of its inputs where a rule returns each of them."""
    output, read = lane.output, [stream.reference for stream in lane.reads]
    for component, trial in zip(components, lane.trials, strict=True):
        output = trial.output
        if trial.given_back:
            output = given_back(output, _labels(component, read))
        read = [name or component.id for name, _ in features_of(output)]
    return output


def follow(menu: Menu, steps: Sequence[ComponentUse], reads: Sequence[Stream], left: Limits) -> DraftLane | None:
    """The result of a chain of steps on tensors, None where a step refuses, costs too much or needs present inputs."""
    trials: list[Trial] = []
    shapes = [stream.shape for stream in reads]
    strict = any(stream.optional for stream in reads)
    for use, options in steps:
        component = menu.component(use)
        strict = strict and component.absent != "fill"
        trial = None if strict and component.absent == "none" else menu.trial(use, options, shapes)
        if trial is None or not left.holds(trial.cost):
            return None
        if trials and any(is_loss(name) for name, _ in members(trials[-1].output)):
            return None  # an auxiliary loss comes from the last step
        left = left.less(trial.cost)
        trials.append(trial)
        shapes = [shape for _, shape in features_of(trial.output)]
    return DraftLane(tuple(reads), tuple(trials))


def lane_names(reads: Sequence[Stream]) -> list[str] | None:
    """The names `each` gives to the tensors of a list, None where they are not distinct."""
    names = [stream.reference for stream in reads]
    short = [name.rpartition(".")[2] for name in names]
    names = short if len(set(short)) == len(short) else [name.replace(".", "_") for name in names]
    return None if len(set(names)) < len(names) or set(names) & _NOT_LANES else names


def plain(reads: Sequence[Stream], ports: Mapping[str, list[str]] | None = None) -> Any:
    """The value of `from`: a name, a list, or a mapping by port."""
    if ports:
        return {port: names[0] if len(names) == 1 else list(names) for port, names in ports.items()}
    return reads[0].reference if len(reads) == 1 else [stream.reference for stream in reads]
