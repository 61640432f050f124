"""Splits that leave out one value of a column at a time: what is refused, and what is warned of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import write_files

from fusionkit.comparison.splits import in_folds, repeated
from fusionkit.data.description import describe
from fusionkit.data.loading import Cohort, HeadTarget, InputNeed, load_cohort
from fusionkit.errors import DataError

DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
patient: patient
split: {leave_out: site}
inputs: {table: {read: columns, numeric: [a]}}
targets: {result: {column: result}, size: {column: size}}
"""
COUNTS = {"10": (11, 13), "9": (12, 12), "z": (10, 17)}


def cases(counts: dict[str, tuple[int, int]], *, patients: int = 1) -> Iterator[dict[str, object]]:
    number = 0
    for site, kinds in counts.items():
        for label, count in zip(("no", "yes"), kinds, strict=True):
            for _ in range(count):
                number += 1
                yield {"id": f"c{number}", "patient": f"p{number // patients}", "site": site, "a": number % 7,
                       "result": label, "size": number * 1.5}


def cohort(folder: Path, counts: dict[str, tuple[int, int]] = COUNTS, data: str = DATA, *, patients: int = 1) -> Cohort:
    write_files(folder, cases(counts, patients=patients), "", data)
    heads = {"result": HeadTarget("multiclass", ("no", "yes"), None, 2)}
    return load_cohort(describe(folder / "data.yaml"), heads, {"table": InputNeed(None)})


def refused(folder: Path, *arguments: object, **options: object) -> dict[str, str]:
    with pytest.raises(DataError) as error:
        cohort(folder, *arguments, **options)  # type: ignore[arg-type]
    return {each.code: each.message for each in error.value.diagnostics}


def test_each_site_is_a_fold_numbers_in_their_order(tmp_path: Path) -> None:
    found = cohort(tmp_path)
    assert found.division.names == ("9", "10", "z") and found.fold_count == 3 and found.split_kind == "folds"
    assert {found.table.cell(row, "site") for row in found.fold(1)[1]} == {"10"}
    assert found.left_out(2) == ": site 'z' is left out"
    assert found.description.to_plain()["split"] == {"leave_out": "site"}
    assert "few-cases-in-site" not in {warning.code for warning in found.warnings}


@pytest.mark.parametrize(("counts", "code", "message"), [
    ({"x": (11, 11)}, "one-site", "column 'site' has one value only: 'x'"),
    ({"x": (11, 11), "": (1, 0), "y": (11, 11)}, "blank-site", "case 'c23' has no 'site'"),
    ({"x": (11, 11), "y": (0, 13), "z": (11, 11)}, "one-class-site",
     "site 'y' has cases of one class of 'result' only: 0 no, 13 yes"),
    ({str(number): (1, 1) for number in range(101)}, "too-many-folds", "column 'site' has 101 different values"),
])
def test_columns_that_cannot_be_left_out(tmp_path: Path, counts: dict[str, tuple[int, int]], code: str, message: str
                                         ) -> None:
    assert refused(tmp_path, counts)[code] == message


def test_a_patient_at_two_sites_is_refused(tmp_path: Path) -> None:
    assert "is on both sides of the split" in refused(tmp_path, patients=5)["group-divided"]


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "unknown-column" in refused(tmp_path, data=DATA.replace("leave_out: site", "leave_out: hospital"))


@pytest.mark.parametrize(("split", "message"), [
    ("{leave_out: site, seed: 3}", "'seed' has no effect together with 'leave_out'"),
    ("{leave_out: site, folds: 3}", "'split' must name one of 'column', 'folds', 'leave_out' and 'fraction'"),
    ("{folds: 3, allow_undefined: true}", "'allow_undefined' has an effect together with 'leave_out' only"),
])
def test_keys_that_do_not_go_together(tmp_path: Path, split: str, message: str) -> None:
    assert refused(tmp_path, data=DATA.replace("{leave_out: site}", split))["bad-split"] == message


def test_a_site_of_one_class_may_be_allowed_and_few_cases_are_warned_of(tmp_path: Path) -> None:
    found = cohort(tmp_path, {"x": (11, 11), "y": (0, 13), "z": (11, 3)},
                   DATA.replace("leave_out: site", "leave_out: site, allow_undefined: true"))
    told = {warning.code: warning.message for warning in found.warnings}
    assert told["one-class-site"].startswith("site 'y' has cases of one class")
    assert told["few-cases-in-site"] == ("1 of 3 values of 'site' have fewer than 10 cases of a kind for 'result': "
                                         "'z' (11 no, 3 yes)")


def test_a_site_among_the_inputs_is_warned_of(tmp_path: Path) -> None:
    found = cohort(tmp_path, data=DATA.replace("numeric: [a]", "numeric: [a], categorical: [site]"))
    assert "left-out-input" in {warning.code for warning in found.warnings}


def test_repeats_of_a_comparison_keep_the_sites_and_folds_replace_them(tmp_path: Path) -> None:
    found = cohort(tmp_path)
    assert [each is found for each in repeated(found, 2)] == [True, True]
    spec = in_folds(found.description, {}, 5, 13).split
    assert spec is not None and (spec.leave_out, spec.folds, spec.seed) == (None, 5, 13)
