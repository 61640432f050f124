"""The property of losses over a step: its gradients do not depend on how the cases are divided into batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from fusionkit.components.component import Component
from fusionkit.data.batch import Batch
from fusionkit.network.build import build_plan, plan
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import Registry
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.learning import advised, data_of, masks_of, targets_of
from fusionkit.training.case_numbers import CaseNumbers
from fusionkit.training.distributed import Processes
from fusionkit.training.objective import Objective, arguments, auxiliary
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.step_losses import StepLosses

_CASES = 8
_DIVISIONS = ((3, 5), (1, 6, 1))


def comparing(registry: Registry, ids: Sequence[str]) -> list[str]:
    """The components among these whose loss may compare the cases of a step."""
    loaded = (registry.load(name) for name in ids)
    return [component.id for component in loaded if isinstance(component, Component) and component.cases != "batch"]


@advised
def steps_are_whole(graph: DrawnGraph, seed: int = 0) -> None:
    """The gradients of losses that compare the cases of a step are those of one batch, however the step is divided.

    In evaluation mode, so that neither dropout nor batch norms differ; every component that can compares the step.
    """
    made = plan(_over_step(graph), registry=graph.registry, measured=False)
    batch = _batch(made, seed)
    expected = _gradients(made, [batch])
    for division in _DIVISIONS:
        found = _gradients(made, list(_divided(batch, division)))
        assert found.keys() == expected.keys(), f"a step of {division} cases reaches other weights"
        for name, value in found.items():
            near = 1e-6 * float(expected[name].abs().max()) + 1e-9
            assert torch.allclose(value, expected[name], rtol=1e-6, atol=near), (
                f"a step of {division} cases changes the gradient of {name} by "
                f"{float((value - expected[name]).abs().max())}")


def _over_step(graph: DrawnGraph) -> dict[str, Any]:
    data = deepcopy(graph.data)
    for node in data["nodes"].values():
        for step in node.get("chain", [node]):
            if isinstance(step, dict) and step.get("use") in graph.registry.ids:
                component = graph.registry.load(step["use"])
                cases = getattr(component, "cases", "batch")
                if cases in component.config.model_fields:
                    given = {key: value for key, value in step.get("with", {}).items() if key != "bank"}
                    step["with"] = {**given, cases: "step"}
    return data


def _batch(made: Plan, seed: int) -> Batch:
    inputs = {name: value.double() for name, value in data_of(made, _CASES, seed).items()}
    present = {name: torch.ones(_CASES, dtype=torch.bool) for name in inputs} | masks_of(made, _CASES, seed)
    known = torch.rand(_CASES, generator=torch.Generator().manual_seed(seed)) < 0.8
    heads = [head.name for head in made.heads]
    return Batch(inputs, present, targets_of(made, _CASES, seed, torch.float64), dict.fromkeys(heads, known),
                 torch.arange(_CASES))


def _divided(batch: Batch, division: Sequence[int]) -> Iterator[Batch]:
    for rows in torch.split(torch.arange(_CASES), list(division)):
        def part(tensors: Mapping[str, Tensor], rows: Tensor = rows) -> dict[str, Tensor]:
            return {name: value[rows] for name, value in tensors.items()}

        yield Batch(part(batch.inputs), part(batch.present), part(batch.targets), part(batch.target_present),
                    batch.index[rows])


def _gradients(made: Plan, batches: Sequence[Batch]) -> dict[str, Tensor]:
    """The gradients of the losses over a step, as the trainer computes them."""
    network = build_plan(made).double().eval()
    objective = Objective(network)
    with TemporaryDirectory() as folder:
        processes = Processes(TrainingSettings.model_validate({"device": "cpu"}), Path(folder))
    losses = StepLosses(objective, processes, CaseNumbers((), 0))
    names = [*objective.over_step, *(name for name in auxiliary(network) if _compares(network, name))]
    first = losses.first_pass(batches, lambda batch: batch, _CASES) if losses.needs_two_passes(batches) else None
    for place, batch in enumerate(batches):
        given = arguments(network, batch)
        if first is None:
            results = objective(*given)
        else:
            with losses.second_pass(first[place]):
                results = objective(*given, shares=first[place].heads)
        total = sum((results[name] * (1.0 if name in objective.over_step else len(batch) / _CASES) for name in names),
                    torch.zeros((), dtype=torch.float64))
        if total.requires_grad:
            total.backward()
    return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


def _compares(network: FusionModel, name: str) -> bool:
    lanes = network.plan.node(name.partition(".")[0]).lanes
    return any(call.component.over_step(call.config) for lane in lanes for call in lane.calls)
