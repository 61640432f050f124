import numpy as np
import pytest

from fusionkit.data.grouped_folds import divided, fold_of, fraction_of, part_of, quartiles


def cohort(count=211, patients=67, seed=0):
    random = np.random.default_rng(seed)
    groups = [f"p{n}" for n in random.integers(0, patients, count)]
    strata = [str(n) for n in random.choice(3, count, p=[0.6, 0.3, 0.1])]
    return groups, strata


def test_folds_never_divide_a_group_and_keep_strata_even():
    groups, strata = cohort()
    folds = fold_of(groups, strata, 5, seed=3)
    assert all(len(set(folds[np.array(groups) == group])) == 1 for group in set(groups))
    counts = np.array([[np.sum((folds == fold) & (np.array(strata) == s)) for s in "012"] for fold in range(5)])
    assert counts.sum() == 211 and (np.ptp(counts, axis=0) <= 3).all() and np.ptp(counts.sum(1)) <= 3


def test_single_rows_are_spread_as_evenly_as_can_be():
    strata = ["a"] * 23 + ["b"] * 7
    folds = fold_of([str(n) for n in range(30)], strata, 5, seed=0)
    assert np.ptp(np.bincount(folds[:23])) <= 1 and np.ptp(np.bincount(folds[23:], minlength=5)) <= 1


def test_a_seed_gives_one_split_whatever_the_order_of_rows():
    groups, strata = cohort()
    order = np.random.default_rng(1).permutation(len(groups))
    first = fold_of(groups, strata, 5, seed=2)
    shuffled = fold_of([groups[i] for i in order], [strata[i] for i in order], 5, seed=2)
    assert (first[order] == shuffled).all()
    assert (first != fold_of(groups, strata, 5, seed=4)).any()


def test_fractions_are_met_and_stratified():
    groups, strata = cohort(1009, 1009)
    parts = np.array(fraction_of(groups, strata, {"validation": 0.15, "test": 0.2}, seed=0))
    for stratum in "012":
        of = parts[np.array(strata) == stratum]
        assert np.mean(of == "test") == pytest.approx(0.2, abs=0.02)
        assert np.mean(of == "validation") == pytest.approx(0.15, abs=0.02)
    assert divided(groups, parts.tolist()) == {}


def test_fractions_without_validation():
    assert sorted(set(fraction_of([str(n) for n in range(10)], None, {"test": 0.3}, 0))) == ["test", "train"]


def test_divided_names_the_group_and_its_rows():
    assert divided(["a", "b", "a"], ["train", "train", "test"]) == {"a": {"train": [0], "test": [2]}}


def test_names_of_parts():
    assert [part_of(cell) for cell in ("train", "VAL", "Validation", "test", "dev")] == [
        "train", "validation", "validation", "test", None]


def test_quartiles_of_a_measurement():
    strata = quartiles(np.array([*range(100), np.nan]))
    assert [strata.count(s) for s in ("0", "1", "2", "3", "")] == [25, 25, 25, 25, 1]
