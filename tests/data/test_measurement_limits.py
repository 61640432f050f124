"""Cells beyond a limit of measurement: read as the data file says, for inputs, targets and strata."""

from pathlib import Path

import numpy as np
import pytest
from sheets import CASES, loaded, numbers, one_input, refused, table_of, with_cells

from fusionkit.data.loading import HeadTarget
from fusionkit.data.measurement_limits import limit_replaced, limits_fix
from fusionkit.data.numbers import PLAIN, NumberFormat

COMMA = NumberFormat(",", ".")


@pytest.mark.parametrize(("cell", "value", "half"), [
    ("<0.6", 0.6, 0.3), ("< 0.6", 0.6, 0.3), ("<=0.6", 0.6, 0.3), ("\u2264 5", 5, 2.5), ("less than 5", 5, 2.5),
    ("Below 4", 4, 2), (">100", 100, 100), (">= 1e2", 100, 100), ("over 90", 90, 90), ("90+", 90, 90), ("90 +", 90, 90),
    ("<0", 0, 0)])
def test_a_limit_becomes_a_number(cell: str, value: float, half: float) -> None:
    assert float(limit_replaced(cell, PLAIN, "value")) == value
    assert float(limit_replaced(cell, PLAIN, "half")) == half
    assert limit_replaced(cell, PLAIN, "blank") == ""


@pytest.mark.parametrize("cell", ["0.6", "-3", "+5", "~5", "=5", "<", "<five", "< 1-2", "5-10", "5<", "", "low",
                                  "<1e99"])
def test_other_cells_stay(cell: str) -> None:
    assert {limit_replaced(cell, PLAIN, how) for how in ("value", "half", "blank")} == {cell}


def test_marks_are_those_of_the_column_and_half_of_a_negative_limit_is_none() -> None:
    assert COMMA.read(limit_replaced("<1.000,5", COMMA, "value")) == 1000.5
    assert COMMA.read(limit_replaced("<0,6", COMMA, "half")) == 0.3
    assert COMMA.read(limit_replaced("<0,00000001", COMMA, "half")) == 5e-9
    assert limit_replaced("<-5", PLAIN, "half") == "<-5"
    assert limit_replaced("<-5", PLAIN, "value") == "-5"


def test_the_advice_names_the_ways_that_work() -> None:
    assert limits_fix(["<5", ">9"], PLAIN, "crp") == (
        "add 'limits: {crp: value}' to the input for the limit itself, 'half' for half of a lower limit, 'blank' for "
        "no value, the same in all tables")
    assert "half" not in (limits_fix(["<-5"], PLAIN, "crp") or "half")
    assert limits_fix(["<5", "~9"], PLAIN, "crp") is None


@pytest.mark.parametrize(("limits", "read"), [
    ("{crp: value}", [0.6, 100]), ("half", [0.3, 100]), ("{crp: half}", [0.3, 100]),
    ("{crp: blank}, fill: mean", [np.nan, np.nan])])
def test_an_input_reads_them(tmp_path: Path, limits: str, read: list[float]) -> None:
    file = table_of(tmp_path, {"crp": with_cells(numbers(0, 50), r0="<0.6", r5=">100"), "age": numbers(seed=1)},
                    one_input(f"numeric: [crp, age], limits: {limits}"))
    found = loaded(file).columns["ehr"].numeric[:, 0]
    assert found[[0, 5]] == pytest.approx(read, nan_ok=True)
    assert not np.isnan(np.delete(found, [0, 5])).any()


def test_a_limit_that_is_blank_needs_filling(tmp_path: Path) -> None:
    file = table_of(tmp_path, {"crp": with_cells(numbers(), r0="<0.6"), "age": numbers(seed=1)},
                    one_input("numeric: [crp, age], limits: {crp: blank}"))
    (found,) = refused(file)
    assert found.code == "blank-number" and "'c000'" in found.message


def test_other_columns_and_patterns(tmp_path: Path) -> None:
    columns = {"g_1": with_cells(numbers(), r0="<1"), "g_2": with_cells(numbers(seed=1), r0="<1")}
    (found,) = refused(table_of(tmp_path, columns, one_input("numeric: ['g_*'], limits: {g_1: value}")))
    assert "column 'g_2': '<1' is not a number" in found.message
    assert "'limits: {g_2: value}' to the input" in (found.fix or "")


def test_a_target_reads_them_and_is_stratified_by_them(tmp_path: Path) -> None:
    heads = {"dose": HeadTarget("regression", (), None, 1)}
    dose = with_cells([f"{row}" for row in range(CASES)], r0="<4", r39=">38")
    more = "split: {folds: 4, stratify: dose}\ntargets:\n  dose: {column: dose, limits: half}\n"
    found = loaded(table_of(tmp_path, {"age": numbers(), "dose": dose}, one_input("numeric: [age]") + more), heads)
    assert found.targets["dose"].values[[0, 39], 0].tolist() == [2, 38]
    folds = np.asarray(found.division.folds)
    assert all(folds[quarter:quarter + 10].tolist().count(0) in (2, 3) for quarter in (0, 10, 20, 30))


def test_another_way_at_prediction_differs_from_training(tmp_path: Path) -> None:
    columns = {"crp": with_cells(numbers(), r0="<0.6")}
    cohort = loaded(table_of(tmp_path, columns, one_input("numeric: [crp], limits: half")))
    fitted = cohort.fit(cohort.rows)
    other = loaded(table_of(tmp_path, columns, one_input("numeric: [crp], limits: value"))).description
    (found,) = fitted.differences(other)
    assert found.code == "preprocessing-differs" and "'limits'" in found.message
    assert found.fix == "write 'limits: half'"
    same = loaded(table_of(tmp_path, columns, one_input("numeric: [crp], limits: {crp: half}"))).description
    plain = loaded(table_of(tmp_path, {"crp": numbers()}, one_input("numeric: [crp]")))
    assert not fitted.differences(same) and not fitted.differences(plain.description)
    assert not plain.fit(plain.rows).differences(other), "a run without such cells says nothing of them"
