"""Properties of every graph in training and with missing inputs; see `properties` for the others."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from fnmatch import fnmatch
from functools import wraps
from itertools import cycle
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fusionkit.components.component import Component
from fusionkit.data.batch import Case
from fusionkit.inference.ensemble import members_of
from fusionkit.inference.predict import Settings, predict
from fusionkit.network.build import build_plan
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Call, Plan, PlannedNode
from fusionkit.shapes.layouts import MaskedTokens
from fusionkit.testing.checks.behaviour import mixed
from fusionkit.testing.probing.coded import legal
from fusionkit.testing.probing.options import Choice
from fusionkit.testing.probing.probes import Probe, results
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.watching import calls_of
from fusionkit.training.objective import Objective

# Axes: B batch.
Tensors = dict[str, Tensor]
CASES = 6
"""Cases in a batch."""
_DRAWS = 6  # a unit may be at rest for one draw of weights and data
_SMALL = 1e-5
_NOTHING, _ANYTHING = (0.0,), (float("nan"), float("inf"), 1e30)


def data_of(plan: Plan, batch: int, seed: int = 0) -> Tensors:
    """Normal numbers for every input, or ids: (batch, ...) by name."""
    random = torch.Generator().manual_seed(seed)
    return {value.name: legal(value.shape, torch.randn(batch, *value.shape.carried, generator=random))
            for value in plan.inputs}


def masks_of(plan: Plan, batch: int, seed: int = 0) -> Tensors:
    """For every optional input, which cases have it: (batch,) boolean; the first has all, the second none."""
    random = torch.Generator().manual_seed(seed)
    masks = {value.name: torch.rand(batch, generator=random) < 0.5 for value in plan.inputs if value.present}
    for mask in masks.values():
        mask[0], mask[1] = True, False
    return masks


def valid_of(plan: Plan, batch: int, seed: int = 0) -> Tensors:
    """For every input of masked tokens, which are real: (batch, N) boolean; the first case has all, the second one."""
    random = torch.Generator().manual_seed(seed)
    found = {}
    for value in plan.inputs:
        if isinstance(value.shape, MaskedTokens):
            most = value.shape.positions
            counts = torch.randint(0, most + 1, (batch,), generator=random)
            counts[0], counts[1] = most, 1
            found[value.name] = torch.arange(most) < counts.unsqueeze(1)
    return found


def advised(prove: Callable[..., None]) -> Callable[..., None]:
    """Runs the property without the warnings of components about data; such a warning begins with the id."""
    @wraps(prove)
    def checked(graph: DrawnGraph, *args: object) -> None:
        with warnings.catch_warnings():
            for use in graph.uses:
                warnings.filterwarnings("ignore", f"{re.escape(use)}:", UserWarning)
            prove(graph, *args)

    return checked


@advised
def it_learns(graph: DrawnGraph) -> None:
    """Forward, backward and a step of the optimiser work; frozen parameters do not change, and all others do.

    A parameter that does not change must be one that the conformance kit finds dead on the same shapes, one whose
    results are read by votes only, which have no gradient, or one with a numerical derivative of zero.
    """
    waiting: set[str] | None = None
    for draw in range(_DRAWS):
        network = _drawn(graph.plan, draw)
        still = _still_after_a_step(network, draw)
        waiting = still if waiting is None else waiting & still
        if not waiting:
            return
    flatly = tuple(f"{path}." for path in without_slope(graph.plan))
    waiting = {name for name in waiting or () if not name.startswith(flatly)}
    suspects = waiting - _dead(graph.plan, waiting) if waiting else set()
    for draw in range(_DRAWS // 2 if suspects else 0):
        network = _drawn(graph.plan, draw).double()
        flat = sorted(suspects & _without_gradient(network, draw))
        if flat and _change_of_loss(network, flat, draw) > _SMALL ** 2:
            changes = {name: _change_of_loss(network, [name], draw) for name in flat}
            raise AssertionError(f"the loss depends on weights that no gradient reaches: {changes}")


def _drawn(plan: Plan, seed: int) -> FusionModel:
    """The network in training mode with its weights perturbed, away from special initial values such as zeros."""
    network = build_plan(plan, seed)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return network


def _still_after_a_step(network: FusionModel, draw: int) -> set[str]:
    """The trained parameters that a step does not change."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    # A module may save its weights under other names than those by which it holds them.
    held = {name: parameter.detach().clone() for name, parameter in trained.items()}
    optimiser = torch.optim.Adam(trained.values(), lr=0.01) if trained else None
    loss = _loss(network, draw)
    assert bool(loss.isfinite()), f"the loss is {float(loss.detach())}"
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in trained.items():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite"
    if optimiser:
        optimiser.step()
    after = network.state_dict()
    for node in network.plan.nodes:
        changed = [name for name in before if name.partition(".")[0] == node.name
                   and node.node.freeze and not torch.equal(before[name], after[name])]
        assert not changed, f"the frozen {node.name} changes in training: {changed}"
    return {name for name, parameter in trained.items() if torch.equal(held[name], parameter)}


def _loss(network: FusionModel, draw: int) -> Tensor:
    """The loss of a batch as in training: the first draw with all inputs, the others with some missing."""
    plan, dtype = network.plan, next((p.dtype for p in network.parameters()), torch.float32)
    present = masks_of(plan, CASES, draw)
    if draw == 0:
        present = {name: torch.ones_like(mask) for name, mask in present.items()}
    targets = targets_of(plan, CASES, draw, dtype)
    everyone = {head.name: torch.ones(CASES, dtype=torch.bool) for head in plan.heads}
    inputs = {name: value.to(dtype) for name, value in data_of(plan, CASES, draw).items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw)
        sums = Objective(network)(inputs, present, targets, everyone)
    weights = {head.name: head.weight for head in plan.heads}
    return torch.stack([total * weights.get(name, 1.0) for name, total in sums.items()]).sum()


def targets_of(plan: Plan, count: int, draw: int, dtype: torch.dtype) -> Tensors:
    """Targets of every head: (count, ...) by name."""
    random = torch.Generator().manual_seed(draw)
    targets = {}
    for head in plan.heads:
        drawn = torch.randn(count, len(head.names), generator=random).to(dtype)
        if head.declared_task.keys:
            made = head.declared_task.method.example(head.names, count, np.random.default_rng(draw))
            targets[head.name] = torch.as_tensor(made).to(dtype)
            continue
        targets[head.name] = drawn.argmax(1) if head.declared_task.cells == "class" else (
            (drawn > 0).to(dtype) if head.declared_task.cells == "label" else drawn)
    return targets


def _without_gradient(network: FusionModel, draw: int) -> set[str]:
    network.zero_grad()
    loss = _loss(network, draw)
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    return {name for name, p in network.named_parameters()
            if p.requires_grad and p.numel() and (p.grad is None or not bool(p.grad.abs().max() > 0))}


def _change_of_loss(network: FusionModel, names: Sequence[str], draw: int) -> float:
    """The change of the loss for a small change of some parameters."""
    changed = deepcopy(network)
    random = torch.Generator().manual_seed(draw + 1)
    with torch.no_grad():
        for name in names:
            parameter = changed.get_parameter(name)
            parameter.add_(_SMALL * torch.randn(parameter.shape, generator=random).to(parameter.dtype))
        return abs(float(_loss(changed, draw)) - float(_loss(deepcopy(network), draw)))


def _dead(plan: Plan, suspects: Collection[str]) -> set[str]:
    """The parameters that get no gradient even when their component is tested alone, or are declared not to."""
    dead: set[str] = set()
    for node in plan.nodes:
        for call, path in calls_of(node):
            if any(name.startswith(f"{path}.") for name in suspects):
                dead |= {f"{path}.{name}" for name in _dead_alone(call)}
    return dead


def _dead_alone(call: Call) -> set[str]:
    probe = Probe(call.component, Choice("as drawn", call.config), tuple(call.shapes))
    dead: set[str] | None = None
    for draw in range(_DRAWS):
        module = probe.module(seed=draw)
        outputs = results(module(*probe.data(5, seed=draw), **probe.some_absent()))
        if mixed(outputs).requires_grad:
            mixed(outputs).backward()  # type: ignore[no-untyped-call]
        without = {name for name, p in module.named_parameters()
                   if p.requires_grad and p.numel() and (p.grad is None or not bool(p.grad.abs().max() > 0))}
        dead = without if dead is None else dead & without
    names = [name for name, _ in probe.module().named_parameters()]
    return (dead or set()) | {name for name in names if _declared(call.component, name)}


def without_slope(plan: Plan) -> set[str]:
    """Paths of modules whose results reach losses only where there is no gradient.

    For example, a component that counts votes declares it: near a tie the loss jumps with a small change, yet its
    gradient is zero. A teacher gets none of the loss of its students.
    """
    sloped: set[str] = set()
    cut: set[str] = set()
    kept: set[str] = set()
    for node in reversed(plan.nodes):
        reaches = node.node.is_head or any(v.shape.layout == "scalar" or v.name in sloped for v in node.values)
        calls, count = list(calls_of(node)), len(node.lanes[0].calls)
        for place, lane in enumerate(node.lanes):
            slope = reaches
            for call, path in reversed(calls[place * count : (place + 1) * count]):
                (kept if slope else cut).add(path)
                slope = slope and not _declared(call.component, "input:any")
            if slope:
                several = len(lane.calls) == 1 and len(node.lanes) == 1 and len(node.values) > 1
                sloped |= _sloped(node, sloped) if several else {value.name for value in lane.reads}
    return cut - kept


def _sloped(node: PlannedNode, sloped: Collection[str]) -> set[str]:
    """The inputs of a node of several results that get a gradient of its losses and of the results that matter."""
    lane, = node.lanes
    call, = lane.calls
    probe = Probe(call.component, Choice("as drawn", call.config), tuple(call.shapes))
    inputs = [x.requires_grad_() for x in probe.data(5)]
    outputs = results(probe.module()(*inputs, **probe.some_absent()))
    total = mixed([part for part, value in zip(outputs, node.values, strict=True)
                   if value.shape.layout == "scalar" or value.name in sloped])
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    return {value.name for value, x in zip(lane.reads, inputs, strict=True)
            if x.grad is not None and bool(x.grad.abs().max() > 0)}


def _declared(component: Component, name: str) -> bool:
    patterns = [check.partition(":")[2].strip() or "*" for check in component.exceptions
                if check.partition(":")[0] == "gradients"]
    return any(fnmatch(name, pattern) for pattern in patterns)


@advised
def absence_is_unread(graph: DrawnGraph, seed: int = 0) -> None:
    """Values of a missing optional input change no result, no gradient and no statistic.

    Leaving an input out equals masking it in every case, and a mask with everything present equals no mask, exactly.
    """
    made = graph.plan
    masks = masks_of(made, CASES, seed)
    for training in (False, True):
        wanted = _traces(made, masks, _NOTHING, training)
        _same(_traces(made, masks, _ANYTHING, training), wanted, "absent inputs hold")
    network, inputs = build_plan(made).eval(), data_of(made, CASES)
    with torch.no_grad():
        full = network(inputs, {name: torch.ones_like(mask) for name, mask in masks.items()})
        _equal(network(inputs), full, "a mask of ones")
        left = dict(list(inputs.items())[:1]) | {value.name: inputs[value.name] for value in made.inputs
                                                 if not value.present}
        # An omitted input of masked tokens has one of padding; more of it would add up in another order of rounding.
        held = {value.name: inputs[value.name][:, :1] if value.name not in left and isinstance(
            value.shape, MaskedTokens) else inputs[value.name] for value in made.inputs}
        none = {name: mask.new_full(mask.shape, name in left) for name, mask in masks.items()}
        _equal(network(held, none), network(left), "leaving inputs out")


def _equal(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], what: str) -> None:
    for name, value in wanted.items():
        assert torch.equal(value, found[name]), f"{what} changes {name!r}"


def _same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], held: str) -> None:
    """What is found is what was wanted, to the bit, and finite but for a state that holds infinity from the start."""
    for name, value in found.items():
        finite = wanted[name].isfinite() if name.startswith("the state") else torch.ones_like(value, dtype=torch.bool)
        assert bool((value.isfinite() | ~finite).all()), f"{name} is not finite when {held} NaN, infinity or 1e30"
        assert torch.equal(value, wanted[name]), f"{name} changes when {held} NaN, infinity or 1e30"


def _traces(plan: Plan, masks: Mapping[str, Tensor], content: Sequence[float], training: bool,
            valid: Mapping[str, Tensor] | None = None) -> Tensors:
    """Results, gradients and state of a run in which missing entries and padding hold `content`, row by row."""
    network = build_plan(plan).train(training)
    inputs = data_of(plan, CASES)
    for name, mask in masks.items():
        for row, value in zip((~mask).nonzero().flatten().tolist(), cycle(content), strict=False):
            inputs[name][row] = value
    for name, mask in (valid or {}).items():
        fillers = torch.tensor([value for value, _ in zip(cycle(content), mask, strict=False)])
        further = [1] * (inputs[name].dim() - 2)
        inputs[name] = inputs[name].where(mask.reshape(*mask.shape, *further), fillers.reshape(-1, 1, *further))
    inputs = {name: value.requires_grad_() for name, value in inputs.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        outputs = network(inputs, dict(masks), valid)
    total = mixed(list(outputs.values()))
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    return {**{f"the result {name!r}": value.detach() for name, value in outputs.items()},
            **_gradients("weights", dict(network.named_parameters())), **_gradients("input", inputs),
            **{f"the state {name!r}": value for name, value in network.state_dict().items()}}


def _gradients(what: str, tensors: Mapping[str, Tensor]) -> Tensors:
    return {f"the gradient of the {what} {name!r}": torch.zeros_like(value) if value.grad is None else value.grad
            for name, value in tensors.items()}




@advised
def padding_is_unread(graph: DrawnGraph, seed: int = 0) -> None:
    """What padding of masked tokens contains changes no result, no gradient and no statistic, exactly; more padding
    changes no result.
    """
    made = graph.plan
    valid = valid_of(made, CASES, seed)
    masks = masks_of(made, CASES, seed)
    for training in (False, True):
        wanted = _traces(made, masks, _NOTHING, training, valid)
        _same(_traces(made, masks, _ANYTHING, training, valid), wanted, "padding holds")
    network, inputs = build_plan(made).eval().double(), {name: x.double() for name, x in data_of(made, CASES).items()}
    longer = {name: torch.cat([x, x[:, :1]], 1) if name in valid else x for name, x in inputs.items()}
    wider = {name: torch.cat([mask, torch.zeros_like(mask[:, :1])], 1) for name, mask in valid.items()}
    with torch.no_grad():
        first, second = network(inputs, masks, valid), network(longer, masks, wider)
    for name, value in first.items():
        apart = float((value - second[name]).abs().max())
        assert apart <= 1e-8 * max(1.0, float(value.abs().max())), f"more padding changes {name!r} by {apart:.3g}"


@advised
def it_predicts(graph: DrawnGraph) -> None:
    """The graph's prediction method gives every head finite values in range, reproducibly."""
    networks = [build_plan(graph.plan, seed) for seed in range(members_of(graph.plan.uncertainty))]
    cases = UnlabelledCases(graph.plan)
    for network in networks:
        _settle(network)
    settings = Settings(batch_size=4, device="cpu")
    first, again = (predict(networks, cases, graph.plan.uncertainty, settings) for _ in range(2))
    for head in graph.plan.heads:
        found = first[head.name]
        assert found.values.shape == (CASES, len(head.names)), f"{head.name} gives {found.values.shape}"
        for name, numbers in {"values": found.values, **found.measures}.items():
            assert np.isfinite(numbers).all(), f"{name} of {head.name} is not finite"
        if head.declared_task.results != "values":
            assert ((found.values >= 0) & (found.values <= 1)).all(), f"{head.name} gives no probabilities"
        assert np.array_equal(found.values, again[head.name].values), f"{head.name} predicts differently the next time"


def _settle(network: FusionModel) -> None:
    """Fit what heads fit after training, to made-up results and targets; frozen ones too, as weights would."""
    for head in network.plan.heads:
        module = cast(Any, network.head(head.name))
        if not callable(getattr(module, "settle", None)):
            continue
        made = head.declared_task.method.example(head.names, CASES, np.random.default_rng(0))
        width = network.plan.node(head.name).values[0].shape.sizes
        module.settle(torch.randn(CASES, *width, generator=torch.Generator().manual_seed(0)),
                      torch.as_tensor(made, dtype=torch.float32))


class UnlabelledCases(Dataset[Case]):
    """Cases with normal numbers for inputs and no targets; some lack optional inputs."""

    def __init__(self, plan: Plan) -> None:
        self.inputs = data_of(plan, CASES)
        self.present = {name: torch.ones(CASES, dtype=torch.bool) for name in self.inputs} | masks_of(plan, CASES)
        self.valid = valid_of(plan, CASES)

    def __len__(self) -> int:
        return CASES

    def __getitem__(self, index: int) -> Case:
        inputs = {name: value[index] for name, value in self.inputs.items()}
        inputs |= {name: inputs[name][mask[index]] for name, mask in self.valid.items()}
        return {"index": index, "inputs": inputs, "masked": tuple(self.valid),
                "present": {name: bool(mask[index]) for name, mask in self.present.items()},
                "targets": {}, "target_present": {}}
