"""Yes and no, classes and labels as tables write them: understood, or refused without advice that turns them round."""

import pytest
from sheets import CASES, LABEL, loaded, numbers, one_input, refused, table_of, with_cells

from fusionkit.data.loading import HeadTarget

TWO = {"finding": HeadTarget("multilabel", ("x", "y"), None, 2, partial=True)}


def labels_of(folder, cells, values="", others=("0", "0", "1", "1", "1", "0", "1", "0") * 5):
    columns = {"age": numbers(), "x": cells, "y": others}
    targets = f"targets:\n  finding: {{columns: [x, y]{values}}}\n"
    return table_of(folder, columns, one_input("numeric: [age]") + targets)


@pytest.mark.parametrize(("no", "yes"), [
    ("0", "1"), ("0.0", "1.0"), ("No", "Yes"), ("no", "YES"), ("False", "TRUE"), ("negative", "positive"), ("n", "Y"),
    ("F", "T"), ("-", "+"), ("absent", "present"), ("0", "yes"),
])
def test_yes_and_no_are_understood(tmp_path, no, yes):
    found = loaded(labels_of(tmp_path, [no, no, yes, yes, yes, no, yes, no] * 5), TWO)
    assert found.targets["finding"].values[:8, 0].tolist() == [0, 0, 1, 1, 1, 0, 1, 0]


@pytest.mark.parametrize(("cells", "says"), [
    (["-1", "1"], ["values: {-1: 0}", "values: {-1: null}"]),
    (["-1.0", "1.0"], ["values: {-1: 0}", "values: {-1: null}"]),
    (["-1", "0", "1", "1"], ["values: {-1: null}"]), (["1", "2"], ["{1: 1, 2: 0}", "{1: 0, 2: 1}"]),
    (["Ja", "Nein"], ["{Ja: ..., Nein: ...}"]), (["normal", "abnormal"], ["{normal: ..., abnormal: ...}"]),
    (["yes", "no", "uncertain", "no"], ["values: {uncertain: null}"]), (["f", "m"], ["{f: ..., m: ...}"]),
])
def test_words_that_may_mean_either_are_refused_once_and_no_advice_turns_them_round(tmp_path, cells, says):
    (found,) = refused(labels_of(tmp_path, (cells * 40)[:CASES]), TWO)
    assert found.code == "bad-label" and [part for part in says if part not in found.fix] == []


@pytest.mark.parametrize(("cells", "values"), [
    (["-1.0", "1"], ", values: {-1: 0}"), (["1", "2"], ", values: {1: 0, 2: 1}"),
    (["Nein", "Ja"], ", values: {Ja: 1, Nein: 0}"),
])
def test_the_advice_can_be_followed(tmp_path, cells, values):
    columns = [[cells[row // length % 2] for row in range(CASES)] for length in (3, 5)]
    found = loaded(labels_of(tmp_path, columns[0], values, columns[1]), TWO)
    assert found.targets["finding"].values[:6, 0].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("values", [", values: {No: 1, Yes: 1}", ", values: {No: 0, Yes: 0}"])
def test_a_mapping_that_leaves_one_answer_is_refused(tmp_path, values):
    found = refused(labels_of(tmp_path, ["No", "No", "Yes", "Yes"] * 10, values), TWO)
    assert [d.code for d in found] == ["class-absent"]
    assert "from the head's 'labels'" in (found[0].fix or "")


def test_a_case_of_which_nothing_is_known_is_told_of_where_null_says_so(tmp_path):
    columns = {"age": numbers(), "label": with_cells(LABEL, r8="unknown")}
    file = table_of(tmp_path, columns, one_input("numeric: [age]")
                    + "targets:\n  label: {column: label, values: {unknown: null}}\n")
    (found,) = refused(file)
    assert found.code == "target-missing" and "'c008'" in found.message


@pytest.mark.parametrize(("classes", "cells"), [
    (("no", "yes"), ("0", "1")), (("no", "yes"), ("False", "TRUE")), (("0", "1"), ("no", "Yes")),
    (("negative", "positive"), ("0.0", "1.0")), (("-1", "1"), ("-1.0", "1.0")), (("absent", "present"), ("n", "y")),
])
def test_classes_that_say_yes_and_no_are_understood(tmp_path, classes, cells):
    file = table_of(tmp_path, {"age": numbers(), "label": [cells[row // 4 % 2] for row in range(CASES)]},
                    one_input("numeric: [age]"))
    found = loaded(file, {"label": HeadTarget("multiclass", classes)})
    assert found.targets["label"].values[:8].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(("classes", "cells", "says", "never"), [
    (("benign", "malignant"), ("0", "1"), ["{0: benign, 1: malignant}", "{0: malignant, 1: benign}"], []),
    (("benign", "malignant"), ("1", "2"), ["{1: benign, 2: malignant}", "{1: malignant, 2: benign}"], []),
    (("benign", "malignant"), ("Benign", "MALIGNANT"), ["{Benign: benign, MALIGNANT: malignant}"], []),
    (("tumour", "other"), ("other", "no tumour"), ["{no tumour: CLASS}"], ["no tumour: tumour", "mean"]),
    (("female", "diverse"), ("female", "male"), ["{male: CLASS}"], ["male: female", "mean"]),
])
def test_words_that_are_no_class_are_refused_once_and_no_advice_turns_them_round(tmp_path, classes, cells, says, never):
    file = table_of(tmp_path, {"age": numbers(), "label": [cells[row // 4 % 2] for row in range(CASES)]},
                    one_input("numeric: [age]"))
    found = refused(file, {"label": HeadTarget("multiclass", classes)})
    (fault,) = [d for d in found if d.code == "unknown-class"]
    assert [part for part in says if part not in fault.fix] == [] == [part for part in never if part in fault.fix]


def test_a_head_that_needs_whole_targets_says_so(tmp_path):
    whole = {"finding": HeadTarget("multilabel", ("x", "y"), None, 2)}
    (found,) = refused(labels_of(tmp_path, with_cells(["0", "0", "1", "1"] * 10, r2="")), whole)
    assert found.code == "blank-label"
