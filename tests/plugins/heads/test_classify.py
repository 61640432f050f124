"""Classification: losses against torch's own, weights, probabilities, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.heads.classify import Classify, ClassifyConfig
from pydantic import ValidationError
from torch import nn

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Vector

CLASSES = ["a", "b", "c"]


def make(width: int = 7, **options: Any) -> Classify:
    torch.manual_seed(0)
    return Classify(ClassifyConfig(**{"classes": CLASSES, **options}), [Vector((width,))]).eval()


def case() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return 3 * torch.randn(11, 3, generator=random), torch.randint(3, (11,), generator=random)


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_each_case_is_the_formula(weights: list[float] | None, smoothing: float) -> None:
    logits, target = case()
    head = make(class_weights=weights or "none", label_smoothing=smoothing)
    w = torch.tensor(weights or [1.0] * 3)
    log_p = logits - logits.exp().sum(1, keepdim=True).log()
    right = w[target] * log_p[torch.arange(11), target]
    wanted = -(1 - smoothing) * right - smoothing / 3 * (w * log_p).sum(1)
    torch.testing.assert_close(head.loss(logits, target), wanted)
    torch.testing.assert_close(head.loss(logits, target), F.cross_entropy(
        logits, target, w, reduction="none", label_smoothing=smoothing))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_weighs_each_case_by_its_doubt(gamma: float) -> None:
    logits, target = case()
    options: dict[str, Any] = {"class_weights": [0.5, 1.0, 3.0], "label_smoothing": 0.1}
    plain = make(**options).loss(logits, target)
    right = logits.softmax(1)[torch.arange(11), target]
    torch.testing.assert_close(make(gamma=gamma, **options).loss(logits, target), (1 - right) ** gamma * plain)


def test_two_logits_are_the_focal_loss_of_one() -> None:
    random = torch.Generator().manual_seed(2)
    logit = (3 * torch.randn(11, generator=random)).requires_grad_()
    target = torch.randint(2, (11,), generator=random)
    found = make(classes=["no", "yes"], gamma=2.0).loss(torch.stack([torch.zeros_like(logit), logit], 1), target)
    right = torch.where(target == 1, logit, -logit).sigmoid()
    wanted = -((1 - right) ** 2) * right.log()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), logit)[0] for loss in (found, wanted)))


def test_no_exponent_is_cross_entropy_to_the_last_bit() -> None:
    logits, target = case()
    assert torch.equal(make(gamma=0.0).loss(logits, target), F.cross_entropy(logits, target, reduction="none"))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_is_finite_however_sure_the_prediction(gamma: float) -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]], requires_grad=True)
    losses = make(gamma=gamma).loss(logits, torch.tensor([0, 0]))
    losses.sum().backward()
    assert losses.tolist() == [0.0, 2e4]
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_shares_of_classes_are_targets_too() -> None:
    logits, target = case()
    for gamma in (0.0, 2.0):
        head = make(gamma=gamma, class_weights=[0.5, 1.0, 3.0])
        torch.testing.assert_close(head.loss(logits, F.one_hot(target, 3).float()), head.loss(logits, target))


def test_balanced_weights_have_mean_one_over_the_training_cases() -> None:
    head, counts = make(class_weights="balanced"), torch.tensor([6.0, 3.0, 1.0])
    head.balance(counts)
    assert head.weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert (head.weights * counts).sum().item() == pytest.approx(10.0)


def test_a_class_without_cases_has_weight_one() -> None:
    head = make(class_weights="balanced")
    head.balance(torch.tensor([6.0, 0.0, 2.0]))
    assert head.weights.tolist() == pytest.approx([8 / 12, 1.0, 8 / 4])


def test_balanced_weights_are_saved() -> None:
    head, other = make(class_weights="balanced"), make(class_weights="balanced")
    head.balance(torch.tensor([6.0, 3.0, 1.0]))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.weights, head.weights)


def test_counts_change_nothing_unless_asked() -> None:
    for option in ("none", [1.0, 2.0, 3.0]):
        head = make(class_weights=option)
        before = head.weights.clone()
        head.balance(torch.tensor([6.0, 3.0, 1.0]))
        assert torch.equal(head.weights, before)


def test_two_classes_are_two_logits() -> None:
    head = make(classes=["no", "yes"])
    logits = head(torch.rand(5, 7))
    assert logits.shape == (5, 2)
    torch.testing.assert_close(head.decode(logits)[:, 1], (logits[:, 1] - logits[:, 0]).sigmoid())


def test_probabilities_of_half_precision_logits_sum_to_one() -> None:
    logits, target = case()
    head = make()
    probabilities = head.decode(logits.bfloat16())
    assert probabilities.dtype == head.loss(logits.bfloat16(), target).dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(11))


def test_logits_pass_a_head_without_layer() -> None:
    logits, _ = case()
    head = make(3, layer="none")
    assert torch.equal(head(logits), logits)
    assert list(head.parameters()) == []
    with pytest.raises(ComponentError, match="each of its 3 outputs, not 7"):
        make(7, layer="none")


def test_dropout_stands_before_the_hidden_layers() -> None:
    kinds = [type(part) for part in make(hidden=[5, 2], dropout=0.3).layers]
    assert kinds == [nn.Dropout, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


@pytest.mark.parametrize("options", [
    {"classes": ["a"]}, {"classes": ["a", "a"]}, {"classes": ["a", ""]}, {"class_weights": [1.0, 2.0]},
    {"class_weights": [1.0, 0.0, 2.0]}, {"class_weights": "equal"}, {"label_smoothing": 1.0}, {"classes": [0, 1]},
    {"gamma": -1.0}, {"layer": "none", "hidden": [3]}, {"layer": "none", "dropout": 0.1}, {"hidden": [0]},
])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClassifyConfig(**{"classes": CLASSES, **options})
