"""A component that takes masked tokens and gives as many, but no mask of them, is refused when it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

import fusionkit
from fusionkit.api import Config, Encoder, MaskedTokens, TensorShape, Tokens, mean_valid, windowed_tokens, with_width
from fusionkit.errors import GraphError


class Plain(Config):
    """No options."""


class Keeps(nn.Module):
    """Every token as it is."""

    def __init__(self, config: Plain, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        return tokens


def forgets(config: Plain, inputs: Sequence[TensorShape]) -> Tokens:
    return Tokens((inputs[0].positions, inputs[0].width))


def keeps(config: Plain, inputs: Sequence[TensorShape]) -> TensorShape:
    return with_width(inputs[0], inputs[0].width)


def graph(use: str) -> dict[str, Any]:
    return {"fusionkit": 1, "inputs": {"bag": {"tokens": [None, 5]}}, "nodes": {
        "kept": {"use": use, "from": "bag"}, "whole": {"use": "encoder.pool", "from": "kept"},
        "result": {"use": "head.classify", "from": "whole", "with": {"classes": ["a", "b"]}}}}


def test_a_shape_without_its_mask_is_refused() -> None:
    wrong = Encoder("forgets", Plain, Keeps, rule="B [_] _", output=forgets)
    with pytest.raises(GraphError, match="has no mask") as caught:
        fusionkit.plan(graph("encoder.forgets"), components=[wrong])
    assert caught.value.diagnostics[0].code == "rule-disagrees"


def test_tokens_of_two_inputs_have_both_masks_in_every_node_behind() -> None:
    made = graph("fusion.concat") | {"inputs": {"bag": {"tokens": [None, 5]}, "other": {"tokens": [None, 5]}}}
    made["nodes"] |= {"kept": {"use": "fusion.concat", "from": ["bag", "other"], "with": {"axis": "tokens"}},
                      "again": {"use": "encoder.mlp", "from": "kept"},
                      "whole": {"use": "encoder.pool", "from": "again"}}
    assert str(fusionkit.plan(made).node("again").values[0].shape).startswith("B [bag+other] ")


class Halves(Keeps):
    """The mean of each two tokens, padding left out."""

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        count = tokens.shape[1]
        real = torch.ones(tokens.shape[:2], dtype=torch.bool) if valid is None else valid
        apart, there = (pad(part, (0, 0) * (part.dim() - 2) + (0, count % 2)).unflatten(1, (-1, 2))
                        for part in (tokens, real))
        return mean_valid(apart.flatten(0, 1), there.flatten(0, 1)).unflatten(0, apart.shape[:2])


def test_a_token_of_each_window_is_real_where_one_of_its_tokens_is() -> None:
    halves = Encoder("halves", Plain, Halves, rule="B [n] c", output=lambda config, inputs: windowed_tokens(
        inputs[0], 2, inputs[0].width))
    made = graph("encoder.halves")
    made["nodes"] |= {"kept": {"chain": [{"use": "encoder.halves"}, {"use": "encoder.mlp"}], "from": "bag"},
                      "whole": {"use": "fusion.attention_pool", "from": "kept"}}
    network = fusionkit.build(made, components=[halves]).eval()
    assert str(network.plan.node("kept").values[0].shape).startswith("B [bag/2] ")
    bag, valid = torch.randn(3, 6, 5), torch.arange(6) < torch.tensor([[6], [3], [1]])
    found = network({"bag": bag}, None, {"bag": valid})["result"]
    for row, count in enumerate((6, 3, 1)):
        assert torch.allclose(network({"bag": bag[row : row + 1, :count]})["result"], found[row], atol=1e-6)
    with pytest.raises(ValueError, match="not those of one input"):
        windowed_tokens(MaskedTokens((4, 5), ("a", "b")), 2, 5)
    assert windowed_tokens(Tokens((5, 7)), 2, 3) == Tokens((3, 3))


def test_a_shape_with_its_mask_is_right() -> None:
    right = Encoder("keeps", Plain, Keeps, rule="B [_] _", output=keeps)
    made = fusionkit.plan(graph("encoder.keeps"), components=[right])
    assert str(made.node("kept").values[0].shape) == "B [bag] 5"
