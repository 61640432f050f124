"""Gradient modulation: while one modality is learned faster than the others, its encoders are slowed down.

Source: Peng et al. 2022, Balanced Multimodal Learning via On-the-fly Gradient Modulation, arXiv 2203.15332, eq. 8-11.
The paper splits the logits of one linear layer on concatenated features into a part of each modality; here a head on
each encoder gives that modality's probability of the true class, so that any fusion may follow. Sums over the batch are
means over the rows that a head has, which is the same if nothing is missing; with more than two modalities each is
compared with the mean of the others. Noise is added only where a gradient was reduced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor, nn

from fusionkit.errors import Diagnostic
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan, PlannedNode
from fusionkit.training.batch_order import seed_of
from fusionkit.training.distributed import Processes, own_part, whole
from fusionkit.training.settings import TrainingSettings

Inputs = frozenset[str]
"""The network inputs on which a value or a module depends."""


class Modulation:
    """Scales the gradients of modules that depend on a single input; `heads` are those whose scores it needs."""

    def __init__(self, network: FusionModel, settings: TrainingSettings, processes: Processes) -> None:
        self.settings = settings
        self.own_noise = processes.index if processes.sharded else 0
        scored = _scored(network.plan) if settings.modulation != "none" else {}
        self.heads = tuple(scored.values())
        self.modules = {head: _modules(network, name) for name, head in scored.items()}

    def __call__(self, scores: Mapping[str, float], rows: Mapping[str, int], epoch: int, step: int) -> None:
        """Change the gradients of one step: `scores` are sums of true-class probabilities over the heads' `rows`."""
        last = self.settings.modulation_last_epoch or self.settings.epochs
        if not self.settings.modulation_first_epoch <= epoch + 1 <= last:
            return
        means = {head: scores[head] / rows[head] for head in self.heads if rows[head]}
        for head, factor in factors(means, self.settings.modulation_alpha).items():
            if factor < 1:
                for place, gradient in enumerate(self._gradients(head)):
                    self._hold_back(gradient, factor, seed_of(self.settings.seed, "modulation", epoch, step, head,
                                                              place, self.own_noise))

    @torch.no_grad()
    def _hold_back(self, gradient: Tensor, factor: float, seed: int) -> None:
        """Scale a gradient and add noise of its original standard deviation, the same in every process."""
        deviation = whole(gradient).float().std(correction=0)
        gradient.mul_(factor)
        if self.settings.modulation == "ogm_ge":
            part = own_part(gradient)
            generator = torch.Generator(part.device).manual_seed(seed)
            noise = torch.randn(part.shape, generator=generator, device=part.device)
            part.add_((noise * deviation).to(part.dtype))

    def _gradients(self, head: str) -> Iterator[Tensor]:
        for module in self.modules[head]:
            yield from (parameter.grad for parameter in module.parameters() if parameter.grad is not None)


def factors(means: Mapping[str, float], alpha: float) -> dict[str, float]:
    """The factor for the gradient of each modality: 1 - tanh(alpha rho) where rho > 1, else 1.

    rho is its mean probability of the true class divided by the mean of the others'. A single modality has factor 1.
    """
    found = {}
    for name, own in means.items():
        others = [value for other, value in means.items() if other != name]
        rho = own * len(others) / sum(others) if sum(others) else math.inf * bool(others)
        found[name] = 1 - math.tanh(alpha * rho) if rho > 1 else 1.0
    return found


def _scored(plan: Plan) -> dict[str, str]:
    """For each input, the head that sees it alone: the first with the classes that most such heads have."""
    dependence = dict(_dependence(plan))
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for head in plan.heads:
        seen = dependence[head.name]
        if head.task == "multiclass" and len(seen) == 1:
            groups.setdefault(head.names, {}).setdefault(min(seen), head.name)
    return max(groups.values(), key=len, default={})


def faults(plan: Plan, settings: TrainingSettings) -> list[Diagnostic]:
    """`cannot-modulate` if modulation is on and no two heads with the same classes see one input each."""
    found = list(_scored(plan).values()) if settings.modulation != "none" else ["", ""]
    if len(found) > 1:
        return []
    available = f"there is only {found[0]!r}" if found else "there is none"
    return [Diagnostic(
        "cannot-modulate", f"'modulation' needs two heads of the same classes that see one input each, and {available}",
        plan.graph.inputs[0].span, why="it compares the probability of the true class from each modality alone",
        fix="add a head with the same classes on each encoder: {use: head.classify, from: ENCODER, with: {classes: "
            "[...]}, loss: 0.3}; or set 'modulation: none'")]


def _dependence(plan: Plan) -> Iterator[tuple[str, Inputs]]:
    """For every value, its name and the inputs on which it depends."""
    found: dict[str, Inputs] = {value.name: frozenset({value.name}) for value in plan.inputs}
    for node in plan.nodes:
        values = iter(node.values)
        for lane, inputs in _lanes(node, found):
            count = len(node.values) if not lane else len(node.values) // len(node.lanes)
            found |= {value.name: inputs for value in islice(values, count)}
    yield from found.items()


def _lanes(node: PlannedNode, found: Mapping[str, Inputs]) -> list[tuple[str, Inputs]]:
    """The branches of a node, or '' for the whole node, with the inputs on which each depends."""
    lanes = [(lane.name, frozenset[str]().union(*(found[value.name] for value in lane.reads))) for lane in node.lanes]
    return lanes if node.node.each else [("", lanes[0][1])]


def _modules(network: FusionModel, name: str) -> list[nn.Module]:
    """The modules that depend on a single input: nodes, or branches of `each` without shared weights, but no heads."""
    found, modules = dict(_dependence(network.plan)), []
    for node in network.plan.nodes:
        if node.node.is_head:
            continue
        lanes = _lanes(node, found)
        if node.node.share:
            lanes = [("", frozenset[str]().union(*(inputs for _, inputs in lanes)))]
        modules += [network.get_submodule(f"{node.name}.{lane}" if lane else node.name) for lane, inputs in lanes
                    if inputs == {name}]
    return modules
