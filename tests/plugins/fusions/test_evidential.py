from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.evidential import combined, component
from torch.nn import functional as F

X, Y, Z = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1)).unbind(0)
GONE = torch.full_like(Y, float("nan"))
SOME = torch.tensor([[True, False, True]] * 5)


def dempster(one, other):
    """The paper's rule for two views: evidence (B, K) each to the evidence of both, and their conflict."""
    count = one.shape[1]
    (b1, u1), (b2, u2) = ((e / (e.sum(1, keepdim=True) + count), count / (e.sum(1, keepdim=True) + count))
                          for e in (one, other))
    products = b1.unsqueeze(2) * b2.unsqueeze(1)
    strife = products.sum((1, 2)) - products.diagonal(dim1=1, dim2=2).sum(1)
    strife = strife.unsqueeze(1)
    belief, doubt = (b1 * b2 + b1 * u2 + b2 * u1) / (1 - strife), u1 * u2 / (1 - strife)
    return belief * count / doubt, strife


def test_three_views_are_the_pairwise_rule_twice(build):
    e = [F.softplus(x) for x in (X, Y, Z)]
    wanted = dempster(dempster(e[0], e[1])[0], e[2])[0]
    torch.testing.assert_close(combined(torch.stack(e, 1).unsqueeze(2)).squeeze(1), wanted, rtol=1e-4, atol=1e-4)
    logits, doubt, strife = build(component, X, Y, Z)(X, Y, Z)
    alpha = wanted + 1
    torch.testing.assert_close(logits.softmax(1), alpha / alpha.sum(1, keepdim=True))
    torch.testing.assert_close(logits.exp(), alpha, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(doubt, 7 / alpha.sum(1, keepdim=True))
    pairs = torch.stack([dempster(e[i], e[j])[1] for i, j in ((0, 1), (0, 2), (1, 2))])
    torch.testing.assert_close(strife, pairs.amax(0))


def test_an_absent_view_is_exactly_none(build):
    for task in ("multiclass", "multilabel"):
        found = build(component, X, Y, Z, task=task)(X, GONE, Z, present=SOME)
        for part, wanted in zip(found, build(component, X, Z, task=task)(X, Z), strict=True):
            torch.testing.assert_close(part, wanted, rtol=1e-6, atol=1e-6)


def test_a_single_view_is_its_own_dirichlet(build):
    logits, doubt, strife = build(component, X)(X)
    alpha = F.softplus(X) + 1
    torch.testing.assert_close(logits, alpha.log())
    torch.testing.assert_close(doubt, 7 / alpha.sum(1, keepdim=True))
    assert not strife.any()


def test_doubt_only_falls_and_contradiction_shows_in_the_conflict_alone(build):
    sure, other = torch.tensor([[1e6, -9.0, -9.0]]), torch.tensor([[-9.0, 1e6, -9.0]])
    logits, doubt, strife = build(component, sure, other)(sure, other)
    assert logits[0, 0].item() == pytest.approx(logits[0, 1].item(), abs=1e-5)
    assert doubt.item() < 1e-5
    assert strife.item() > 0.99
    singles = torch.stack([build(component, x)(x)[1] for x in (X, Y)])
    assert (build(component, X, Y)(X, Y)[1] <= singles.amin(0)).all()


def test_each_label_is_a_beta(build):
    logits, doubt, strife = build(component, X, Y, task="multilabel")(X, Y)
    assert doubt.shape == strife.shape == X.shape
    for label in range(7):
        views = [F.softplus(torch.stack([v[:, label], -v[:, label]], 1)) for v in (X, Y)]
        evidence, conflict = dempster(*views)
        alpha = evidence + 1
        torch.testing.assert_close(logits[:, label].sigmoid(), (alpha / alpha.sum(1, keepdim=True))[:, 0])
        torch.testing.assert_close(doubt[:, label], 2 / alpha.sum(1))
        torch.testing.assert_close(strife[:, label], conflict.squeeze(1))


def test_many_sure_views_stay_finite(build):
    views = [torch.full((2, 3), 1e30)] * 4
    for part in build(component, *views)(*views):
        assert part.isfinite().all()
