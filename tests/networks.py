"""Small networks for the tests of the model: graphs as text, inputs with known random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from odd_components import registry
from torch import Tensor

from fusionkit.network.build import build_plan, plan
from fusionkit.network.model import FusionModel
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain

GOOD = Path(__file__).parent / "graphs" / "good"
SIMPLE = """
fusionkit: 1
inputs: {ct: {volume: [1, 5, 7, 6]}, ehr: {vector: [7], optional: true}}
nodes:
  lungs: {use: encoder.conv, from: ct, with: {widths: [3, 5]}}
  table: {use: encoder.mlp, from: ehr, with: {width: 5, hidden: [11]}}
  fused: {use: fusion.gmu, from: [lungs, table], with: {width: 5}}
  kind: {use: head.classify, from: fused, with: {classes: [a, b, c]}}
"""


def build(text: str, seed: int = 0) -> FusionModel:
    """The network of a graph, in training mode."""
    return build_plan(plan(to_plain(read(text)), registry=registry(), measured=False), seed)


def good(name: str) -> FusionModel:
    """The network of a file of graphs/good."""
    return build_plan(plan(GOOD / f"{name}.yaml", registry=registry(), measured=False))


def inputs_of(model: FusionModel, count: int = 5, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs for a network."""
    generator = torch.Generator().manual_seed(seed)
    return {value.name: torch.randn(count, *value.shape.sizes, generator=generator) for value in model.plan.inputs}


def rows(*present: int) -> Tensor:
    """A mask of rows."""
    return torch.tensor(present, dtype=torch.bool)


def assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor], exact: bool = True) -> None:
    """Equal results by name, to the bit or nearly."""
    assert first.keys() == second.keys()
    for name in first:
        one, two = first[name], second[name]
        assert torch.equal(one, two) if exact else torch.allclose(one, two, atol=1e-6), name
