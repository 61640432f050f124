"""A component that takes masked tokens and gives as many, but no mask of them, is refused when it is measured."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Config, Encoder, TensorShape, Tokens, with_width
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


def graph(use: str) -> dict[str, object]:
    return {"fusionkit": 1, "inputs": {"bag": {"tokens": [None, 5]}}, "nodes": {
        "kept": {"use": use, "from": "bag"}, "whole": {"use": "encoder.pool", "from": "kept"},
        "result": {"use": "head.classify", "from": "whole", "with": {"classes": ["a", "b"]}}}}


def test_a_shape_without_its_mask_is_refused() -> None:
    wrong = Encoder("forgets", Plain, Keeps, rule="B [_] _", output=forgets)
    with pytest.raises(GraphError, match="has no mask") as caught:
        fusionkit.plan(graph("encoder.forgets"), components=[wrong])
    assert caught.value.diagnostics[0].code == "rule-disagrees"


def test_a_shape_with_its_mask_is_right() -> None:
    right = Encoder("keeps", Plain, Keeps, rule="B [_] _", output=keeps)
    made = fusionkit.plan(graph("encoder.keeps"), components=[right])
    assert str(made.node("kept").values[0].shape) == "B [bag] 5"
