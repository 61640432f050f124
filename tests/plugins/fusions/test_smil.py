"""SMIL: centres of training cases, what a missing input is made of, the loss, and rows by themselves."""

from __future__ import annotations

from typing import Any

import torch
from fusionkit_plugins.fusions.smil import component

from fusionkit.layers.fitted import TrainingRows

ROWS: list[tuple[Any, ...]] = [
    ("fusion.smil", {"centres": 3, "hidden": 5}, [(5,), (3,), (2,)],
     {"gradients: weigh.*": "the centres are zero until they are fitted"})]
# Two clusters of X and of Y: around 0 and around 10.
X = torch.tensor([[0.0, 0.0], [0.0, 1.0], [10.0, 10.0], [10.0, 11.0], [9.0, 9.0]])
Y = torch.tensor([[1.0], [3.0], [20.0], [22.0], [torch.nan]])
THERE = torch.tensor([[True, True]] * 4 + [[True, False]])


def fitted(build, **options):
    module = build(component, X, Y, **{"centres": 2, "hidden": 5, **options})
    module.fit(TrainingRows([X, Y], THERE, torch.arange(5), torch.arange(5), {}, {}))
    return module


def test_centres_are_those_of_cases_that_have_the_input(build):
    module = fitted(build)
    torch.testing.assert_close(module.centres_0.sort(0).values, torch.tensor([[0.0, 0.5], [29 / 3, 10.0]]))
    torch.testing.assert_close(module.centres_1.sort(0).values, torch.tensor([[2.0], [21.0]]))
    many = fitted(build, centres=7)
    assert {round(float(value), 4) for value in many.centres_1} == {1.0, 3.0, 20.0, 22.0}, "few cases repeat"


def test_a_missing_input_is_a_weighted_sum_of_centres(build):
    module = fitted(build)
    present = torch.tensor([[True, False], [True, True], [False, False]])
    found, _ = module(X[:3], torch.full((3, 1), torch.nan).where(~present[:, 1:], Y[:3]), present=present)
    shares = module.weigh["0_to_1"](X[:1]).softmax(1)
    torch.testing.assert_close(found[0], torch.cat([X[0], (shares @ module.centres_1)[0]]))
    torch.testing.assert_close(found[1], torch.cat([X[1], Y[1]]))
    assert not found[2].any()


def test_the_loss_is_what_the_others_make_of_an_input_that_is_there(build):
    module = fitted(build, weight=0.5)
    present = torch.tensor([[True, True], [True, False]])
    _, loss = module(X[:2], Y[:2].where(present[:, 1:], torch.nan), present=present)
    x = module.weigh["1_to_0"](Y[:1]).softmax(1) @ module.centres_0
    y = module.weigh["0_to_1"](X[:1]).softmax(1) @ module.centres_1
    torch.testing.assert_close(loss, 0.5 * ((x - X[0]).square().mean() + (y - Y[0]).square().mean()) / 2)


def test_learning_to_reconstruct_finds_the_cluster(build):
    module = fitted(build, weight=1.0)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        module(X[:4], Y[:4])[1].backward()
        optimiser.step()
    found = module(X[:4], Y[:4] * torch.nan, present=torch.tensor([[True, False]] * 4))[0][:, 2]
    assert (found[:2] < 5).all() and (found[2:] > 18).all()


def test_a_row_is_computed_as_if_it_were_alone(build):
    module = fitted(build)
    present = torch.tensor([[True, False], [True, True], [False, True]])
    together = module(X[:3], Y[:3], present=present)[0]
    alone = torch.cat([module(X[row : row + 1], Y[row : row + 1], present=present[row : row + 1])[0]
                       for row in range(3)])
    torch.testing.assert_close(together, alone)
