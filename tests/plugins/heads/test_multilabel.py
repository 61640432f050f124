"""Several labels at once: losses against torch's own, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.heads.multilabel import Multilabel, MultilabelConfig
from pydantic import ValidationError

from fusionkit.shapes.layouts import Vector

LABELS = ["a", "b", "c"]


def make(width: int = 7, **options: Any) -> Multilabel:
    torch.manual_seed(0)
    return Multilabel(MultilabelConfig(**{"labels": LABELS, **options}), [Vector((width,))]).eval()


def case() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return 3 * torch.randn(11, 3, generator=random), torch.randint(2, (11, 3), generator=random).float()


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0]])
def test_the_loss_of_each_case_is_the_formula(weights: list[float] | None) -> None:
    logits, target = case()
    head, w = make(positive_weights=weights), torch.tensor(weights or [1.0] * 3)
    p = 1 / (1 + (-logits).exp())
    wanted = -(w * target * p.log() + (1 - target) * (1 - p).log()).mean(1)
    torch.testing.assert_close(head.loss(logits, target), wanted)
    torch.testing.assert_close(head.loss(logits, target), F.binary_cross_entropy_with_logits(
        logits, target, pos_weight=w, reduction="none").mean(1))


def test_each_label_is_decoded_alone() -> None:
    logits, _ = case()
    torch.testing.assert_close(make().decode(logits), 1 / (1 + (-logits).exp()))


def test_large_logits_have_a_finite_loss() -> None:
    loss = make().loss(torch.full((1, 3), 1e4), torch.zeros(1, 3))
    assert loss.item() == pytest.approx(1e4)


@pytest.mark.parametrize("options", [{"labels": []}, {"labels": ["a", "a"]}, {"positive_weights": [1.0]},
                                     {"positive_weights": []}, {"positive_weights": [1.0, -1.0, 1.0]}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MultilabelConfig(**{"labels": LABELS, **options})
