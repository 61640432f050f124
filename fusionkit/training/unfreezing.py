"""Nodes that begin to learn in a later epoch: until then they are as frozen, and the optimiser does not know them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.optim import Optimizer

from fusionkit.errors import Diagnostic
from fusionkit.planning.plan import Plan
from fusionkit.training.optimiser import make_optimiser
from fusionkit.training.step import Stepper


class Unfreezing:
    """Which nodes of a run learn, epoch by epoch; a network without `unfreeze` stays as it is."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.begins = begins(stepper.network.plan)
        self._held: frozenset[str] = frozenset()
        # By name: sharding a network replaces its weights.
        self._learning = {name: [key for key, weight in self._weights(name).items() if weight.requires_grad]
                          for name in self.begins}
        self.enter(1)

    @property
    def last(self) -> int:
        """The epoch, from 1, from which all learn that ever do."""
        return max(self.begins.values(), default=1)

    def enter(self, epoch: int) -> None:
        """Let the nodes learn that do so in an epoch, counted from 1, and hold the others.

        The optimiser is made anew with the state of the weights that it had; that of the others begins.
        """
        held = frozenset(name for name, first in self.begins.items() if first > epoch)
        if held == self._held:
            return
        self._held = held
        for name, keys in self._learning.items():
            weights = self._weights(name)
            for key in keys:
                weights[key].requires_grad_(name not in held)
        stepper = self.stepper
        stepper.network.hold(held)
        made = make_optimiser(stepper.network, stepper.settings)
        _carry_over(stepper.optimiser, made)
        stepper.optimiser = stepper.processes.prepare_optimiser(made)
        stepper.method.view.own.clear()  # which weights a modality has, found anew in the next step

    def _weights(self, name: str) -> Mapping[str, nn.Parameter]:
        return dict(self.stepper.network.get_submodule(name).named_parameters())


def begins(plan: Plan) -> dict[str, int]:
    """The nodes that do not learn from the beginning, and the epoch, counted from 1, from which they do."""
    return {node.name: node.node.unfreeze for node in plan.nodes if node.node.unfreeze > 1}


def never_learning(plan: Plan, epochs: int) -> list[Diagnostic]:
    """A warning for each node that would begin to learn after the last epoch."""
    return [Diagnostic("never-unfrozen", f"node {name!r} never learns: the run has {epochs} epochs and it begins in "
                       f"epoch {first}", plan.node(name).node.span,
                       fix="set a smaller 'unfreeze' or larger 'epochs', or write 'freeze: true'", severity="warning")
            for name, first in begins(plan).items() if first > epochs]


def _carry_over(before: Optimizer, made: Optimizer) -> None:
    """Give an optimiser the state of one that had its first groups, or some of them where nothing has run yet."""
    for old, new in zip(before.param_groups, made.param_groups, strict=False):
        if [id(weight) for weight in old["params"]] == [id(weight) for weight in new["params"]]:
            new.update({key: value for key, value in old.items() if key != "params"})
    kept = {weight for group in made.param_groups for weight in group["params"]}
    made.state.update({weight: state for weight, state in before.state.items() if weight in kept})
