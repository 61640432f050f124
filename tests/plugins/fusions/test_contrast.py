"""Losses between cases: recorded contrastive losses, covariances and distributions against plain formulas, absence."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
import yaml
from fusionkit_plugins.fusions import align_coral, align_mmd, infonce, ntxent
from recorded import GOLDEN

import fusionkit
from fusionkit.conversion.verification.check import check

FOLDER = GOLDEN / "methods" / "contrast"
X, Y, Z = (torch.randn(7, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
SETS = [align_coral.component, align_mmd.component]
HALF = torch.tensor([[True, False]] * 3 + [[True, True]] * 2 + [[False, True]] * 2)


@pytest.mark.parametrize("name", ["clip_b4", "clip_b5_lambda03", "ntxent_b3_t05", "ntxent_b4"])
def test_recorded_numbers_are_reproduced(name):
    found = check("fusion.infonce" if name.startswith("clip") else "fusion.ntxent", FOLDER / f"{name}.npz")
    assert found.ok, [row for row in found.rows if not row.ok]


def test_a_fixed_temperature_is_no_parameter_and_a_learned_one_is(build):
    assert not [*build(infonce.component, X, Y, width=None, learned=False).parameters()]
    assert len([*build(infonce.component, X, Y, width=None).parameters()]) == 1


def test_views_of_cases_that_lack_one_are_left_out(build):
    module, both = build(ntxent.component, X, Y), HALF.all(1)
    found = module(X.where(HALF[:, :1], torch.nan), Y.where(HALF[:, 1:], torch.nan), present=HALF)
    torch.testing.assert_close(found[2], module(X[both], Y[both])[2])
    assert module(X[:1], Y[:1])[2] == 0


def covariance_gap(x, y):
    return (torch.cov(x.T) - torch.cov(y.T)).square().sum() / (4 * 3 ** 2)


def discrepancy(x, y):
    points = torch.cat([x, y])
    width = torch.stack([(a - b).square().sum() for a, b in combinations(points, 2)]).mean()

    def mean(one, other):
        squared = torch.cdist(one, other).square()
        return torch.stack([(-squared / (scale * width)).exp() for scale in (0.25, 0.5, 1, 2, 4)]).mean()

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@pytest.mark.parametrize(("component", "formula"), [(SETS[0], covariance_gap), (SETS[1], discrepancy)],
                         ids=["coral", "mmd"])
def test_the_distance_of_two_sets_is_that_of_the_formula(build, component, formula):
    module = build(component, X, Y, Z, weight=1.0)
    x, _, z, loss = module(X, Y, Z)
    assert torch.equal(x, X) and torch.equal(z, Z)
    torch.testing.assert_close(loss, torch.stack([formula(*pair) for pair in combinations((X, Y, Z), 2)]).mean())
    pair = build(component, X, Y, weight=1.0)
    gone = pair(X.where(HALF[:, :1], torch.nan), Y.where(HALF[:, 1:], torch.nan), present=HALF)[2]
    torch.testing.assert_close(gone, formula(X[:5], Y[3:]))


@pytest.mark.parametrize("component", SETS, ids=lambda component: component.id)
def test_sets_are_alike_in_any_order_and_without_two_of_each_there_is_nothing(build, component):
    module = build(component, X, Y)
    assert module(X, X.flip(0))[2].abs() < 1e-6 < module(X, 3 * Y)[2]
    few = torch.tensor([[True, True]] + [[False, True]] * 6)
    assert module(X, Y, present=few)[2] == 0


VIEWS = """
fusionkit: 1
inputs: {row: {vector: [10]}, changed: {vector: [10]}}
nodes:
  seen:  {use: encoder.mlp, from: [row, changed], each: true, share: true, with: {width: 64}}
  near:  {use: encoder.mlp, from: seen, each: true, share: true, with: {width: 128}}
  alike: {use: fusion.ntxent, from: near}
  label: {use: head.classify, from: alike.row, with: {classes: [low, high]}}
"""


def test_two_views_of_one_input_have_one_encoder_and_a_loss_between_them():
    """The graph of docs/training.md."""
    model = fusionkit.build(yaml.safe_load(VIEWS), seed=1).eval()
    row = torch.randn(5, 10)
    found, same = (model({"row": row, "changed": changed}) for changed in (row.flip(1), row))
    assert found["alike.loss_ntxent"] > same["alike.loss_ntxent"] > 0
    torch.testing.assert_close(found["label"], same["label"])
