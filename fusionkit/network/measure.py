"""Runs components on the meta device: finds the shape of a `?`, verifies rules, and measures costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from fusionkit.components.failures import component_failed
from fusionkit.errors import Diagnostic, GraphError, Span, in_file_order
from fusionkit.graph.owners import owned
from fusionkit.network.absence import unpadded
from fusionkit.network.instantiate import make_module
from fusionkit.network.meta_results import Counted, MetaResults
from fusionkit.network.recurrent_costs import FewSteps
from fusionkit.network.without_values import WithoutValues
from fusionkit.planning.plan import Call, Cost, Lane, Plan, PlannedNode
from fusionkit.planning.resolve import Use
from fusionkit.shapes.layouts import ITEMS, Bundle, MaskedTokens, Shape, TensorShape, Windows, members, shape_of

BATCH = 3
"""Cases in a probe; more than one, so that a lost batch axis is noticed."""


@dataclass(frozen=True)
class Measurement:
    """The result of running a component once."""

    shapes: tuple[tuple[int, ...], ...]
    single: bool
    parameters: int
    trainable: int
    multiply_adds: int
    activation_bytes: int


def probe(call: Call, path: str = "probe", on: Sequence[TensorShape] | None = None) -> Measurement:
    """Build a component on the meta device and run it once in evaluation mode, with no memory and no data.

    A component that cannot run there, because it reads values, is run once on the CPU instead. `on` are the shapes to
    run it on instead of those that it is built for.
    """
    shapes = call.shapes if on is None else on
    try:
        return _probe(call, path, "meta", shapes)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" not in str(error).lower():
            raise
        return _probe(call, path, "cpu", shapes)


def _probe(call: Call, path: str, device: str, shapes: Sequence[TensorShape]) -> Measurement:
    with torch.device(device):
        with WithoutValues(), MetaResults():
            module = make_module(call, path, seed=0, weights_follow=True).eval()
        args = [torch.zeros(BATCH, *shape.carried) for shape in shapes]
        with (torch.no_grad(), Counted() as counted,
              FewSteps(lambda: (counted.flops, counted.bytes)) as left_out):
            result = module(*args, **unpadded(call.component, shapes, args))
    operations, held = (seen + unseen for seen, unseen in zip(left_out.count(), left_out.unseen, strict=True))
    single = isinstance(result, Tensor)
    parts = (result,) if single else tuple(result)
    given = tuple(tuple(part.shape) for part in parts)
    counts = [(weight.numel(), weight.requires_grad) for weight in module.parameters()]
    return Measurement(given, single, sum(count for count, _ in counts),
                       sum(count for count, learns in counts if learns),
                       operations // 2 // BATCH, held // BATCH)


def witness(use: Use, shapes: Sequence[TensorShape]) -> Shape:
    """The shape of a component's actual output: a tuple has the named outputs f1, f2, ..."""
    return shape_seen(probe(Call(use.component, use.config, tuple(("", shape) for shape in shapes), Bundle(()))))


def shape_seen(seen: Measurement) -> Shape:
    """The shape of an output that has been seen."""
    given = [shape_of(sizes[1:]) for sizes in seen.shapes]
    return given[0] if seen.single else Bundle(tuple((f"f{i}", shape) for i, shape in enumerate(given, 1)))


class Prober(Protocol):
    """Runs a component once: `probe`, or one that remembers what it has seen."""

    def __call__(self, call: Call, path: str = ..., on: Sequence[TensorShape] | None = ...) -> Measurement:
        """What `probe` gives."""


def measure(plan: Plan, run: Prober = probe) -> Plan:
    """The plan with the cost of every node, with each rule verified against its module; `run` runs each component.

    Raises: GraphError with `rule-disagrees` if the output of a module differs from its rule, and what `check_shared`
    raises.
    """
    found: list[Diagnostic] = []
    nodes = tuple(_measure(node, found, run) for node in plan.nodes)
    found = owned(found, plan.graph.tree)
    if not found:
        check_shared(plan, run)
    if found:
        raise GraphError(in_file_order(found))
    return replace(plan, nodes=nodes)


def _measure(node: PlannedNode, found: list[Diagnostic], run: Prober) -> PlannedNode:
    parameters = trainable = multiply_adds = activation = 0
    for index, lane in enumerate(node.lanes):
        for call, step in zip(lane.calls, node.node.steps, strict=True):
            try:
                seen = run(call, node.name)
                fault = _disagreement(call, step.span, seen) or _lost_mask(call, step.span, node.name, run)
            except GraphError as error:
                found.extend(replace(d, span=d.span or step.span) for d in error.diagnostics)
                continue
            except Exception as error:
                found.append(component_failed(call.component.id, call.inputs, error, step.span))
                continue
            found.extend(fault)
            multiply_adds += seen.multiply_adds
            activation += seen.activation_bytes
            if index == 0 or not node.node.share:
                parameters += seen.parameters
                trainable += seen.trainable
    cost = Cost(parameters, 0 if node.node.freeze else trainable, multiply_adds, activation)
    return replace(node, cost=cost)


def check_shared(plan: Plan, run: Prober = probe) -> None:
    """Check that the shared module of a node with `share` accepts every tensor that the node reads.

    Raises: GraphError with `shape-clash`.
    """
    unlike = ((node, lane) for node in plan.nodes if node.node.share for lane in node.lanes[1:]
              if lane.reads[0].shape != node.lanes[0].reads[0].shape)
    found = [fault for node, lane in unlike if (fault := _clash(node, lane, run))]
    if found:
        raise GraphError(in_file_order(found))


def _clash(node: PlannedNode, lane: Lane, run: Prober) -> Diagnostic | None:
    first, other = node.lanes[0].reads[0], lane.reads[0]
    for built, call in zip(node.lanes[0].calls, lane.calls, strict=True):
        try:
            fault = _disagreement(call, node.node.span, run(built, node.name, call.shapes))
        except Exception as error:
            fault = [component_failed(call.component.id, call.inputs, error)]
        if fault:
            place = next((ref.span for ref in node.node.sources if str(ref) == other.name), node.node.span)
            return Diagnostic("shape-clash", f"one {call.component.id} cannot take both {first.name} ({first.shape}) "
                              f"and {other.name} ({other.shape})", place,
                              why=f"'share' uses one module for all, built for {first.name}: {fault[0].why}",
                              fix="bring them to one shape, or remove 'share'")
    return None


def _lost_mask(call: Call, span: Span, path: str, run: Prober) -> list[Diagnostic]:
    """Whether the result has a number of tokens that varies, and no mask that says so: its shape would be a wrong one.

    Checked with one token less for each input of masked tokens, since some networks take no more than so many; with one
    more where an input has a single one. Not where there are items, which take long.
    """
    masked = [shape for shape in call.shapes if isinstance(shape, MaskedTokens)]
    if not masked or any(shape.layout == ITEMS for shape in masked):
        return []
    step = 1 if any(shape.positions <= len(shape.of) for shape in masked) else -1
    other = [replace(shape, sizes=(shape.positions + _more(shape, masked, step), shape.width))
             if isinstance(shape, MaskedTokens) else shape for shape in call.shapes]
    planned = tuple((BATCH, shape.sizes[0] + _more(shape, masked, step), *shape.sizes[1:]) if shape.sizes else ()
                    for _, shape in members(call.output))
    seen = run(call, path, other)
    if planned == seen.shapes:
        return []
    gave, said = ("; ".join(str(list(shape)) for shape in shapes) for shapes in (seen.shapes, planned))
    return [Diagnostic("rule-disagrees", f"the output of {call.component.id} has no mask", span,
                       why=f"with one token {'more' if step > 0 else 'less'} it gives {gave}, and its rule "
                       f"'{call.component.parsed}' says {said}",
                       fix="report it to the plugin's author; with_width and joined_tokens give masked shapes")]


def _more(shape: TensorShape, inputs: Sequence[MaskedTokens], step: int) -> int:
    """How many tokens more a shape has if each part of an axis of the inputs that varies has `step` more."""
    more = 0
    for part in shape.of if isinstance(shape, MaskedTokens) else ():
        if isinstance(part, Windows) and not any(part in each.of for each in inputs):
            whole = next(each.positions for each in inputs if part.of in each.of)
            more += part.count(whole + step) - part.count(whole)
        elif not isinstance(part, int):
            more += step
    return more


def _disagreement(call: Call, span: Span, seen: Measurement) -> list[Diagnostic]:
    planned = tuple((BATCH, *shape.sizes) if shape.layout != "scalar" else () for _, shape in members(call.output))
    if planned == seen.shapes and seen.single == isinstance(call.output, TensorShape):
        return []
    declared = "; ".join(str(list(shape)) for shape in planned)
    gave = "; ".join(str(list(shape)) for shape in seen.shapes)
    if len(seen.shapes) == 1 and not seen.single:
        gave = f"a tuple of {gave}"
    return [Diagnostic("rule-disagrees", f"the output of {call.component.id} is not what it declares", span,
                       why=f"for a batch of {BATCH} its rule '{call.component.parsed}' says {declared}; "
                       f"the module gives {gave}", fix="report it to the plugin's author")]
