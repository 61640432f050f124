"""The table of ONNX functions: made once, changed by nobody, and PyTorch's own business where it looks otherwise."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import pytest

from fusionkit.testing.checks import onnx_registry
from fusionkit.testing.checks.onnx_registry import one_registry


class Table:
    """As PyTorch's: a dictionary of lists, made by a class method, which counts how often it was."""

    made = 0

    def __init__(self) -> None:
        self.functions: dict[Any, list[Any]] = {}

    @classmethod
    def from_torchlib(cls, opset_version: int = 18) -> Table:
        Table.made += 1
        table = cls()
        table.functions = {operator.add: [opset_version]}
        return table


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Table]]:
    monkeypatch.setattr(onnx_registry, "_owner", lambda: Table)
    monkeypatch.setattr(onnx_registry, "_MADE", {})
    Table.made = 0
    yield Table


def test_a_table_is_made_once_for_each_version(table: type[Table]) -> None:
    for _ in range(2):
        with one_registry():
            assert table().from_torchlib(opset_version=18).functions == {operator.add: [18]}
            assert table.from_torchlib(opset_version=20).functions == {operator.add: [20]}
    assert table.made == 2


def test_what_one_export_adds_is_not_there_for_the_next(table: type[Table]) -> None:
    with one_registry():
        first = table.from_torchlib()
        first.functions[operator.add].append("mine")
        first.functions["other"] = ["mine"]
        assert table.from_torchlib().functions == {operator.add: [18]}


def test_afterwards_pytorch_makes_its_own_again(table: type[Table]) -> None:
    with pytest.raises(ZeroDivisionError), one_registry():
        raise ZeroDivisionError
    assert table.from_torchlib() is not table.from_torchlib()
    assert table.made == 2


@pytest.mark.parametrize("place", ["torch.nothing.of.the.kind", "collections"])
def test_a_pytorch_that_keeps_it_elsewhere_is_left_alone(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_registry, "_PLACE", place)
    with one_registry():
        assert onnx_registry._owner() is None
