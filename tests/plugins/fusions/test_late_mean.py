from __future__ import annotations

import torch
from fusionkit_plugins.fusions.late_mean import component

X, Y, Z = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1)).unbind(0)


def test_probabilities_are_averaged(build):
    wanted = (X.softmax(1) + Y.softmax(1) + Z.softmax(1)) / 3
    found = build(component, X, Y, Z)(X, Y, Z)
    torch.testing.assert_close(found.softmax(1), wanted)
    torch.testing.assert_close(found.exp(), wanted)


def test_probabilities_of_labels_are_averaged(build):
    found = build(component, X, Y, task="multilabel")(X, Y)
    torch.testing.assert_close(found.sigmoid(), (X.sigmoid() + Y.sigmoid()) / 2)


def test_logits_are_averaged(build):
    torch.testing.assert_close(build(component, X, Y, space="logit")(X, Y), (X + Y) / 2)


def test_absent_predictors_leave_the_mean(build):
    present = torch.tensor([[True, False, True]] * 5)
    for options in ({}, {"task": "multilabel"}, {"space": "logit"}):
        wanted = build(component, X, Z, **options)(X, Z)
        torch.testing.assert_close(build(component, X, Y, Z, **options)(X, Y, Z, present=present), wanted)


def test_certain_predictors_that_disagree_stay_finite(build):
    x, y = torch.tensor([[500.0, -500.0]]), torch.tensor([[-500.0, 500.0]])
    for options in ({}, {"task": "multilabel"}):
        found = build(component, x, y, **options)(x, y)
        torch.testing.assert_close(found[:, 0], found[:, 1])
        assert found.isfinite().all()
