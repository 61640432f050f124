"""`encoder.tip_table` and `encoder.tip_cells`: recorded numbers, blank cells, codes, order of columns, counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.tip_cells import TipCells, TipCellsConfig
from fusionkit_plugins.encoders.tip_table import TipTable, TipTableConfig, component
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.conversion.name_mapping import Part, transfer
from fusionkit.conversion.verification.check import check
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.shapes.layouts import Vector

FOLDER = GOLDEN / "methods" / "tip"
SMALL = {"width": 8, "heads": 2, "layers": 2}
ROWS: list[tuple[Any, ...]] = [
    ("encoder.tip_table", {**SMALL, "categories": [3, 7]}, [(5,)], {}),
    ("encoder.tip_table", {**SMALL, "layers": 1, "output": "vector"}, [(5,)], {
        "gradients: cells.blank": "the cells that the check tries are all known"}),
    ("encoder.tip_cells", {"categories": [3, 2]}, [(5,)], {}), ("encoder.tip_cells", {}, [(3,)], {})]


def network(columns: int = 5, **options: object) -> TipTable:
    torch.manual_seed(0)
    module = TipTable(TipTableConfig.model_validate({**SMALL, **options}), [Vector((columns,))]).eval()
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return module


@pytest.mark.parametrize("name", ["encoder_plain", "encoder_missing", "encoder_mask_not_special"])
def test_tokens_and_gradients_are_those_of_the_release(name: str) -> None:
    found = check("encoder.tip_table", FOLDER / f"{name}.npz")
    assert {row.entry for row in found.rows if not row.note} >= {"out_tokens", "tap_embedding_norm", "grad_input0"}
    assert found.ok, [row for row in found.rows if not row.ok]


@pytest.mark.parametrize("name", ["encoder_plain", "encoder_missing", "encoder_mask_not_special"])
def test_gradients_of_learned_tokens_and_the_count_are_those_of_the_release(name: str) -> None:
    case = read_fixture(FOLDER / f"{name}.npz")
    release, told = component.reference["release"], case.meta["constructor"]
    assert release.read is not None and release.replay is not None
    module = network(told["continuous"] + len(told["category_counts"]), **release.read(case.shapes, case.meta))
    transfer([Part(module, None, release)], case.parameters)
    assert sum(weight.numel() for weight in module.parameters()) == case.meta["parameters"]
    tokens = release.replay(module, case.inputs, case)["tokens"]
    cells = module.cells
    for weight, theirs in ((cells.summary, "cls_token"), (cells.blank, "mask_special_token"),
                           (cells.columns.weight, "column_embedding.weight")):
        found, = torch.autograd.grad((tokens * case.cotangent(0, tokens.shape)).sum(), weight, retain_graph=True)
        torch.testing.assert_close(found, case.arrays[f"gradp_{theirs}"], atol=1e-5, rtol=1e-4)


def test_blank_cells_are_the_cells_of_the_release() -> None:
    """What `known` says of a table is what the release's two masks say together."""
    case = read_fixture(FOLDER / "encoder_missing.npz")
    release = component.reference["release"]
    assert release.read is not None
    module = network(5, **release.read(case.shapes, case.meta))
    transfer([Part(module, None, release)], case.parameters)
    row, blank = case.inputs[0], case.arrays["mask"].bool()
    ours, known = torch.cat([row[:, 2:], row[:, :2] + 1], 1), ~torch.cat([blank[:, 2:], blank[:, :2]], 1)
    wanted = case.arrays["out_tokens"]
    wanted = torch.cat([wanted[:, :1], wanted[:, 3:], wanted[:, 1:3]], 1)
    for filler in (0.0, 1e30, float("nan")):
        torch.testing.assert_close(module(ours.where(known, filler), known=known), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("filler", [5.0, 1e30, float("nan"), float("inf")])
def test_what_a_blank_cell_holds_changes_no_result_and_no_gradient(filler: float) -> None:
    module, row = network(categories=[3, 7]), torch.tensor([[0.5, -1.0, 2.0, 3, 6], [0.1, 0.2, 0.3, 1, 2]])
    known = torch.tensor([[True, False, True, False, True], [True] * 5])
    found = []
    for value in (0.0, filler):
        given = row.where(known, value).requires_grad_()
        tokens = module(given, known=known)
        found.append((tokens, *torch.autograd.grad(tokens.square().sum(), [given, *module.parameters()])))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert not found[0][1][~known].any()


def test_a_blank_cell_is_seen_by_itself_alone_and_sees_all() -> None:
    module, row = network(3), torch.randn(1, 3)
    known = torch.tensor([[True, False, True]])
    before = module(row, known=known)
    with torch.no_grad():
        module.cells.blank += 1
    assert [bool((one != other).any()) for one, other in zip(before[0], module(row, known=known)[0], strict=True)] == [
        False, False, True, False]
    other = module(row + torch.tensor([[1.0, 0, 0]]), known=known)
    assert bool((other[0, 2] != module(row, known=known)[0, 2]).any())


def test_a_table_that_is_missing_has_blank_cells_only() -> None:
    module, row = network(categories=[3, 7]), torch.full((2, 5), float("nan"))
    none = torch.zeros(2, 5, dtype=torch.bool)
    there = torch.tensor([[False], [False]])
    found = module(row, known=~none, present=there)
    assert torch.equal(found, module(row, known=none)) and found.isfinite().all()
    assert torch.equal(found, module(row, present=there))


@pytest.mark.parametrize("code", [0.0, 4.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_known_category_is_blank(code: float) -> None:
    module, row = network(2, categories=[3]), torch.tensor([[0.5, code]])
    assert torch.equal(module(row), module(row, known=torch.tensor([[True, False]])))


def test_tokens_follow_the_columns_and_the_vector_is_the_summary() -> None:
    row = torch.tensor([[0.5, -1.0, 2.0, 3, 6]])
    tokens, vector = network(categories=[3, 7])(row), network(categories=[3, 7], output="vector")(row)
    assert torch.equal(tokens[:, 0], vector)
    module = network(categories=[3, 7], layers=1)
    for place in range(5):
        known = torch.ones(1, 5, dtype=torch.bool)
        known[0, place] = False
        changed = (module.cells(row, known) != module.cells(row, torch.ones_like(known))).any(2)[0]
        # Inside, categories stand before numbers.
        assert changed.nonzero().flatten().tolist() == [1 + (place + 2 if place < 3 else place - 3)]


def test_two_columns_of_one_number_differ_by_their_column_alone() -> None:
    module = network(2)
    with torch.no_grad():
        module.cells.columns.weight[2] = module.cells.columns.weight[1]
    tokens = module(torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(tokens[:, 1], tokens[:, 2])


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ComponentError, match="8 features cannot be divided"):
        network(heads=3)


def test_cells_are_numbers_what_is_known_and_indicators_of_all_categories() -> None:
    module = TipCells(TipCellsConfig(categories=[2, 3]), [Vector((3,))])
    known = torch.tensor([[True, True, False], [False, True, True]])
    found = module(torch.tensor([[0.5, 2, 1], [float("nan"), 9, 3]]), known=known)
    assert found.tolist() == [[[0.5, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0], [0] * 7],
                              [[0] * 7, [0] * 7, [0, 0, 0, 0, 0, 0, 1]]]
