"""Properties of every graph in training runs: nodes with keys of their own, resuming, and stages without targets."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.errors import GraphError, RunError, UserError
from fusionkit.network.build import build_plan
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan
from fusionkit.runs.stage import without_heads
from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.learning import CASES, UnlabelledCases, advised, data_of, targets_of
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

_EPOCHS = 3
_SETTINGS = {"batch_size": CASES // 2, "learning_rate": 1e-3, "schedule": "constant", "device": "cpu"}


@advised
def it_learns_by_node(graph: DrawnGraph, folder: Path) -> None:
    """Until its epoch nothing in a node changes, and a run that is resumed is the same bit for bit."""
    whole, after = build_plan(graph.plan), dict[int, dict[str, Tensor]]()
    # Buffers of heads hold the class frequencies, which they are given before the first step.
    begun = {name: value for name, value in _state(whole).items()
             if not graph.plan.node(name.partition(".")[0]).node.is_head or name in dict(whole.named_parameters())}
    try:
        _train(whole, _EPOCHS, folder / "whole", after)
        _train(build_plan(graph.plan), _EPOCHS - 1, folder / "parted")
    except UserError as error:
        assert {found.code for found in error.diagnostics} == {"nothing-to-train"}, error
        return
    except RunError:
        return  # a loss that is not finite, which other properties look for
    for node in graph.plan.nodes:
        for epoch, state in after.items():
            if node.node.freeze or epoch < node.node.unfreeze:
                changed = [name for name in begun if name.partition(".")[0] == node.name
                           and not torch.equal(begun[name], state[name])]
                assert not changed, f"{node.name} changes in epoch {epoch}: {changed}"
    parted = build_plan(graph.plan)
    _train(parted, _EPOCHS, folder / "parted", resume=True)
    apart = [name for name, value in _state(parted).items() if not torch.equal(value, whole.state_dict()[name])]
    assert not apart, f"a resumed run gives other weights: {apart}"


def _train(network: FusionModel, epochs: int, folder: Path, after: dict[int, dict[str, Tensor]] | None = None,
           resume: bool = False) -> None:
    """Train, noting the state of the network after the last step of each epoch."""
    def note(epoch: int, step: int, steps: int, loss: float) -> None:
        if after is not None:
            after[epoch] = _state(network)

    fit(network, _LabelledCases(network.plan), None, TrainingSettings.model_validate({**_SETTINGS, "epochs": epochs}),
        folder, resume=resume, progress=note)


def _state(network: FusionModel) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


class _LabelledCases(Dataset[Case]):
    """Cases with normal numbers for inputs, some of which are missing, and made-up targets."""

    def __init__(self, plan: Plan) -> None:
        self.plain, self.targets = UnlabelledCases(plan), targets_of(plan, CASES, 0, torch.float32)

    def __len__(self) -> int:
        return CASES

    def __getitem__(self, index: int) -> Case:
        return {**self.plain[index], "targets": {name: value[index] for name, value in self.targets.items()},
                "target_present": dict.fromkeys(self.targets, True)}


@advised
def its_stage_is_a_part(graph: DrawnGraph) -> None:
    """A stage has the losses without targets and their gradients; a network without such a loss is refused."""
    made = graph.plan
    names = {value.name for node in made.nodes for value in node.values if value.shape.layout == "scalar"}
    try:
        part = without_heads(made)
    except GraphError as error:
        assert not names and [found.code for found in error.diagnostics] == ["no-loss-without-target"], error
        return
    whole, alone = build_plan(made).eval(), build_plan(part).eval()
    inputs = data_of(made, CASES)
    full, found = whole(inputs), alone({value.name: inputs[value.name] for value in part.inputs})
    assert set(found) == names, f"the losses of the stage are {sorted(found)}"
    apart = [name for name in names if not torch.equal(found[name], full[name])]
    assert not apart, f"losses of the stage differ from those of the network: {apart}"
    for losses in (found, full):
        total = torch.stack([losses[name] for name in sorted(names)]).sum()
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
    weights = dict(whole.named_parameters())
    missed = [name for name, weight in alone.named_parameters()
              if not torch.equal(_gradient(weight), _gradient(weights[name]))]
    assert not missed, f"weights with other gradients than in the network: {missed}"
    reached = {name.partition(".")[0] for name, weight in weights.items() if bool(_gradient(weight).any())}
    assert reached <= {node.name for node in part.nodes}, "a loss without target reaches a node that the stage lacks"


def _gradient(weight: torch.nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad
