"""Fusions of predictions by fixed rules or a few weights: weighted mean, maximum, vote, product, stack."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import late_confidence, late_max, late_mean, late_poe, late_vote, late_weighted, stacking

from fusionkit.components.config import ComponentError

X, Y, Z = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1)).unbind(0)
P, Q, R = (x.softmax(1) for x in (X, Y, Z))
GONE = torch.full_like(Y, float("nan"))
SOME = torch.tensor([[True, False, True]] * 5)
LABELS = {"task": "multilabel"}
EVERY = [(late_weighted.component, {}), (late_max.component, {}), (late_max.component, {"pick": "most_confident"}),
         (late_vote.component, {}), (late_poe.component, {}), (late_poe.component, {"weights": "geomean"}),
         (late_confidence.component, {}), (late_confidence.component, {"measure": "energy"})]
LEARNING = [row for row in EVERY if row[0].name != "late_vote"]


@pytest.mark.parametrize(("component", "options"), EVERY)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_without_a_predictor_it_is_the_fusion_of_the_others(build, component, options, task):
    given = build(component, X, Y, Z, task=task, **options)(X, GONE, Z, present=SOME)
    torch.testing.assert_close(given, build(component, X, Z, task=task, **options)(X, Z))


@pytest.mark.parametrize(("component", "options"), LEARNING)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_one_predictor_alone_keeps_its_probabilities(build, component, options, task):
    found = build(component, X, task=task, **options)(X)
    read = (lambda x: x.softmax(1)) if task == "multiclass" else torch.sigmoid
    torch.testing.assert_close(read(found), read(X))


@pytest.mark.parametrize(("component", "options"), LEARNING)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_certain_predictors_that_disagree_stay_finite(build, component, options, task):
    x, y = torch.tensor([[500.0, -500.0]]), torch.tensor([[-500.0, 500.0]])
    module, leaf = build(component, x, y, task=task, **options), x.clone().requires_grad_()
    found = module(leaf, y)
    torch.testing.assert_close(found[:, 0], found[:, 1])
    assert found.isfinite().all()
    found.sum().backward()
    assert leaf.grad.isfinite().all()


def test_weights_start_equal_so_that_it_begins_as_the_late_mean(build):
    for options in ({}, LABELS, {"space": "logit"}):
        torch.testing.assert_close(build(late_weighted.component, X, Y, Z, **options)(X, Y, Z),
                                   build(late_mean.component, X, Y, Z, **options)(X, Y, Z))


def test_given_weights_by_hand(build, count):
    module = build(late_weighted.component, X, Y, Z, weights=[1.0, 5.0, 3.0])
    torch.testing.assert_close(module(X, Y, Z).softmax(1), (P + 5 * Q + 3 * R) / 9)
    torch.testing.assert_close(module(X, GONE, Z, present=SOME).softmax(1), (P + 3 * R) / 4)
    torch.testing.assert_close(module.weights(SOME)[0, :, 0], torch.tensor([0.25, 0.0, 0.75]))
    assert count(module) == 0
    logit = build(late_weighted.component, X, Y, weights=[1.0, 3.0], space="logit")
    torch.testing.assert_close(logit(X, Y), (X + 3 * Y) / 4)


def test_a_weight_for_each_class(build, count):
    module = build(late_weighted.component, X, Y, per_class=True)
    assert count(module) == 2 * 7
    with torch.no_grad():
        module.scores.normal_()
    w = module.scores.softmax(0)
    mixed = w[0] * P + w[1] * Q
    torch.testing.assert_close(module(X, Y).exp(), mixed / mixed.sum(1, keepdim=True))
    labels = build(late_weighted.component, X, Y, per_class=True, **LABELS)
    labels.load_state_dict(module.state_dict())
    torch.testing.assert_close(labels(X, Y).sigmoid(), w[0] * X.sigmoid() + w[1] * Y.sigmoid())


def test_given_weights_must_fit(build):
    for options in ({"weights": [1.0]}, {"weights": [1.0, 2.0], "per_class": True}):
        with pytest.raises(ComponentError, match="for 2 predictors"):
            build(late_weighted.component, X, Y, **options)


def test_the_largest_probability_of_each_class(build):
    largest = torch.stack([P, Q, R]).amax(0)
    found = build(late_max.component, X, Y, Z)(X, Y, Z)
    torch.testing.assert_close(found.exp(), largest / largest.sum(1, keepdim=True))
    labels = build(late_max.component, X, Y, **LABELS)(X, Y)
    torch.testing.assert_close(labels.sigmoid(), torch.maximum(X.sigmoid(), Y.sigmoid()))


def test_the_surest_predictor_alone(build):
    surest = torch.stack([P.amax(1), Q.amax(1), R.amax(1)]).argmax(0)
    assert len(surest.unique()) > 1
    wanted = torch.stack([P, Q, R])[surest, torch.arange(5)]
    torch.testing.assert_close(build(late_max.component, X, Y, Z, pick="most_confident")(X, Y, Z).exp(), wanted)
    labels = build(late_max.component, X, Y, pick="most_confident", **LABELS)(X, Y)
    torch.testing.assert_close(labels, torch.where(X.abs() > Y.abs(), X, Y))


@pytest.mark.parametrize(("first", "votes"), [
    (0, [[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 1.0, 0.0]]),
    (1, [[0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]),
    (0, [[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]]),
])
def test_most_votes_then_larger_probability_then_the_lower_class(build, first, votes):
    logits = [torch.tensor([row]).clamp(min=1e-9).log() for row in votes]
    assert build(late_vote.component, *logits)(*logits).argmax(1).tolist() == [first]


def test_the_probability_is_the_share_of_votes(build):
    sure, other = torch.tensor([[40.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.1, 0.0]])
    found = build(late_vote.component, sure, sure, other)(sure, sure, other).softmax(1)
    torch.testing.assert_close(found, torch.tensor([[2 / 3, 1 / 3, 0.0]]))
    tied = build(late_vote.component, sure, other)(sure, other).softmax(1)
    torch.testing.assert_close(tied, torch.tensor([[1.5, 1.0, 0.0]]) / 2.5)


def test_labels_are_voted_on_one_by_one(build):
    found = build(late_vote.component, X, Y, Z, **LABELS)(X, Y, Z)
    assert torch.equal(found > 0, (torch.stack([X, Y, Z]) > 0).sum(0) >= 2)
    tied = build(late_vote.component, X, Y, **LABELS)(X, Y)
    assert torch.equal(tied > 0, (X.sigmoid() + Y.sigmoid()) > 1)


def test_no_gradient_passes_a_vote(build):
    assert not build(late_vote.component, X, Y)(X.clone().requires_grad_(), Y).requires_grad


def test_the_product_of_probabilities(build):
    product = P * Q * R
    found = build(late_poe.component, X, Y, Z)(X, Y, Z).exp()
    torch.testing.assert_close(found, product / product.sum(1, keepdim=True))
    root = product ** (1 / 3)
    found = build(late_poe.component, X, Y, Z, weights="geomean")(X, Y, Z).exp()
    torch.testing.assert_close(found, root / root.sum(1, keepdim=True))


def test_independent_evidence_counts_the_prior_once(build):
    """Bayes: predictors that each saw independent evidence give, together, what one that saw all would."""
    prior = torch.tensor([0.2, 0.3, 0.5])
    likelihoods = torch.rand(3, 5, 3)
    posteriors = [(prior * one / (prior * one).sum(1, keepdim=True)).log() for one in likelihoods]
    together = prior * likelihoods.prod(0)
    module = build(late_poe.component, *posteriors, prior=[2.0, 3.0, 5.0])
    torch.testing.assert_close(module(*posteriors).exp(), together / together.sum(1, keepdim=True))
    some = prior * likelihoods[0] * likelihoods[2]
    torch.testing.assert_close(module(*posteriors, present=SOME).exp(), some / some.sum(1, keepdim=True))
    shares, yes, no = torch.tensor([0.1, 0.6]), *torch.rand(2, 2, 5, 2)
    scores = [(shares * y / ((1 - shares) * n)).log() for y, n in zip(yes, no, strict=True)]
    labels = build(late_poe.component, *scores, prior=shares.tolist(), **LABELS)
    torch.testing.assert_close(labels(*scores), (shares * yes.prod(0) / ((1 - shares) * no.prod(0))).log())


def test_learned_exponents_start_at_one(build, count):
    module = build(late_poe.component, X, Y, weights="learned")
    assert count(module) == 2
    torch.testing.assert_close(module(X, Y), (X + Y).log_softmax(1))
    with torch.no_grad():
        module.exponents.copy_(torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(module(X, Y), (2 * X + Y / 2).log_softmax(1))


@pytest.mark.parametrize(("prior", "options", "message"), [([0.5], {}, "1 numbers for 7 scores"),
                                                           ([1.5] * 7, LABELS, "below 1")])
def test_a_prior_must_fit(build, prior, options, message):
    with pytest.raises(ComponentError, match=message):
        build(late_poe.component, X, Y, prior=prior, **options)


def test_the_surer_counts_for_more(build):
    entropies = torch.stack([-(p * p.log()).sum(1) for p in (P, Q)])
    w = (-entropies / 0.5).softmax(0).unsqueeze(2)
    found = build(late_confidence.component, X, Y, temperature=0.5)(X, Y)
    torch.testing.assert_close(found.exp(), w[0] * P + w[1] * Q)
    w = torch.stack([X.logsumexp(1), Y.logsumexp(1)]).softmax(0).unsqueeze(2)
    found = build(late_confidence.component, X, Y, measure="energy", space="logit")(X, Y)
    torch.testing.assert_close(found, w[0] * X + w[1] * Y)


def test_labels_are_weighed_one_by_one(build):
    p, q = X.sigmoid(), Y.sigmoid()
    w = torch.stack([p * p.log() + (1 - p) * (1 - p).log(), q * q.log() + (1 - q) * (1 - q).log()]).softmax(0)
    torch.testing.assert_close(build(late_confidence.component, X, Y, **LABELS)(X, Y).sigmoid(), w[0] * p + w[1] * q)
    w = torch.stack([2 * (X / 2).cosh(), 2 * (Y / 2).cosh()])
    wanted = (w[0] * p + w[1] * q) / w.sum(0)
    found = build(late_confidence.component, X, Y, measure="energy", **LABELS)(X, Y)
    torch.testing.assert_close(found.sigmoid(), wanted)


def test_a_learned_temperature_is_one_number(build, count):
    module = build(late_confidence.component, X, Y, learned=True, temperature=3.0)
    assert count(module) == 1
    assert module.log_temperature.exp().item() == pytest.approx(3.0)
    assert count(build(late_confidence.component, X, Y)) == 0


def test_a_stack_starts_as_the_mean_and_reads_who_is_there(build, count):
    module = build(stacking.component, X, Y, Z)
    assert count(module) == (3 * 7 + 3 + 1) * 7
    torch.testing.assert_close(module(X, Y, Z), (X + Y + Z) / 3)
    with torch.no_grad():
        module.layer.weight.normal_()
        module.layer.bias.normal_()
    bits = torch.tensor([[1.0, 0.0, 1.0]]).expand(5, 3)
    wanted = module.layer(torch.cat([X, torch.zeros(5, 7), Z, bits], 1))
    torch.testing.assert_close(module(X, GONE, Z, present=SOME), wanted)
