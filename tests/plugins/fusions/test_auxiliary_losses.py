"""Auxiliary losses between inputs that pass: each against formulas of its own, rows and pairs that are there alone."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.pairs import mean_over_pairs
from fusionkit_plugins.fusions import align_cosine, distil, infonce, jensen_shannon, orthogonal
from torch.distributions import Bernoulli, Categorical, kl_divergence

import fusionkit
from fusionkit.components.config import ComponentError

X, Y, Z = torch.randn(7, 5), torch.randn(7, 5), torch.randn(7, 5)
WIDE = torch.randn(7, 11)
COMPONENTS = [module.component for module in (align_cosine, distil, infonce, jensen_shannon, orthogonal)]
ALL = pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.id)
PRESENT = torch.tensor([[True, True, True]] * 3 + [[True, False, True], [False, True, False], [False] * 3,
                        [True, True, False]])


def entropy(p: torch.Tensor) -> torch.Tensor:
    return -(p * p.log()).sum(-1)


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """By entropies: H(m) - (H(p) + H(q)) / 2."""
    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def coins(logits: torch.Tensor) -> torch.Tensor:
    return torch.stack([logits.sigmoid(), (-logits).sigmoid()], -1)


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def contrast(a: torch.Tensor, b: torch.Tensor, scale: float = 1 / 0.07) -> torch.Tensor:
    scores = scale * F.normalize(a) @ F.normalize(b).T
    place = torch.arange(len(a))
    return (F.cross_entropy(scores, place) + F.cross_entropy(scores.T, place)) / 2


@ALL
def test_inputs_pass_as_they_are(component, build):
    *given, loss = build(component, X, Y, Z)(X, Y, Z)
    assert all(part is x for part, x in zip(given, (X, Y, Z), strict=True))
    assert loss.shape == () and loss > 0


@ALL
def test_a_weight_multiplies_the_loss(component, build):
    torch.manual_seed(3)
    single = build(component, X, Y, weight=1.0)(X, Y)[-1]
    torch.manual_seed(3)
    torch.testing.assert_close(build(component, X, Y, weight=2.5)(X, Y)[-1], 2.5 * single)


@ALL
def test_absent_rows_come_back_as_zeros_and_leave_the_loss(component, build):
    """The mean over pairs of what the rows that have both would give alone."""
    module = build(component, X, Y, Z)
    *given, loss = module(X, Y, Z, present=PRESENT)
    for part, x, there in zip(given, (X, Y, Z), PRESENT.unbind(1), strict=True):
        assert torch.equal(part, x.where(there[:, None], 0))
    alone = []
    for a, b in [(0, 1), (0, 2)] if component.name == "distil" else combinations(range(3), 2):
        both = PRESENT[:, a] & PRESENT[:, b]
        mask = torch.zeros(int(both.sum()), 3, dtype=torch.bool)
        mask[:, [a, b]] = True
        alone.append(module(X[both], Y[both], Z[both], present=mask)[-1])
    torch.testing.assert_close(loss, torch.stack(alone).mean())


@ALL
def test_a_pair_that_no_row_has_leaves_the_mean(component, build):
    module = build(component, X, Y, Z)
    present = torch.tensor([[True, True, False]] * 7)
    loss = module(X, Y, Z, present=present)[-1]
    torch.testing.assert_close(loss, module(X, Y, X, present=present)[-1])
    assert loss > 0
    assert module(X, Y, Z, present=torch.eye(3, dtype=torch.bool)[torch.arange(7) % 3])[-1] == 0


@pytest.mark.parametrize("component", [component for component in COMPONENTS if component.name != "distil"],
                         ids=lambda component: component.id)
def test_one_input_has_nothing_to_be_compared_with(component, build):
    with pytest.raises(ComponentError, match="is given one"):
        build(component, X)


def test_infonce_compares_projections_pair_by_pair(build):
    module = build(infonce.component, X, Y, WIDE, width=13, weight=1.0)
    a, b, c = (layer(x) for layer, x in zip(module.project.layers, (X, Y, WIDE), strict=True))
    loss = module(X, Y, WIDE)[-1]
    torch.testing.assert_close(loss, (contrast(a, b) + contrast(a, c) + contrast(b, c)) / 3)
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def test_infonce_compares_inputs_of_equal_width_as_they_are(build):
    module = build(infonce.component, X, Y, width=None, weight=1.0)
    torch.testing.assert_close(module(X, Y)[-1], contrast(X, Y))
    with pytest.raises(ComponentError, match="5 and 11"):
        build(infonce.component, X, WIDE, width=None)


def test_distillation_is_the_divergence_from_the_teacher(build):
    module = build(distil.component, X, Y, Z, temperature=3.0)
    teacher = Categorical(logits=X / 3)
    expected = sum(9 * kl_divergence(teacher, Categorical(logits=s / 3)).mean() for s in (Y, Z)) / 2
    torch.testing.assert_close(module(X, Y, Z)[-1], expected)


def test_distillation_of_labels_is_that_of_coins(build):
    module = build(distil.component, X, Y, task="multilabel", temperature=3.0)
    expected = 9 * kl_divergence(Bernoulli(logits=X / 3), Bernoulli(logits=Y / 3)).mean()
    torch.testing.assert_close(module(X, Y)[-1], expected)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_loss_teaches_the_student_alone(task, build):
    teacher, student = X.clone().requires_grad_(), Y.clone().requires_grad_()
    module = build(distil.component, X, Y, task=task)
    module(teacher, student)[-1].backward()
    assert teacher.grad is None and student.grad is not None and student.grad.any()
    assert module(X, X)[-1].abs() < 1e-6
    module(teacher, student)[0].sum().backward()
    assert teacher.grad is not None, "what passes must carry gradients to the teacher"


def test_jensen_shannon_of_classes_and_of_features(build):
    classes = build(jensen_shannon.component, X, Y, Z)
    p, q, r = (x.softmax(1) for x in (X, Y, Z))
    expected = torch.stack([divergence(p, q), divergence(p, r), divergence(q, r)]).mean()
    torch.testing.assert_close(classes(X, Y, Z)[-1], expected)
    features = build(jensen_shannon.component, X, Y, bernoulli=True)
    torch.testing.assert_close(features(X, Y)[-1], divergence(coins(X), coins(Y)).mean())


@pytest.mark.parametrize("bernoulli", [False, True])
def test_jensen_shannon_is_symmetric_and_bounded_by_ln_2(bernoulli, build):
    module = build(jensen_shannon.component, X, Y, bernoulli=bernoulli)
    torch.testing.assert_close(module(X, Y)[-1], module(Y, X)[-1])
    one = torch.tensor([[90.0, -90.0, -90.0]])
    assert module(one, -one if bernoulli else one.roll(1, 1))[-1].item() == pytest.approx(math.log(2))
    assert module(X, X)[-1].abs() < 1e-6


def test_orthogonality_is_the_mean_cosine_without_its_sign(build):
    every = build(orthogonal.component, X, Y, Z)(X, Y, Z)[-1]
    pairs = [cosine(X, Y).abs().mean(), cosine(X, Z).abs().mean(), cosine(Y, Z).abs().mean()]
    torch.testing.assert_close(every, torch.stack(pairs).mean())
    first = build(orthogonal.component, X, Y, Z, pairs="first")(X, Y, Z)[-1]
    torch.testing.assert_close(first, torch.stack(pairs[:2]).mean())


def test_cosine_alignment_is_zero_for_one_direction(build):
    module = build(align_cosine.component, X, Y, weight=1.0)
    torch.testing.assert_close(module(X, Y)[-1], (1 - cosine(X, Y)).mean())
    assert module(X, 3 * X)[-1].abs() < 1e-6


def test_a_mean_over_pairs_weighs_pairs_and_not_rows():
    """Six rows have the first pair, one has the second: each pair counts once."""
    ones, present = [torch.full((7,), float(value)) for value in (0, 1, 5)], torch.zeros(7, 3, dtype=torch.bool)
    present[:6, :2] = True
    present[6] = torch.tensor([True, False, True])
    assert mean_over_pairs(lambda a, b: b - a, ones, present) == pytest.approx((1 + 5) / 2)


def test_between_encoders_and_a_fusion_it_changes_nothing_but_the_loss():
    def made(fused: str):
        nodes = {"left": {"use": "encoder.mlp", "from": "a", "with": {"width": 5}},
                 "right": {"use": "encoder.mlp", "from": "b", "with": {"width": 5}},
                 "near": {"use": "fusion.infonce", "from": ["left", "right"]},
                 "fused": {"use": "fusion.mean", "from": fused if fused == "near" else ["left", "right"]},
                 "out": {"use": "head.classify", "from": "fused", "with": {"classes": ["no", "yes"]}}}
        if fused != "near":
            del nodes["near"]
        inputs = {name: {"vector": [3], "optional": True} for name in ("a", "b")}
        return fusionkit.build({"fusionkit": 1, "inputs": inputs, "nodes": nodes}).eval()

    with_loss, without = made("near"), made("plain")
    given = {name: torch.randn(7, 3) for name in ("a", "b")}
    present = {"a": PRESENT[:, 0], "b": PRESENT[:, 1]}
    results = with_loss(given, present)
    assert set(results) == {"out", "near.loss_infonce"} and results["near.loss_infonce"] > 0
    assert torch.equal(results["out"], without(given, present)["out"])
    assert torch.equal(with_loss.validity(present)["out"], without.validity(present)["out"])
