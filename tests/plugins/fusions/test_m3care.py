"""M3Care: what a missing input is taken from, who counts as similar, who is remembered, and rows by themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.fusions.m3care import component

from fusionkit.layers.fitted import TrainingRows

UNFITTED = dict.fromkeys(("gradients: project.*", "gradients: norms.*", "gradients: level"),
                         "the memory is empty until it is fitted, and the loss has no weight")
ROWS: list[tuple[Any, ...]] = [
    ("fusion.m3care", {"memory": 7}, [(5,), (3,)], UNFITTED),
    ("fusion.m3care", {"memory": 5, "similarity": "plain", "neighbours": 2}, [(5,), (3,), (2,)])]
CASES = 7
X, Y = torch.randn(CASES, 3), torch.randn(CASES, 2)
THERE = torch.tensor([[True, True]] * 6 + [[True, False]])
ONLY_X = torch.tensor([[True, False]])


def fitted(build, x=X, y=Y, **options):
    module = build(component, x, y, **{"memory": 7, **options})
    module.fit(TrainingRows([x, y.where(THERE[:, 1:], torch.nan)], THERE, torch.arange(CASES) + 10,
                            torch.arange(CASES), {}, {}))
    return module


def test_a_missing_input_is_that_of_similar_training_cases(build):
    module = fitted(build, similarity="plain", threshold=-30.0)
    apart = torch.cdist(X, X).square()
    width = apart.sum() / (CASES * (CASES - 1))
    shares = (-(X[0] + 0.1 - X).square().sum(1) / width).exp()[:6]
    found = module(X[:1] + 0.1, torch.full((1, 2), torch.nan), present=ONLY_X)[0]
    torch.testing.assert_close(found[0, :3], X[0] + 0.1)
    torch.testing.assert_close(found[0, 3:], (shares / shares.sum()) @ Y[:6])


def test_the_nearest_cases_alone_are_averaged(build):
    module = fitted(build, similarity="plain", neighbours=1, threshold=-30.0)
    found = module(X[2:3] + 0.01, Y[:1] * torch.nan, present=ONLY_X)[0]
    torch.testing.assert_close(found[0, 3:], Y[2])


def test_in_training_a_case_is_no_neighbour_of_itself(build):
    module = fitted(build, similarity="plain", neighbours=1, threshold=-30.0)
    module.cases = torch.tensor([12])
    found = module(X[2:3], Y[:1] * torch.nan, present=ONLY_X)[0]
    others = [place for place in torch.cdist(X[2:3], X)[0].argsort().tolist() if place not in (2, 6)]
    nearest = torch.cdist(X[2:3], X)[0].argsort().tolist()[1]
    torch.testing.assert_close(found[0, 3:], Y[others[0]] if nearest != 6 else torch.zeros(2))


def test_where_nobody_is_similar_the_learned_vector_stands(build):
    module = fitted(build, similarity="plain", threshold=-1.0)
    with torch.no_grad():
        module.stand_in[1].copy_(torch.tensor([5.0, 7.0]))
    found = module(X[:1] + 100, Y[:1], present=ONLY_X)[0]
    assert found[0, 3:].tolist() == [5.0, 7.0]
    unfitted = build(component, X, Y, memory=7)
    assert not unfitted(X[:1], Y[:1], present=ONLY_X)[0][0, 3:].any()


@pytest.mark.parametrize("similarity", ["learned", "plain"])
def test_a_row_is_computed_as_if_it_were_alone_and_neighbours_matter(build, similarity):
    module = fitted(build, similarity=similarity)
    present = torch.tensor([[True, False], [True, True], [False, True]])
    together = module(X[:3], Y[:3], present=present)[0]
    for row in range(3):
        alone = module(X[row:row + 1], Y[row:row + 1], present=present[row:row + 1])[0]
        torch.testing.assert_close(together[row:row + 1], alone)
    module.memory_1.add_(1)
    assert (module(X[:3], Y[:3], present=present)[0][0, 3:] - together[0, 3:]).abs().max() > 1e-3


def test_its_similarity_is_learned_through_the_asking_case(build):
    module = fitted(build, weight=0.1)
    features, loss = module(X[:3], Y[:3], present=torch.tensor([[True, False]] * 3))
    (features.square().sum() + loss).backward()
    assert loss > 0 and module.level.grad.abs() > 0 and module.project[0][0].weight.grad.any()
    assert not module.memory_0.requires_grad


def test_more_cases_than_it_has_room_for_are_spread_evenly(build):
    module = fitted(build, memory=3)
    assert module.numbers.tolist() == [10, 13, 16]
    assert module.there.tolist() == [[True, True], [True, True], [True, False]]
