"""The kit's check of optimisers finds what is wrong with one, and passes what is right."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adam, Optimizer

from fusionkit.api import Config, Optimiser
from fusionkit.testing.conformance import Kit

Groups = list[dict[str, Any]]


def sound(groups: Groups, config: Config) -> Optimizer:
    return SGD(groups, momentum=0.9)


class Noisy(SGD):
    """Draws from Python's random numbers."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["lr"] *= random.random()
        super().step()


class Forgetful(SGD):
    """Counts its steps outside of its state."""

    count = 0

    def step(self, closure: Any = None) -> None:
        self.count += 1
        for group in self.param_groups:
            group["lr"] /= self.count
        super().step()


class Stubborn(SGD):
    """Always has its own rate."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["lr"] = 0.1
        super().step()


class Decaying(SGD):
    """Changes weights without a gradient."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        super().step()
        for group in self.param_groups:
            for weight in group["params"]:
                weight.mul_(0.9)


class Hoarding(SGD):
    """Has state that no file holds."""

    def step(self, closure: Any = None) -> None:
        super().step()
        self.state[self.param_groups[0]["params"][0]]["notes"] = {"a": 1}


class Partial(SGD):
    """Changes matrices alone."""

    def step(self, closure: Any = None) -> None:
        for weight in self.param_groups[1]["params"]:
            weight.grad = None
        super().step()


def one_group(groups: Groups, config: Config) -> Optimizer:
    return SGD([weight for group in groups for weight in group["params"]], lr=0.1)


def own_decay(groups: Groups, config: Config) -> Optimizer:
    return Adam([{**group, "weight_decay": 0.5} for group in groups])


def no_optimiser(groups: Groups, config: Config) -> Any:
    return groups


def finding(module: Callable[..., Any]) -> Any:
    return Kit(Optimiser("it", Config, module)).finding("optimiser")


def test_a_sound_optimiser_passes() -> None:
    assert finding(sound).result == "ok"


@pytest.mark.parametrize(("module", "seen"), [
    (lambda groups, config: Noisy(groups), "two runs from the same seeds differ"),
    (lambda groups, config: Forgetful(groups), "a run that is saved and resumed differs"),
    (lambda groups, config: Stubborn(groups), "the learning rate changes nothing"),
    (lambda groups, config: Decaying(groups), "it changes weights without a gradient"),
    (lambda groups, config: Hoarding(groups), "the state 'notes' of this optimiser cannot be saved"),
    (lambda groups, config: Partial(groups), "do not change bias, scalar"),
    (one_group, "it does not keep the groups"), (own_decay, "its groups lose their weight decay"),
    (no_optimiser, "it gives a list"),
])
def test_what_is_wrong_is_seen(module: Callable[..., Any], seen: str) -> None:
    found = finding(module)
    assert found.result == "failed" and seen in found.seen and found.fix
