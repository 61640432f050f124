"""Categories that are renamed, and those that the data file lists."""

from pathlib import Path

import pytest
from sheets import CASES, loaded, numbers, one_input, refused, table_of, with_cells

SEX = [("f", "m", "male", "M", "male")[row % 5] for row in range(CASES)]


def test_spellings_are_merged(tmp_path: Path) -> None:
    cells = with_cells(SEX, r0="unk", r4="1")
    file = table_of(tmp_path, {"age": numbers(), "sex": cells}, one_input(
        "numeric: [age], categorical: [sex], values: {sex: {m: male, M: male, f: female, 1: female, unk: null}}"))
    found = loaded(file)
    assert found.layouts["ehr"] == (("female", "male"),)
    assert [row[0] for row in found.columns["ehr"].categorical[:5]] == ["", "male", "male", "male", "female"]
    assert not [each for each in found.warnings if each.code == "category-spellings"]


def test_the_warning_names_the_option_that_merges_them(tmp_path: Path) -> None:
    file = table_of(tmp_path, {"sex": SEX}, one_input("categorical: [sex]"))
    (found,) = [each for each in loaded(file).warnings if each.code == "category-spellings"]
    assert found.fix is not None and "'values: {sex: {M: male, m: male}}' to the input" in found.fix
    again = table_of(tmp_path, {"sex": SEX}, one_input("categorical: [sex], values: {sex: {M: male, m: male}}"))
    assert not [each for each in loaded(again).warnings if each.code == "category-spellings"]


@pytest.mark.parametrize("encode", ["codes", "onehot"])
def test_listed_categories_make_room_for_those_to_come(tmp_path: Path, encode: str) -> None:
    file = table_of(tmp_path, {"site": [str(row % 3) for row in range(CASES)]}, one_input(
        f"categorical: [site], categories: {{site: [2, 9, 1, 0]}}, encode: {encode}"))
    cohort = loaded(file)
    assert cohort.layouts["ehr"] == (("2", "9", "1", "0"),)
    fitted = cohort.fit(cohort.rows)
    assert fitted.columns["ehr"].categories == (("2", None, "1", "0"),)
    rows = cohort.dataset([0, 1, 2], fitted)
    encoded = [rows[place]["inputs"]["ehr"].tolist() for place in range(3)]
    assert encoded == ([[4], [3], [1]] if encode == "codes" else [[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0]])
    coming = table_of(tmp_path, {"site": ["9"] * CASES}, one_input(f"categorical: [site], encode: {encode}"))
    later = loaded(coming, preprocessing=fitted, require_targets=False)
    assert later.dataset([0], fitted)[0]["inputs"]["ehr"].sum() == 0, "no training case had it"
    (found,) = later.warnings
    assert found.code == "unknown-category"


def test_a_category_that_is_not_listed_is_refused_once_with_the_likely_meaning(tmp_path: Path) -> None:
    file = table_of(tmp_path, {"sex": with_cells(["female", "male"] * (CASES // 2), r0="Female", r2="femal", r4="x")},
                    one_input("categorical: [sex], categories: {sex: [female, male]}"))
    (found,) = refused(file)
    assert found.code == "unlisted-category" and "3 of 40 cells" in found.message
    assert "'values: {sex: {Female: female, femal: female, x: ...}}'" in (found.fix or "")


@pytest.mark.parametrize(("options", "says"), [
    ("categories: {sex: [f, f]}", "different words"), ("categories: {sex: []}", "different words"),
    ("values: {other: {a: b}}", "'other', which is not under 'categorical'"),
    ("limits: {sex: value}", "'sex', which is not under 'numeric'"),
    ("values: {sex: {m: boy}}, categories: {sex: [f, m]}", "'boy'")])
def test_options_that_contradict_are_refused(tmp_path: Path, options: str, says: str) -> None:
    (found,) = refused(table_of(tmp_path, {"sex": SEX}, one_input(f"categorical: [sex], {options}")))
    assert found.code == "bad-option" and says in (found.why or "")
