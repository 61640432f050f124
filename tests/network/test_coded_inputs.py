"""Ids and times of coded inputs keep their values: half precision would round them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Config, Encoder, Events, TensorShape

SEEN: list[Events] = []


class Keeps(nn.Module):
    """Remembers the events that it is given."""

    def __init__(self, config: Config, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.names = nn.Embedding(inputs[0].width, 4)

    def forward(self, events: Events, valid: Tensor | None = None) -> Tensor:
        SEEN.append(events)
        return self.names(events.variable).mean(1)


KEEPS = Encoder("keeps", Config, Keeps, rule="events: B events[n] _ -> B 4")
GRAPH = {"fusionkit": 1, "inputs": {"labs": {"events": 3, "variables": 9000}}, "nodes": {
    "whole": {"use": "encoder.keeps", "from": "labs"},
    "out": {"use": "head.regress", "from": "whole", "with": {"values": ["y"]}}}}


def test_large_numbers_of_variables_and_late_times_survive_autocast() -> None:
    network = fusionkit.build(GRAPH, components=[KEEPS])
    given = Events(torch.tensor([[8761.5, 26303.25, 1e6 + 1]]), torch.tensor([[257, 4099, 8999]]), torch.ones(1, 3))
    with torch.autocast("cpu", torch.bfloat16):
        network({"labs": given.packed()})
    assert torch.equal(SEEN[-1].time, given.time) and torch.equal(SEEN[-1].variable, given.variable)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_events_in_half_precision_are_refused(dtype: torch.dtype) -> None:
    network = fusionkit.build(GRAPH, components=[KEEPS])
    with pytest.raises(ValueError, match=r"'labs' has events in torch\..*rounds ids and times; give it in single"):
        network({"labs": torch.zeros(1, 3, 3, dtype=dtype)})
