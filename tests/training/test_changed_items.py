"""Items of bags as training changes them: slices of one volume alike, files each by itself, padding never."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_augmented import IDS, grid_of, several
from torch import Tensor

from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import Batch, pad, pad_places
from fusionkit.data.geometry.grid import Grid
from fusionkit.training.augmented import Augmented
from fusionkit.training.changed_arrays import ChangedItems

COUNTS = (3, 0, 5)
SIZES = (2, 7, 11)
WAY = {"rotate": {"degrees": [30.0, 20.0, 20.0]}, "shift": {"mm": 2.0}, "elastic": {"mm": 2.0, "step": 5.0}}
VALUES = {"gamma": {}, "contrast": {"chance": 0.5}, "noise": {"sd": [0.3, 0.5]}}
NOWHERE: tuple[tuple[Grid, ...], ...] = ((), (), ())


def made(alike: bool, grids: tuple[tuple[Grid, ...], ...] = NOWHERE, **named: dict[str, object]) -> Augmented:
    return Augmented(Augmentation({"x": several(**named)}), IDS, {}, seed=0, items={"x": ChangedItems(alike, grids)})


def bags(items: list[Tensor], places: list[list[int]] | None = None, rows: tuple[int, ...] = (0, 1, 2)) -> Batch:
    """A batch of cases with these items, which stand at these places of their bags, else at all."""
    values, valid = pad(items)
    held = pad_places([torch.tensor(each, dtype=torch.int64) for each in
                       (places or [list(range(len(each))) for each in items])])
    return Batch({"x": values}, {"x": torch.tensor([len(each) > 0 for each in items])}, {}, {}, torch.tensor(rows),
                 valid={"x": valid}, places={"x": held})


def drawn(sizes: tuple[int, ...] = SIZES) -> list[Tensor]:
    random = torch.Generator().manual_seed(3)
    return [torch.rand(count, *sizes, generator=random) * 3 - 1 for count in COUNTS]


def same() -> list[Tensor]:
    """Every item of every case is one picture."""
    return [drawn()[0][:1].expand(count, *SIZES).clone() for count in COUNTS]


@pytest.mark.parametrize("way", [WAY, {"gamma": {}, "contrast": {}}])
def test_slices_of_a_volume_are_changed_alike_and_files_each_by_itself(way: dict[str, dict[str, object]]) -> None:
    for alike in (True, False):
        found = made(alike, **way)(bags(same()), 2).inputs["x"]
        items = torch.cat([found[case, :count] for case, count in enumerate(COUNTS)])
        equal = torch.tensor([[torch.equal(one, other) for other in items] for one in items])
        cases = torch.tensor([0, 0, 0, 2, 2, 2, 2, 2])
        assert torch.equal(equal, cases[:, None] == cases if alike else torch.eye(8, dtype=torch.bool))
        assert not any(torch.equal(item, same()[0][0]) for item in items)


def test_each_slice_has_noise_of_its_own_by_one_strength() -> None:
    found = made(True, noise={"sd": [0.0, 2.0]})(bags([torch.zeros(5, 1, 31, 37) - 1] * 3), 0).inputs["x"]
    spreads = found.std((2, 3, 4))
    assert not torch.equal(found[0, 0], found[0, 1])
    assert (spreads - spreads[:, :1]).abs().max() < 0.1 * spreads.min() and (spreads[0] - spreads[1]).abs().min() > 0.2


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("sizes", [SIZES, (1, 3, 5, 7)])
def test_neither_the_batch_nor_the_items_beside_it_change_an_item(alike: bool, sizes: tuple[int, ...]) -> None:
    """Alone, in the other order, and where `most` leaves out others: equal bits, and zeros for padding."""
    items, change = drawn(sizes), made(alike, **WAY, **VALUES)
    given = bags(items)
    whole = change(given, 4).inputs["x"]
    assert not torch.equal(whole, given.inputs["x"])
    assert not whole[~given.valid["x"]].any()
    turned = change(bags(items[::-1], rows=(2, 1, 0)), 4).inputs["x"]
    assert torch.equal(turned.flip(0), whole)
    some = [0, 3, 4]
    alone = change(bags([items[2][some]], [some], rows=(2,)), 4).inputs["x"]
    assert torch.equal(alone[0], whole[2, some])


def test_an_item_of_a_file_is_changed_as_a_case_of_its_own_on_its_own_grid() -> None:
    grids = tuple(grid_of((3.0, 1.0, 2.0), (3, 5, 7), (1.0, 2.0, 3.0), code=code)
                  for code in ("RAS", "LPS", "sagittal"))
    items = drawn((1, 3, 5, 7))[:1]
    found = made(False, (grids, (), ()), **WAY)(bags(items, rows=(0,)), 1).inputs["x"]
    alone = Augmented(Augmentation({"x": several(**WAY)}), [f"{IDS[0]}/{item}" for item in range(3)], {"x": grids}, 0)
    one = Batch({"x": items[0]}, {"x": torch.ones(3, dtype=torch.bool)}, {}, {}, torch.arange(3))
    assert torch.equal(alone(one, 1).inputs["x"], found[0])


def test_slices_move_in_mm_of_their_volume() -> None:
    """As one volume of a single slice does, about its middle."""
    grid = grid_of((1.0, 0.5, 2.0), (1, 7, 11), (1.0, 2.0, 3.0), code="LPS")
    found = made(True, ((grid,), (), ()), **WAY)(bags(drawn()[:1], rows=(0,)), 1).inputs["x"]
    alone = Augmented(Augmentation({"x": several(**WAY)}), IDS, {"x": [grid] * 3}, 0)
    one = Batch({"x": drawn()[0][:1, :, None]}, {"x": torch.ones(1, dtype=torch.bool)}, {}, {}, torch.arange(1))
    assert torch.equal(alone(one, 1).inputs["x"][0, :, 0], found[0, 0])
    pixels = made(True, **WAY)(bags(drawn()[:1], rows=(0,)), 1).inputs["x"]
    assert not torch.equal(pixels, found)


def test_a_bag_that_is_dropped_and_one_that_draws_nothing_are_untouched() -> None:
    given = bags(drawn())
    dropped = replace(given, present={"x": torch.zeros(3, dtype=torch.bool)})
    for batch, change in ((dropped, made(False, **WAY, **VALUES)), (given, made(True, noise={"chance": 0.0})),
                          (bags([torch.zeros(0, *SIZES)], rows=(1,)), made(False, **WAY))):
        assert change(batch, 0).inputs["x"] is batch.inputs["x"]


def test_labels_of_items_stay_labels() -> None:
    masks = [np.kron(np.arange(1.0, 4.0), np.ones((count, 1, 13, 5))) for count in COUNTS]
    change = Augmented(Augmentation({"x": several(**WAY)}), IDS, {}, seed=0, labelled={"x"},
                       items={"x": ChangedItems(False, NOWHERE)})
    found = change(bags([torch.from_numpy(mask).float() for mask in masks]), 0).inputs["x"]
    assert found[0, :3].unique().tolist() == [1, 2, 3] and not found[1].any()
