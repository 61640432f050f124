"""Tables as they come from clinics and spreadsheet programs: what is read, what is refused, what is warned of."""

from dataclasses import replace

import numpy as np
import pytest
from sheets import CASES, LABEL, loaded, numbers, one_input, refused, table_of, with_cells

from fusionkit.comparison.splits import repeated
from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget
from fusionkit.errors import DataError


@pytest.mark.parametrize(("marks", "factor"), [('decimal: ","', 0.001), ('thousands: ","', 1),
                                               ('thousands: {weight: ","}', 1)])
def test_a_comma_before_three_digits_is_read_as_the_data_file_says(tmp_path, marks, factor):
    plain = numbers()
    file = table_of(tmp_path, {"weight": [cell.replace(".", ",") + "00" for cell in plain]},
                    f"{marks}\n" + one_input("numeric: [weight]"))
    np.testing.assert_allclose(loaded(file).columns["ehr"].numeric[:, 0],
                               [float(cell) * 1000 * factor for cell in plain])


def test_a_comma_before_three_digits_is_refused_once_with_both_meanings(tmp_path):
    file = table_of(tmp_path, {"weight": [cell.replace(".", ",") + "00" for cell in numbers()]},
                    one_input("numeric: [weight]"))
    (found,) = refused(file)
    assert found.code == "number-marks" and "40 of 40 cells" in found.message
    assert "decimal: \",\"" in found.fix and "thousands: \",\"" in found.fix and "point" not in found.fix


def test_a_mixed_column_is_refused_whatever_the_setting(tmp_path):
    mixed = [cell.replace(".", ",") if row % 2 else cell for row, cell in enumerate(numbers())]
    for marks in ("", 'decimal: ","\n', 'thousands: ","\n'):
        (found,) = refused(table_of(tmp_path, {"weight": mixed}, marks + one_input("numeric: [weight]")))
        assert found.code == "number-marks" and "no one setting" in found.why


def test_a_blank_number_stands_for_every_cell_with_that_number(tmp_path):
    cells = with_cells(numbers(), r4="-999", r6="-999.0", r8="-9.99e2", r10="")
    file = table_of(tmp_path, {"weight": cells, "code": ["-999.0" if row % 2 else "x" for row in range(CASES)]},
                    "blank: [-999]\n" + one_input("numeric: [weight], categorical: [code], fill: mean"))
    cohort = loaded(file)
    assert np.flatnonzero(np.isnan(cohort.columns["ehr"].numeric[:, 0])).tolist() == [4, 6, 8, 10]
    assert {row[0] for row in cohort.columns["ehr"].categorical} == {"x", ""}
    rows = cohort.split_rows("train")
    fitted = cohort.fit(rows).columns["ehr"]
    assert 60 < fitted.means[0] < 99 and fitted.deviations[0] < 20


def test_a_blank_number_leaves_codes_and_ids_alone(tmp_path):
    file = table_of(tmp_path, {"weight": numbers(), "ward": ["007" if row % 2 else "9" for row in range(CASES)]},
                    "blank: [7]\n" + one_input("numeric: [weight], categorical: [ward]"))
    assert {row[0] for row in loaded(file).columns["ehr"].categorical} == {"007", "9"}


@pytest.mark.parametrize("code", ["-999", "-99", "999", "9999", "-1"])
def test_a_code_for_missing_values_is_warned_of_with_its_count(tmp_path, code):
    cells = with_cells(numbers(), r0=code, r1=f"{code}.0", r4=code)
    (found,) = loaded(table_of(tmp_path, {"weight": cells}, one_input("numeric: [weight]"))).warnings
    assert found.code == "missing-code" and f"is {code} in 3 of 30 training cases" in found.message
    assert f"blank: [{code}]" in found.fix


@pytest.mark.parametrize("cells", [
    [str(row % 3 - 1) for row in range(CASES)], [str(90 + row % 10) for row in range(CASES)],
    [str(row % 2 * 99) for row in range(CASES)], numbers(-5, 5),
])
def test_numbers_that_are_no_codes_are_not_warned_of(tmp_path, cells):
    assert not loaded(table_of(tmp_path, {"x": cells}, one_input("numeric: [x]"))).warnings


def test_points_between_thousands_are_warned_of_where_cells_without_one_give_them_away(tmp_path):
    cells = [f"{row + 1}.{row % 10}50" if row % 4 < 2 else str(800 + row) for row in range(CASES)]
    (found,) = loaded(table_of(tmp_path, {"x": cells}, one_input("numeric: [x]"))).warnings
    assert found.code == "thousands-point" and "20 of 30 training cells" in found.message
    decimals = [f"{cell}37" for cell in numbers(1, 9)]
    assert not loaded(table_of(tmp_path, {"x": decimals}, one_input("numeric: [x]"))).warnings


def test_faults_of_a_column_are_told_by_kind_with_counts_and_the_rare_one_is_not_hidden(tmp_path):
    cells = [("<0.6", ">90")[row % 3 == 0] for row in range(30)] + ["1.5"] * 8 + ["n/k", "70 kg"]
    found = refused(table_of(tmp_path, {"crp": cells}, one_input("numeric: [crp]")))
    assert [d.code for d in found] == ["not-a-number"] * 3
    assert "30 of 40 cells give a limit only: '<0.6' (20 times), '>90' (10 times)" in found[0].message
    assert "'n/k'" in found[1].message and 'blank: ["n/k"]' in found[1].fix and "'70 kg'" in found[2].message


def test_dates_among_numbers_are_told_as_dates(tmp_path):
    cells = [f"2020-01-{row % 28 + 1:02d}" for row in range(CASES)]
    (found,) = refused(table_of(tmp_path, {"scanned": cells}, one_input("numeric: [scanned]")))
    assert found.code == "date-as-number" and "date: {scanned: {since: 2000-01-01}}" in found.fix
    compact = [cell.replace("-", "") for cell in cells]
    (found,) = loaded(table_of(tmp_path, {"scanned": compact}, one_input("numeric: [scanned]"))).warnings
    assert found.code == "date-as-number"


def test_dates_become_days(tmp_path):
    columns = {"born": [f"{row % 28 + 1}.2.1950" for row in range(CASES)], "scanned": ["1950-03-01"] * CASES,
               "weight": numbers()}
    file = table_of(tmp_path, columns, one_input(
        "numeric: [weight], date: {born: {before: scanned}, scanned: {since: 1950-01-01}}, categorical: []"))
    found = refused(file)
    assert [d.code for d in found] == ["one-value"] and "'scanned' is 59 in all" in found[0].message
    file = table_of(tmp_path, {**columns, "scanned": ["1950-03-01", "1950-03-03"] * 20}, one_input(
        "numeric: [weight], date: {born: {before: scanned}, scanned: {since: 1950-01-01}}"))
    values = loaded(file, width=3).columns["ehr"].numeric
    assert values[:3, 1:].tolist() == [[28, 59], [29, 61], [26, 59]]


@pytest.mark.parametrize(("cells", "code"), [
    (["01/02/2020"] * CASES, "date-order"), (["13/02/2020", "02/13/2020"] * 20, "date-order"),
    (["44200"] * CASES, "not-a-date"), (["01.02.20"] * CASES, "not-a-date"), (["soon"] * CASES, "not-a-date"),
])
def test_a_date_that_may_be_two_is_refused_once(tmp_path, cells, code):
    (found,) = refused(table_of(tmp_path, {"d": cells}, one_input("date: {d: {since: 2000-01-01}}")))
    assert found.code == code and "40 of 40" in found.message


def test_the_data_file_says_which_of_day_and_month_comes_first(tmp_path):
    cells = [f"01/{row % 12 + 1:02d}/2020" for row in range(CASES)]
    days = {}
    for order in ("dmy", "mdy"):
        file = table_of(tmp_path, {"d": cells}, one_input(f"date: {{d: {{since: 2020-01-01, order: {order}}}}}"))
        days[order] = loaded(file).columns["ehr"].numeric[1, 0]
    assert days == {"dmy": 31, "mdy": 1}


@pytest.mark.parametrize("rule", ["{}", "{since: soon}", "{since: 2000-01-01, before: x}",
                                  "{since: 2000-01-01, order: ymd}"])
def test_a_rule_for_dates_that_cannot_be_followed_is_refused(tmp_path, rule):
    file = table_of(tmp_path, {"d": ["2020-01-01"] * CASES}, one_input(f"date: {{d: {rule}}}"))
    with pytest.raises(DataError) as caught:
        describe(file)
    assert [d.code for d in caught.value.diagnostics] == ["bad-option"]


@pytest.mark.parametrize("marks", ['decimal: ";"', "decimal: 5", 'decimal: ","\nthousands: ","', "thousands: [a]"])
def test_marks_that_cannot_be_meant_are_refused(tmp_path, marks):
    file = table_of(tmp_path, {"x": numbers()}, f"{marks}\n" + one_input("numeric: [x]"))
    with pytest.raises(DataError) as caught:
        describe(file)
    assert [d.code for d in caught.value.diagnostics] == ["bad-value"]


def test_faults_of_the_table_and_of_its_cells_come_in_one_go(tmp_path):
    file = table_of(tmp_path, {"weight": with_cells(numbers(), r3="82,7", r9="<40"), "site": ["M\u00fcnchen"] * CASES},
                    one_input("numeric: [weight]"))
    text = (tmp_path / "cases.csv").read_text(encoding="utf-8").replace("c005,", ",,,,\nc005,x,")
    (tmp_path / "cases.csv").write_bytes(text.encode("latin-1"))
    codes = [d.code for d in refused(file)]
    assert codes == ["not-utf8", "number-marks", "empty-row", "ragged-row", "not-a-number"]


def test_a_target_among_the_inputs_is_refused_with_both_places(tmp_path):
    file = table_of(tmp_path, {"sex": ["f", "m"] * 20}, one_input("categorical: [sex, label]"))
    (found,) = refused(file)
    assert found.code == "target-as-input" and (found.span.line, found.span.column) == (6, 43)
    assert f"({file}:8:10)" in found.why and "'categorical'" in found.fix


def test_a_target_that_this_network_does_not_learn_may_be_an_input(tmp_path):
    file = table_of(tmp_path, {"sex": ["f", "m"] * 20}, one_input("categorical: [sex]")
                    + "targets:\n  label: {column: label}\n  sex: {column: sex}\n")
    assert len(loaded(file)) == CASES


@pytest.mark.parametrize("column", ["id", "person"])
def test_a_name_of_the_case_or_the_patient_among_the_inputs_is_refused(tmp_path, column):
    file = table_of(tmp_path, {"person": [f"p{row}" for row in range(CASES)], "age": numbers()},
                    "patient: person\n" + one_input(f"numeric: [age], categorical: [{column}]"))
    (found,) = refused(file)
    assert found.code == "id-as-input" and f"'{column}'" in found.message


@pytest.mark.parametrize(("options", "cells", "says"), [
    ("numeric: [x]", [str(int(label == "b")) for label in LABEL], "each of its 2 values has one answer"),
    ("categorical: [x]", [f"{label}{row % 3}" for row, label in enumerate(LABEL)],
     "each of its 6 values has one answer"),
    ("numeric: [x]", [f"{row + 100 * (label == 'b')}.5" for row, label in enumerate(LABEL)],
     "it changes only between 35.5 and 104.5"),
])
def test_a_column_that_tells_the_target_is_warned_of(tmp_path, options, cells, says):
    (found,) = loaded(table_of(tmp_path, {"x": cells}, one_input(options))).warnings
    assert found.code == "tells-target" and "the class of 'label' of all 40 cases" in found.message
    assert says in found.message


def test_a_target_in_another_unit_is_warned_of(tmp_path):
    volume = [f"{value:.6f}" for value in np.random.default_rng(0).uniform(1, 4, CASES)]
    file = table_of(tmp_path, {"volume": volume, "ml": [f"{float(cell) / 1000}" for cell in volume]},
                    one_input("numeric: [ml]") + "targets:\n  v: {column: volume}\n")
    (found,) = loaded(file, {"v": HeadTarget("regression")}).warnings
    assert found.code == "tells-target" and "its order is theirs" in found.message


def test_a_column_of_chance_and_one_that_goes_with_the_patient_are_not_warned_of(tmp_path):
    patients = [f"p{row // 4}" for row in range(CASES)]
    columns = {"person": patients, "site": [f"s{row // 4}" for row in range(CASES)], "sex": ["f", "m"] * 20,
               "age": numbers()}
    file = table_of(tmp_path, columns, "patient: person\nsplit: {folds: 2}\n" + one_input(
        "numeric: [age], categorical: [sex, site]"))
    assert not loaded(file).warnings


def test_free_text_as_a_category_is_said_once(tmp_path):
    file = table_of(tmp_path, {"report": [f"nodule number {row}" for row in range(CASES)]},
                    one_input("categorical: [report]"))
    (found,) = loaded(file).warnings
    assert found.code == "free-text" and "30 different values in 30 training cases" in found.message


def test_unknown_categories_are_told_once_a_column_with_counts(tmp_path):
    cells = with_cells(["former", "never"] * 20, r3="x", r7="x", r11="y", r15="Former", r19="formr", r23="formr")
    found = loaded(table_of(tmp_path, {"smoking": cells}, one_input("categorical: [smoking]"))).warnings
    assert [d.code for d in found] == ["unknown-category"] * 2
    assert "3 of 40 cells" in found[0].message and "'x' (2 times), 'y'" in found[0].message and not found[0].fix
    assert "'formr' (2 times), 'Former'" in found[1].message
    assert found[1].fix == "did you mean 'former'? 'values' of the input renames cells"


def test_categories_that_are_likely_one_are_warned_of_with_counts(tmp_path):
    smoking = with_cells(["former", "never", "never", "never"] * 10, r4="Former", r5="NEVER")
    sex = with_cells(["male", "female", "female", "male"] * 10, r0="m")
    found = loaded(table_of(tmp_path, {"smoking": smoking, "sex": sex},
                            one_input("categorical: [smoking, sex]"))).warnings
    assert [d.code for d in found] == ["category-spellings"] * 2
    assert "'Former' (1 cases) and 'former' (9 cases); 'NEVER' (1 cases) and 'never'" in found[0].message
    assert "'male' (9 cases) and 'm' (1 cases)" in found[1].message


@pytest.mark.parametrize(("low", "high", "told"), [(40000, 70000, True), (-5, -4.9, False), (20, 90, True),
                                                  (0.0001, 0.0009, True), (-2, 2, False)])
def test_a_target_far_from_zero_is_warned_of_with_mean_and_deviation(tmp_path, low, high, told):
    cells = [f"{value:.6f}" for value in np.random.default_rng(1).uniform(low, high, CASES)]
    file = table_of(tmp_path, {"age": numbers(), "volume": cells},
                    one_input("numeric: [age]") + "targets:\n  v: {column: volume}\n")
    found = loaded(file, {"v": HeadTarget("regression")}).warnings
    assert [d.code for d in found] == ["target-scale"] * told
    if told:
        train = [float(cell) for row, cell in enumerate(cells) if row % 4 < 3]
        assert f"mean {np.mean(train):.4g} and deviation {np.std(train):.4g} in 30 training cases" in found[0].message


@pytest.mark.parametrize(("factor", "plus", "cells", "told"), [
    (2.2046, 0, CASES, "40 of 40 cases lie outside the training range"), (1000, 0, CASES, "40 of 40 cases lie outside"),
    (0.001, 0, 3, "3 of 3 cases lie far outside"), (1.8, 32, CASES, "40 of 40 cases lie outside"), (1, 3, CASES, ""),
    (1, 0, 3, ""),
])
def test_values_in_another_unit_are_told_once_with_both_ranges(tmp_path, factor, plus, cells, told):
    weight, height = numbers(60, 90), numbers(150, 190, seed=1)
    file = table_of(tmp_path, {"weight": weight, "height": height}, one_input("numeric: [weight, height]"))
    cohort = loaded(file)
    fitted = cohort.fit(cohort.split_rows("train"))
    changed = [f"{float(cell) * factor + plus:.4f}" for cell in weight]
    table_of(tmp_path, {"weight": changed, "height": height}, one_input("numeric: [weight, height]"))
    lines = (tmp_path / "cases.csv").read_text().splitlines()
    (tmp_path / "cases.csv").write_text("\n".join(lines[: cells + 1]) + "\n")
    found = loaded(file, preprocessing=fitted, require_targets=False).warnings
    assert [d.code for d in found] == ["out-of-range"] * bool(told)
    if told:
        low, high = fitted.columns["ehr"].ranges[0]
        assert told in found[0].message and f"which is {low:g} to {high:g}" in found[0].message
        assert f"to {max(map(float, changed[:cells])):g}" in found[0].message


def test_one_value_far_away_is_told_and_a_run_without_ranges_is_read(tmp_path):
    file = table_of(tmp_path, {"weight": numbers(60, 90)}, one_input("numeric: [weight]"))
    cohort = loaded(file)
    fitted = cohort.fit(cohort.split_rows("train"))
    table_of(tmp_path, {"weight": with_cells(numbers(60, 90), r9="7.35e4")}, one_input("numeric: [weight]"))
    (found,) = loaded(file, preprocessing=fitted, require_targets=False).warnings
    assert "1 of 40 cases lie far outside" in found.message and found.span.line == 11
    old = replace(fitted, columns={"ehr": replace(fitted.columns["ehr"], ranges=())})
    assert not loaded(file, preprocessing=old, require_targets=False).warnings


FOLDS = [str(row // 3 % 5 + 1) for row in range(CASES)]


def test_stored_folds_are_taken_in_the_order_of_their_values(tmp_path):
    columns = {"age": numbers(), "fold": [f"{10 * int(fold)}" for fold in FOLDS]}
    cohort = loaded(table_of(tmp_path, columns, "split: {folds: {column: fold}}\n" + one_input("numeric: [age]")))
    assert (cohort.fold_count, cohort.split_kind) == (5, "folds")
    assert [cohort.fold(number)[1] for number in range(5)] == [
        tuple(row for row in range(CASES) if FOLDS[row] == str(number + 1)) for number in range(5)]
    assert cohort.description.to_plain()["split"] == {"folds": {"column": ["fold"]}}


def test_repeats_are_further_columns_of_folds(tmp_path):
    columns = {"age": numbers(), "a": FOLDS, "b": [str(row % 4) for row in range(CASES)]}
    file = table_of(tmp_path, columns, "split: {folds: {column: [a, b]}}\n" + one_input("numeric: [age]"))
    cohorts = repeated(loaded(file), 2)
    assert [cohort.fold_count for cohort in cohorts] == [5, 4] and cohorts[1].fold(3)[1] == tuple(range(3, CASES, 4))
    with pytest.raises(DataError, match="too-few-repeats"):
        repeated(loaded(file), 3)


@pytest.mark.parametrize(("folds", "more", "codes"), [
    (with_cells(FOLDS, r5=""), "", ["unknown-split"]), (["1"] * CASES, "", ["empty-split"]),
    (FOLDS, "patient: person\n", ["group-divided"]), (["x"] * 20 + ["y"] * 20, "", []),
])
def test_stored_folds_that_cannot_be_used_are_refused(tmp_path, folds, more, codes):
    people = ["p1", "p2", "p3", "p1", *(f"q{n}" for n in range(CASES - 4))]
    columns = {"age": numbers(), "fold": folds, "person": people}
    file = table_of(tmp_path, columns, f"{more}split: {{folds: {{column: fold}}}}\n" + one_input("numeric: [age]"))
    if codes:
        assert [d.code for d in refused(file)] == codes
    else:
        assert loaded(file).fold_count == 2


@pytest.mark.parametrize("split", ["{folds: {column: fold}, seed: 1}", "{folds: {columns: fold}}", "{folds: {}}",
                                   "{folds: {column: []}}", "{folds: {column: fold}, fraction: {test: 0.2}}"])
def test_a_split_by_stored_folds_that_is_written_wrongly_is_refused(tmp_path, split):
    file = table_of(tmp_path, {"age": numbers(), "fold": FOLDS}, f"split: {split}\n" + one_input("numeric: [age]"))
    with pytest.raises(DataError):
        describe(file)


def test_a_pattern_stands_for_the_columns_that_fit_it(tmp_path):
    columns = {"gene_b": numbers(seed=1), "gene_a": numbers(seed=2), "age": numbers(), "gene_type": ["x", "y"] * 20}
    file = table_of(tmp_path, columns, one_input('numeric: [age, "gene_*"], categorical: [gene_type]'))
    cohort = loaded(file)
    assert cohort.description.inputs["ehr"].options.numeric == ("age", "gene_a", "gene_b")
    assert cohort.sizes["ehr"] == (4,)
    fitted = cohort.fit(cohort.split_rows("train"))
    table_of(tmp_path, dict(sorted(columns.items())), one_input('numeric: [age, "gene_*"], categorical: [gene_type]'))
    assert not loaded(file, preprocessing=fitted, require_targets=False).warnings


@pytest.mark.parametrize(("options", "code"), [
    ('numeric: ["gene_*"]', "unknown-column"), ('categorical: ["*"]', "id-as-input"),
    ('categorical: ["lab*"]', "target-as-input"),
])
def test_a_pattern_that_fits_nothing_or_too_much_is_refused(tmp_path, options, code):
    found = refused(table_of(tmp_path, {"age": numbers()}, one_input(options)))
    assert code in {d.code for d in found}
