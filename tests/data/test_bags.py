"""Several items of a case: files by a pattern, by columns or by a table, and the slices of a volume."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from recorded import GOLDEN
from small_study import without_plots as without_plots

from fusionkit.data import disk_cache
from fusionkit.data.batch import Batch, collate, pad
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import describe
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.item_choice import drawn, slices, spread
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.data.readers.bag import BagOptions
from fusionkit.data.readers.facts import Facts
from fusionkit.errors import DataError
from fusionkit.training.batch_changes import augmented_for
from fusionkit.training.batch_order import Batches, make_loader, seed_of
from fusionkit.training.item_draws import ItemDraws

FACTS = json.loads((GOLDEN / "images/bags/expected.json").read_text(encoding="utf-8"))
ARRAYS = np.load(GOLDEN / "images/bags/expected.npz")
HEADS = {"kind": HeadTarget("multiclass", ("a", "b"))}
ITEMS = InputNeed((None, 1, 4, 5), optional=True, masked=True)
COUNTS = (3, 12, 0, 1)
OF_SLICES = 'views: {read: bag, of: {read: numpy}, path: "v.npy", items: slices%s}'
CHANGED = "augment: {views: {rotate: [30, 0, 0], brightness: true}}"
BY_PATTERN = 'views: {read: bag, of: {read: image}, path: "img/{id}/*.png"%s}'


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5), value, np.uint8) + np.arange(5, dtype=np.uint8)).save(path)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Four cases with 3, 12, 0 and 1 pictures, whose values are 10 times their numbers and the case's."""
    for case, count in enumerate(COUNTS):
        (tmp_path / "img" / f"c{case}").mkdir(parents=True)
        for number in range(1, count + 1):
            picture(tmp_path / "img" / f"c{case}" / f"s{number}.png", 10 * number + case)
    (tmp_path / "cases.csv").write_text("id,kind,part,pa,lateral\n" + "".join(
        f"c{case},{'ab'[case % 2]},{('train', 'test')[case // 2]},img/c1/s{case + 1}.png,"
        f"{'' if case == 2 else f'img/c1/s{case + 5}.png'}\n" for case in range(4)))
    (tmp_path / "visits.csv").write_text(
        "case,months,file\nc0,12,img/c0/s3.png\nc0,0,img/c0/s1.png\nc0,6,img/c0/s2.png\nother,1,img/none.png\n"
        "c1,7.5,img/c1/s1.png\nc3,3,\n")
    return tmp_path


def read(folder: Path, inputs: str, needs: dict[str, InputNeed] | None = None, more: str = "", **how: Any) -> Cohort:
    (folder / "data.yaml").write_text(
        f"fusionkit-data: 1\ncases: cases.csv\nid: id\n{more}\ninputs:\n  {inputs}\n"
        "targets: {kind: {column: kind}}\n")
    return load_cohort(describe(folder / "data.yaml"), HEADS, needs or {"views": ITEMS}, **how)


def cases(cohort: Cohort, cache: Path | None = None) -> CaseDataset:
    return cohort.dataset(cohort.rows, cohort.fit(cohort.rows), cache)


def numbers(items: torch.Tensor) -> list[int]:
    """Which pictures of a case these are."""
    return [round(float(item[0, 0, 0]) * 255) // 10 for item in items]


def codes(read_it: Callable[[], object]) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_it()
    return [found.code for found in caught.value.diagnostics]


def test_files_of_a_pattern_are_items_in_natural_order(study: Path):
    cohort = read(study, BY_PATTERN % "")
    assert cohort.sizes == {"views": (12, 1, 4, 5)} and cohort.present("views").tolist() == [True, True, False, True]
    batch = collate([cases(cohort)[place] for place in range(4)])
    assert batch.valid["views"].sum(1).tolist() == [3, 12, 0, 1] and batch.present["views"].tolist()[2] is False
    assert numbers(batch.inputs["views"][1]) == list(range(1, 13))
    assert not batch.inputs["views"][0, 3:].any()


def test_a_cell_with_marks_of_patterns_is_taken_literally(study: Path):
    picture(study / "img" / "[a-z]*" / "s1.png", 90)
    (study / "cases.csv").write_text("id,kind\n[a-z]*,a\nc0,b\n")
    cohort = read(study, BY_PATTERN % "")
    assert [len(bag.files) for bag in cohort.paths["views"]] == [1, 3]


def test_columns_name_one_item_each_and_blank_ones_are_left_out(study: Path):
    cohort = read(study, "views: {read: bag, of: {read: image}, columns: [pa, lateral]}")
    assert [numbers(case["inputs"]["views"]) for case in (cases(cohort)[place] for place in range(4))] == [
        [1, 5], [2, 6], [3], [4, 8]]


def test_a_table_says_which_files_in_which_order_and_where(study: Path):
    visits = ('views: {read: bag, of: {read: image}, table: visits.csv, id: case, path: "{file}", order: months, '
              "position: months}\n  months: {read: positions, of: views}")
    months = InputNeed((None, 1), optional=True, masked=True)
    cohort = read(study, visits, {"views": ITEMS, "months": months})
    batch = collate([cases(cohort)[place] for place in range(4)])
    assert numbers(batch.inputs["views"][0]) == [1, 2, 3]
    assert batch.inputs["months"][0, :, 0].tolist() == [0, 6, 12] and batch.inputs["months"][1, 0, 0] == 7.5
    assert batch.present["views"].tolist() == batch.present["months"].tolist() == [True, True, False, False]
    assert torch.equal(batch.valid["views"], batch.valid["months"])


@pytest.mark.parametrize("asked", sorted(FACTS["subset"]))
def test_training_draws_items_by_seed_epoch_case_and_input(asked: str):
    count, most, seed, epoch, case = (part.split()[-1] for part in asked.split(","))
    random = np.random.default_rng(seed_of(seed, "augment", epoch, case, "slides", "items"))
    assert list(drawn(random, int(count), int(most))) == FACTS["subset"][asked]


def test_evaluation_takes_the_middles_of_equal_parts():
    for asked, wanted in FACTS["spread"].items():
        count, most = map(int, asked.split(","))
        assert list(spread(count, most)) == wanted
    assert spread(4, None) == (0, 1, 2, 3)


def test_only_training_draws(study: Path):
    dataset = cases(read(study, BY_PATTERN % ", most: 2, most_evaluate: 4"))
    whole = collate([dataset.with_all_items()[place] for place in range(4)])
    assert numbers(dataset[1]["inputs"]["views"]) == [2, 5, 8, 11] and numbers(whole.inputs["views"][1]) == list(
        range(1, 13))
    draws = ItemDraws(dataset, seed=0)
    first, second = draws(whole, 0), draws(whole, 1)
    assert first.valid["views"].sum(1).tolist() == [2, 2, 0, 1] and first.inputs["views"].shape[1] == 2
    assert first.inputs["views"].equal(draws(whole, 0).inputs["views"])
    assert not first.inputs["views"].equal(second.inputs["views"])
    alone = draws(collate([dataset.with_all_items()[1]]), 1)
    assert alone.inputs["views"][0].equal(second.inputs["views"][1])
    # Where the epoch is known no other items are read.
    some = collate([dataset.with_all_items(draws).of_epoch(1)[place] for place in range(4)])
    assert some.inputs["views"].equal(second.inputs["views"]) and draws(some, 1).inputs["views"].equal(
        second.inputs["views"])


@pytest.mark.parametrize(("name", "every", "neighbours"), [
    ("s1", None, 1), ("s3", None, 3), ("s3_step5", 5.0, 3), ("s5", None, 5)])
def test_slices_of_a_volume_with_their_neighbours(name: str, every: float | None, neighbours: int):
    facts = Facts(outcome_grid=Grid.of_file(np.diag([1, 1, 2.5, 1]), (7, 2, 2)))
    bag = BagOptions(of={"read": "nifti"}, path="a", items="slices", every=every, neighbours=neighbours)
    items, found = slices(ARRAYS["volume"], facts, bag)
    assert np.array_equal(items, ARRAYS[f"slices.{name}"])
    assert found.positions == pytest.approx(FACTS[f"slices.{name}"]["mm"]) and found.outcome_grid is None


def test_bags_are_padded_to_the_longest_of_a_batch():
    items = [torch.from_numpy(ARRAYS["pad"][case, : int(ARRAYS["mask"][case].sum())]) for case in range(3)]
    padded, valid = pad(items)
    assert np.array_equal(padded, ARRAYS["pad"]) and np.array_equal(valid, ARRAYS["mask"])
    assert [bool(there.any()) for there in valid] == FACTS["present"]


def test_slices_are_read_with_their_places(study: Path):
    for case in range(4):
        volume = np.arange(6 * 5 * 4, dtype=np.float32).reshape(5, 4, 6) + case
        nibabel.save(nibabel.Nifti1Image(volume, np.diag([1, 1, 2.0, 1])), study / f"c{case}.nii")
    made = read(study, 'views: {read: bag, of: {read: nifti, path: "{id}.nii"}, items: slices, every: 4, '
                "neighbours: 3, most_evaluate: 2}\n  mm: {read: positions, of: views}",
                {"views": InputNeed((None, 3, 4, 5), masked=True), "mm": InputNeed((None, 1), masked=True)},
                cache=study / "cache")
    case = cases(made, study / "cache")[0]
    assert case["inputs"]["views"].shape == (2, 3, 4, 5) and case["inputs"]["mm"].tolist() == [[-5], [3]]
    assert case["inputs"]["views"][:, :, 0, 0].tolist() == [[0, 0, 1], [3, 4, 5]]


def test_where_items_are_is_known_from_the_files_and_from_the_cache(study: Path):
    for case in range(4):
        for number in range(2):
            nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 6), np.float32) + case + number,
                                             np.diag([3, 1, 2.0 + number, 1])), study / f"c{case}-{number}.nii")
    slices_of = 'views: {read: bag, of: {read: nifti}, path: "{id}-0.nii", items: slices}'
    files = 'views: {read: bag, of: {read: nifti}, path: "{id}-*.nii"}'
    for written, steps, need in ((slices_of, [(2, 1, 3)], InputNeed((None, 1, 4, 5), masked=True)),
                                 (files, [(2, 1, 3), (3, 1, 3)], InputNeed((None, 1, 6, 4, 5), masked=True))):
        for _ in range(2):
            cohort = read(study, written, {"views": need}, CHANGED, cache=study / "cache")
            assert [grid.spacing for grid in cases(cohort).item_grids["views"][3]] == steps
            assert not cohort.inputs_without_extent(cohort.rows)
    assert read(study, BY_PATTERN % "", more=CHANGED).inputs_without_extent([0]) == ["views"]


def test_items_are_changed_alike_where_they_are_read_and_on_the_device_and_in_training_alone(study: Path):
    dataset, plain = (cases(read(study, BY_PATTERN % ", most: 2", more=more)) for more in (CHANGED, ""))
    draws, change = ItemDraws(dataset, 0), augmented_for(dataset, 0)
    order = Batches(lambda _: np.arange(4), 4, 4)
    order.epoch = 3

    def both(batch: Batch, epoch: int) -> Batch:
        return change(draws(batch, epoch), epoch)

    where_read, = make_loader(dataset.with_all_items(draws), order, 0, False, both)
    whole = collate([dataset.with_all_items()[place] for place in range(4)])
    on_device = both(whole, 3)
    assert where_read.inputs["views"].equal(on_device.inputs["views"])
    assert where_read.places["views"].equal(on_device.places["views"])
    # Those that are drawn are as they would be among all.
    chosen = on_device.places["views"][1]
    assert chosen.tolist() == draws.chosen("views", 1, 3, 12, 2) != [0, 1]
    assert change(whole, 3).inputs["views"][1, chosen].equal(on_device.inputs["views"][1])
    assert not whole.inputs["views"][1, chosen].equal(on_device.inputs["views"][1])
    seen, = make_loader(dataset, Batches(lambda _: np.arange(4), 4, 4), 0, False)
    assert seen.inputs["views"].equal(collate([plain[place] for place in range(4)]).inputs["views"])


@pytest.mark.parametrize(("section", "written", "code"), [
    ("{together: [[views, other]], other: {rotate: true}}", BY_PATTERN % "", "bad-value"),
    ("{views: {noise: true}, mixup: true}", BY_PATTERN % "", "mixup-refused"),
    ("{views: {saturation: true}}", BY_PATTERN % "", "not-colour"),
    ("{views: {saturation: true}}", OF_SLICES % ", neighbours: 3", "not-colour"),
    ("{views: {noise: true}}", 'views: {read: bag, of: {read: numpy}, path: "f*.npy"}', "not-an-image"),
    ("{views: {flip: true}, swap: {kind: [a, b]}}", BY_PATTERN % "", "flip-laterality"),
    ("{views: {flip: true}, swap: {kind: [a, b]}}", OF_SLICES % "", None),
    ("{views: histology}", BY_PATTERN.replace("image", "image, channels: 3") % "", None),
])
def test_how_training_may_change_items(study: Path, section: str, written: str, code: str | None):
    np.save(study / "v.npy", np.random.default_rng(0).random((1, 3, 4, 5), np.float32))
    np.save(study / "f1.npy", np.arange(7, dtype=np.float32))
    other = '\n  other: {read: image, path: "img/c1/s1.png"}' if "other" in section else ""
    sizes = (None, 7) if "f*" in written else (None, None, 4, 5)
    needs = {"views": InputNeed(sizes, optional=True, masked=True)}
    if code is None:
        dataset = cases(read(study, written, needs, f"augment: {section}"))
        line, = dataset.augmentation.told(["views"], (), dataset.alike)
        assert line.endswith("all slices alike" if "slices" in written else "each item by itself")
        return
    with pytest.raises(DataError) as caught:
        read(study, written + other, needs, f"augment: {section}")
    assert [found.code for found in caught.value.diagnostics] == [code] and caught.value.diagnostics[0].fix


def test_each_item_is_cached_by_its_own_file(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = tmp_path / "cache"
    cohort = read(study, BY_PATTERN % "", cache=cache)
    assert len(list(cache.rglob("*.npy"))) == sum(COUNTS)
    picture(study / "img" / "c0" / "s2.png", 90)
    stored: list[Path] = []
    monkeypatch.setattr(disk_cache, "store", lambda folder, name, array, facts=None: stored.append(array))
    again = read(study, BY_PATTERN % "", cache=cache)
    assert len(stored) == 1
    assert numbers(cases(again)[0]["inputs"]["views"]) == [1, 9, 3]
    assert cohort.facts["views", 0].digest != again.facts["views", 0].digest


def test_matches_that_leave_the_data_folder_are_refused(study: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    picture(other / "s9.png", 9)
    (study / "img" / "c0" / "s9.png").symlink_to(other / "s9.png")
    assert codes(lambda: read(study, BY_PATTERN % "")) == ["path-outside"]
    (study / "img" / "c0" / "s9.png").unlink()
    (study / "img" / "c9").symlink_to(other)
    (study / "cases.csv").write_text("id,kind\nc9,a\nc0,b\n")
    assert codes(lambda: read(study, BY_PATTERN % "")) == ["path-outside"]


def test_too_many_files_are_refused(study: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fusionkit.data.bag_files.MOST_FILES", 11)
    assert codes(lambda: read(study, BY_PATTERN % "")) == ["bag-too-large"]


def test_items_of_one_case_have_one_size(study: Path):
    Image.fromarray(np.zeros((7, 5), np.uint8)).save(study / "img" / "c0" / "s2.png")
    assert codes(lambda: read(study, BY_PATTERN % "")) == ["wrong-size"]
    resized = BY_PATTERN.replace("{read: image}", "{read: image, size: [4, 5]}") % ""
    assert read(study, resized).sizes["views"] == (12, 1, 4, 5)


def test_the_network_must_take_items(study: Path):
    assert codes(lambda: read(study, BY_PATTERN % "", {"views": InputNeed((1, 4, 5), optional=True, layout="image")})
                 ) == ["wrong-layout"]


def test_a_case_without_items_lacks_the_input(study: Path):
    assert codes(lambda: read(study, BY_PATTERN % "", {"views": InputNeed((None, 1, 4, 5), masked=True)})) == [
        "absent-input"]


def test_one_file_on_both_sides_of_the_split_is_warned_of(study: Path):
    columns = "views: {read: bag, of: {read: image}, columns: [pa, lateral]}"
    shared = [found for found in read(study, columns, more="split: {column: part}").warnings
              if found.code == "shared-file"]
    assert not shared
    text = (study / "cases.csv").read_text().replace("img/c1/s3.png", "img/c1/s1.png")
    (study / "cases.csv").write_text(text)
    shared = [found for found in read(study, columns, more="split: {column: part}").warnings
              if found.code == "shared-file"]
    assert len(shared) == 1 and "s1.png" in shared[0].message


def test_a_run_refuses_items_that_are_read_otherwise(study: Path):
    before = read(study, BY_PATTERN % "")
    fitted = before.fit(before.rows)
    windowed = BY_PATTERN.replace("{read: image}", "{read: image, window: [0, 9]}") % ""
    with pytest.raises(DataError, match=r"'window' differs \[preprocessing-differs\](.|\n)*remove 'window' under 'of'"):
        read(study, windowed, preprocessing=fitted)
    # An option that the run did not know had its default.
    earlier = replace(fitted.inputs["views"], options={
        name: value for name, value in fitted.inputs["views"].options.items() if name != "of.pages"})
    assert read(study, BY_PATTERN % "", preprocessing=replace(fitted, inputs={"views": earlier})).sizes
    by_columns = "views: {read: bag, of: {read: image}, columns: [pa, lateral], most: 1}"
    assert read(study, by_columns, preprocessing=fitted).sizes["views"] == (2, 1, 4, 5)


@pytest.mark.parametrize(("written", "code"), [
    ('{read: bag, of: {read: imagge}, path: "a"}', "unknown-reader"),
    ('{read: bag, of: {read: image, sice: 3}, path: "a"}', "unknown-key"),
    ('{read: bag, of: {read: nifti, like: ct}, path: "a"}', "bad-option"),
    ('{read: bag, of: {read: image}, path: "{file}", table: gone.csv, id: case}', "missing-file"),
    ('{read: bag, of: {read: image}, path: "{file}", table: visits.csv, id: name}', "unknown-column"),
    ('{read: bag, of: {read: image}, path: "{case}", table: visits.csv, id: case, position: file}', "bad-position"),
])
def test_what_is_wrong_with_a_bag_is_said(study: Path, written: str, code: str):
    with pytest.raises(DataError) as caught:
        read(study, f"views: {written}")
    assert caught.value.diagnostics[0].code == code and caught.value.diagnostics[0].fix


def test_positions_are_those_of_a_bag(study: Path):
    needs = {"views": ITEMS, "mm": InputNeed((None, 1), optional=True, masked=True)}
    assert codes(lambda: read(study, (BY_PATTERN % "") + "\n  mm: {read: positions, of: view}", needs)) == [
        "unknown-name"]


def test_a_bag_is_written_out_and_read_back(study: Path):
    described = read(study, BY_PATTERN % ", most: 5").description
    plain = described.to_plain()["inputs"]["views"]
    assert plain["read"] == "bag" and plain["of"]["read"] == "image" and plain["most"] == 5
    assert "path" not in plain["of"]
