"""The check of training methods finds what breaks resuming, launches of several processes and accumulated batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.training.ogm import component as ogm

from fusionkit.api import Config, EpochWindow, Training, TrainingMethod
from fusionkit.testing.conformance import check_component, checks_of


def found(hooks: type, config: type[Config] = EpochWindow) -> str:
    """What the check says of a method with these hooks."""
    finding, = check_component(Training("probe", config, hooks), ["training"])
    return finding.result if finding.result == "ok" else f"{finding.seen} fix: {finding.fix}"


def doing(**hooks: Any) -> type:
    return type("Probe", (TrainingMethod,), hooks)


def each(change: Any) -> Any:
    """A hook `edit` that changes every gradient."""
    def edit(self: Any, modality: str, gradients: Any, view: Any) -> None:
        for name, gradient in gradients.total.items():
            change(self, name, gradient, gradients, view)
    return edit


def test_a_training_method_has_these_checks() -> None:
    assert checks_of(ogm) == ("declaration", "options", "training")


def remembered(self: Any, name: str, gradient: Any, gradients: Any, view: Any) -> None:
    mean = self.state.setdefault(name, torch.zeros_like(gradient))
    mean += gradient / 2
    gradient += mean + 0.01 * gradients.noise(name)


def hidden(self: Any, name: str, gradient: Any, gradients: Any, view: Any) -> None:
    self.count = getattr(self, "count", 0) + 1
    gradient *= 1 + 0.1 * self.count


def test_state_and_noise_are_as_they_should_be() -> None:
    assert found(doing(edit=each(remembered))) == "ok"


@pytest.mark.parametrize(("hooks", "told"), [
    ({"edit": each(lambda self, name, gradient, *_: gradient.add_(torch.randn_like(gradient)))}, "gradients.noise"),
    ({"edit": each(hidden)}, "keep all that it remembers in `state`"),
    ({"edits": each(hidden)}, "with default options it changes nothing"),
    ({"edit": each(lambda self, name, gradient, *_: gradient.div_(0))}, "not finite"),
    ({"edit": each(lambda self, name, gradient, gradients, view: view.weights("first")
                    [next(iter(view.weights("first")))].mul_(2))}, "its hooks change weights"),
    ({"total": lambda self, losses, view: losses["result"]}, "leaves out the loss 'by_first'"),
    ({"total": lambda self, losses, view: torch.stack(list(losses.values()))}, "gives [4] in place of a loss"),
    ({"total": lambda self, losses, view: sum(losses.values()) ** 2}, "a step of two batches"),
    ({"parts": lambda self, modality, view: ["nowhere"]}, "asks for the gradient of the loss 'nowhere'"),
    ({"end_step": lambda self, view: 1 / 0}, "division by zero"),
    ({"end_epoch": lambda self, view: self.state.update(names=[1])}, "neither a number nor a tensor"),
], ids=["own randomness", "hidden state", "misspelt", "not finite", "weights", "left out", "no scalar", "not a sum",
        "unknown loss", "failing", "state"])
def test_what_is_wrong_is_found(hooks: dict[str, Any], told: str) -> None:
    assert told in found(doing(**hooks))


def test_a_class_of_its_own_is_refused() -> None:
    assert "it makes no TrainingMethod" in found(type("Own", (), {"__init__": lambda self, config: None}))


def test_a_requirement_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="write 'heads' or leave it out"):
        Training("probe", Config, TrainingMethod, requires="tails")  # type: ignore[arg-type]
