"""Supervised contrast: against loops over anchors, views and cases that lack something, in a network's losses too."""

from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.heads.supcon import SupconConfig, component, contrast
from torch import Tensor

import fusionkit
from fusionkit.shapes.layouts import Vector
from fusionkit.training.objective import Objective

CLASSES = torch.tensor([0, 1, 0, 2, 1, 0, 0])


def looped(views: list[list[Tensor | None]], classes: list[int], temperature: float) -> list[float]:
    """The loss of each case, term by term; a view that is None is not there."""
    anchors = [(case, F.normalize(view, dim=0)) for case, row in enumerate(views) for view in row if view is not None]
    losses: list[list[float]] = [[] for _ in views]
    for place, (case, z) in enumerate(anchors):
        rest = [(other, a) for number, (other, a) in enumerate(anchors) if number != place]
        alike = [a for other, a in rest if classes[other] == classes[case]]
        total = sum(float((z @ a / temperature).exp()) for _, a in rest)
        if alike:
            losses[case].append(-sum(log(float((z @ a / temperature).exp()) / total) for a in alike) / len(alike))
    return [sum(found) / len(found) if found else 0.0 for found in losses]


def module(**options):
    torch.manual_seed(5)
    config = SupconConfig.model_validate({"classes": ["a", "b", "c"], "width": 5, **options})
    return component.module(config, [Vector((11,)), Vector((7,)), Vector((3,))]).eval()


@pytest.fixture(name="data")
def _data() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(7, 11), torch.randn(7, 7), torch.randn(7, 3)


def directions(head, views):
    return [layer(view).detach() for layer, view in zip(head.project.layers, views, strict=True)]


def test_the_loss_is_cross_entropy_and_the_contrast_of_the_views(data):
    head = module(weight=0.3, temperature=0.2)
    output = head(*data)
    logits = head.layers(data[0])
    pairs = list(zip(*directions(head, data[1:]), strict=True))
    expected = F.cross_entropy(logits, CLASSES, reduction="none") + 0.3 * torch.tensor(
        looped([list(pair) for pair in pairs], CLASSES.tolist(), 0.2))
    torch.testing.assert_close(head.loss(output, CLASSES), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head.decode(output), logits.softmax(1))


def test_views_and_cases_that_are_not_there_are_no_negatives(data):
    head = module(weight=1.0)
    present = torch.tensor([[True, True, True]] * 3 + [[True, False, True], [True, True, False], [True, False, False],
                            [False, True, True]])
    output = head(*data, present=present)
    assert not output[6].any(), "without features there is no result"
    known = torch.tensor([True, False, True, True, True, True, False])
    kept = output.where(known[:, None], 0)
    first, second = directions(head, data[1:])
    views = [[view[row] if known[row] and present[row, place] else None for place, view in ((1, first), (2, second))]
             for row in range(7)]
    losses = head.loss(kept, CLASSES) - F.cross_entropy(kept[:, :3], CLASSES, reduction="none")
    torch.testing.assert_close(losses, torch.tensor(looped(views, CLASSES.tolist(), 0.1)), atol=1e-5, rtol=1e-5)
    assert losses[[0, 2]].min() > 0 and not losses[[1, 5, 6]].any()


def test_a_case_alone_in_its_class_is_contrasted_by_its_own_views():
    views = F.normalize(torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(3)), dim=2)
    alone = contrast(views[:, :1], torch.arange(3), 0.1)
    assert not alone.any(), "one view of each class has nothing that it belongs with"
    expected = looped([list(row) for row in views], [0, 1, 2], 0.1)
    torch.testing.assert_close(contrast(views, torch.arange(3), 0.1), torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_one_view_alone_has_finite_gradients():
    view = torch.randn(1, 1, 5, requires_grad=True)
    contrast(view, torch.zeros(1, dtype=torch.long), 0.1).sum().backward()
    assert view.grad is not None and not view.grad.any()


def test_it_draws_a_class_together():
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(12, 2, 5, generator=generator)
    views, classes = start.clone().requires_grad_(), torch.arange(12) % 3
    optimiser = torch.optim.Adam([views], lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        contrast(F.normalize(views, dim=2), classes, 0.1).mean().backward()
        optimiser.step()
    found = F.normalize(views, dim=2).flatten(0, 1).detach()
    same = classes.repeat_interleave(2)[:, None] == classes.repeat_interleave(2)
    cosines = found @ found.T
    assert cosines[same].mean() > 0.95 and cosines[~same].mean() < 0


def test_in_a_network_rows_without_a_target_or_features_take_no_part():
    """The sum of the head's losses is that of the rows that count, as if the others were not in the batch."""
    inputs = {name: {"vector": [3], "optional": True} for name in ("a", "b")}
    model = fusionkit.build({"fusionkit": 1, "inputs": inputs, "nodes": {
        "left": {"use": "encoder.mlp", "from": "a", "with": {"width": 5}},
        "right": {"use": "encoder.mlp", "from": "b", "with": {"width": 5}},
        "fused": {"use": "fusion.mean", "from": ["left", "right"]},
        "out": {"use": "head.supcon", "from": {"features": "fused", "views": ["left", "right"]},
                "with": {"classes": ["a", "b", "c"], "width": 5, "weight": 1.0}}}}).eval()
    given = {name: torch.randn(7, 3, generator=torch.Generator().manual_seed(place))
             for place, name in enumerate(inputs)}
    present = {"a": torch.tensor([1, 1, 0, 1, 0, 1, 1]).bool(), "b": torch.tensor([1, 0, 1, 1, 0, 1, 1]).bool()}
    known = torch.tensor([True, True, True, True, True, False, True])
    counted = known & (present["a"] | present["b"])

    def loss(rows: Tensor) -> Tensor:
        parts = ({name: value[rows] for name, value in part.items()} for part in (given, present))
        return Objective(model)(*parts, {"out": CLASSES[rows]}, {"out": known[rows]})["out"]

    everyone = torch.ones(7, dtype=torch.bool)
    torch.testing.assert_close(loss(everyone), loss(counted))
    assert (loss(everyone) - loss(counted & (CLASSES == 0))).abs() > 1e-3
