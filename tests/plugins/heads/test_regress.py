"""Named values: losses against torch's own, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.heads.regress import Regress, RegressConfig
from pydantic import ValidationError

from fusionkit.shapes.layouts import Vector


def make(**options: Any) -> Regress:
    torch.manual_seed(0)
    return Regress(RegressConfig(**{"values": ["age", "volume"], **options}), [Vector((7,))]).eval()


def case() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return torch.randn(11, 2, generator=random), 3 * torch.randn(11, 2, generator=random)


def test_losses_are_means_over_values() -> None:
    output, target = case()
    error = (output - target).abs()
    torch.testing.assert_close(make().loss(output, target), (error**2).mean(1))
    torch.testing.assert_close(make(loss="mae").loss(output, target), error.mean(1))
    huber = torch.where(error <= 0.5, error**2 / 2, 0.5 * (error - 0.25)).mean(1)
    torch.testing.assert_close(make(loss="huber", delta=0.5).loss(output, target), huber)
    torch.testing.assert_close(huber, F.huber_loss(output, target, delta=0.5, reduction="none").mean(1))


def test_targets_and_values_are_used_as_they_are() -> None:
    output, _ = case()
    head = make()
    state = {name: value.clone() for name, value in head.state_dict().items()}
    head.balance(torch.tensor([3.0, 5.0]))
    assert torch.equal(head.decode(output), output)
    assert all(torch.equal(value, state[name]) for name, value in head.state_dict().items())


def test_targets_of_double_precision_do_not_change_the_dtype() -> None:
    output, target = case()
    assert make().loss(output, target.double()).dtype == torch.float32


@pytest.mark.parametrize("options", [{"values": []}, {"values": ["a", "a"]}, {"delta": 2.0}, {"loss": "log"},
                                     {"loss": "huber", "delta": 0.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RegressConfig(**{"values": ["age", "volume"], **options})
