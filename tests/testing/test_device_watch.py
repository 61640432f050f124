"""What makes the CPU wait for a GPU is found without one, with the line that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from wrong_components import VECTOR, Linear, Width

from fusionkit.api import Encoder
from fusionkit.layers.known_masks import all_of, any_of, both, kept, listed, on_cpu, places_of, sent, told
from fusionkit.testing.conformance import check_component
from fusionkit.testing.device.standing import GPU, standing, without_values
from fusionkit.testing.device.watch import watched

WAITING: dict[str, Callable[[Tensor, Tensor], object]] = {
    "item": lambda x, mask: x.sum().item(),
    "item of a list": lambda x, mask: x.tolist(),
    "item of if": lambda x, mask: 1 if mask.all() else 0,
    "item of a range": lambda x, mask: x[: mask.sum()],
    "boolean index": lambda x, mask: x[mask],
    "boolean index of several values": lambda x, mask: x.index_put_((mask,), x),
    "nonzero": lambda x, mask: torch.where(mask),
    "masked_select": lambda x, mask: x.masked_select(mask.unsqueeze(1)),
    "unique": lambda x, mask: torch.unique(x),
    "equal": lambda x, mask: torch.equal(x, x),
    "repeat_interleave": lambda x, mask: torch.repeat_interleave(x, mask.long(), 0),
    "linalg": lambda x, mask: torch.linalg.solve(x.T @ x, x.T),
    "copy to the CPU": lambda x, mask: x.cpu(),
    "copy from the CPU": lambda x, mask: torch.tensor([1.0, 2.0], device=x.device),
    "copy from the CPU of an index": lambda x, mask: x[[0, 2]],
}
FREE: dict[str, Callable[[Tensor, Tensor], object]] = {
    "where": lambda x, mask: x.where(mask.unsqueeze(1), 0.0),
    "one value for a mask": lambda x, mask: x.masked_fill_(mask.unsqueeze(1), 2.0),
    "one value by index": lambda x, mask: x.__setitem__(mask, 0.0),
    "full": lambda x, mask: torch.full((), 3.0, device=x.device) * x,
    "one_hot": lambda x, mask: F.one_hot(mask.long(), 3),
    "index": lambda x, mask: x[torch.arange(2, device=x.device)],
    "a number of the program": lambda x, mask: x[: torch.tensor(2).item()],
    "numbers on their way": lambda x, mask: told([1.0, 2.0], x.device),
}


@pytest.mark.parametrize("name", WAITING)
def test_an_operation_that_waits_is_found_at_its_line(name: str) -> None:
    with without_values():
        found = watched(lambda: WAITING[name](torch.ones(5, 3, device=GPU), torch.ones(5, device=GPU) > 0), [__file__])
    assert [wait.operation for wait in found] == [name.partition(" of ")[0]]
    file, _, line = found[0].place.rpartition(":")
    assert Path(file) == Path(__file__)
    assert f'"{name}"' in Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1]


@pytest.mark.parametrize("name", FREE)
def test_an_operation_that_does_not_wait_is_not(name: str) -> None:
    with without_values():
        assert not watched(lambda: FREE[name](torch.ones(5, 3, device=GPU), torch.ones(5, device=GPU) > 0), [__file__])


def test_rows_of_a_known_mask_are_asked_of_the_cpu() -> None:
    mask, other = torch.ones(5, dtype=torch.bool), torch.zeros(5, dtype=torch.bool)

    def rows() -> None:
        first, second = sent(mask, GPU, True), sent(other, GPU, True)
        for one in (first, both(first, second), any_of([first, second]), all_of([first, second])):
            assert on_cpu(one) is not None
            places_of(one), listed(one)

    with without_values() as mode:
        mask, other = mode.from_tensor(mask), mode.from_tensor(other)
        assert not watched(rows, [__file__])


def test_a_mask_that_changed_in_place_is_not_known_any_more() -> None:
    with without_values():
        mask = sent(torch.ones(5, dtype=torch.bool), GPU, True)
        mask[0] = False
        assert on_cpu(mask) is None
        assert [wait.operation for wait in watched(lambda: places_of(mask), [__file__])] == ["nonzero"]


def test_places_are_those_of_a_boolean_index() -> None:
    x, mask = torch.arange(35.0).reshape(5, 7), torch.tensor([True, False, True, True, False])
    table = torch.stack([~mask, mask], 1)
    assert torch.equal(x[places_of(mask)], x[mask])
    assert torch.equal(places_of(table, 1), places_of(mask))
    assert torch.equal(x.flatten()[places_of(x > 9)], x[x > 9])
    assert kept(mask, ~mask) is mask  # what the CPU holds is asked itself
    assert torch.equal(places_of(mask), mask.nonzero().squeeze(1))


def test_mixed_precision_is_on_without_a_gpu_and_off_afterwards() -> None:
    with without_values(torch.bfloat16):
        assert standing(nn.Linear(3, 5))(torch.ones(2, 3, device=GPU)).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cuda")


class Asks(Linear):
    """Asks the device for a number in training, where the meta device does not come."""

    def forward(self, features: Tensor) -> Tensor:
        result = self.layer(features)
        return result * 2 if self.training and features.sum() > 0 else result


class Keeps(Linear):
    """A tensor that is neither parameter nor buffer."""

    def __init__(self, config: Width, inputs: list[object]) -> None:
        super().__init__(config, inputs)
        self.shift = torch.ones(config.width)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features) + self.shift


ASKS = Encoder("asks", Width, Asks, rule=VECTOR)


def test_a_wait_is_told_and_is_no_fault_unless_some_are_declared() -> None:
    [told_of] = check_component(ASKS, ["waits"])
    assert told_of.result == "ok"
    assert f"item at {__file__}:" in told_of.seen
    declared = Encoder("asks", Width, Asks, rule=VECTOR, exceptions={"waits: item": "a number decides"})
    assert check_component(declared, ["waits"])[0].result == "excepted"
    other = Encoder("asks", Width, Asks, rule=VECTOR, exceptions={"waits: nonzero": "rows decide"})
    [fault] = check_component(other, ["waits"])
    assert (fault.result, fault.fix != "") == ("failed", True)
    assert "item" in fault.seen


def test_a_tensor_that_stays_on_the_cpu_is_a_fault() -> None:
    [finding] = check_component(Encoder("keeps", Width, Keeps, rule=VECTOR), ["waits"])
    assert finding.result == "failed"
    assert "stays on the CPU" in finding.seen
