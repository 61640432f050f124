"""Events and series of all cases: what is read, in which order, how it is scaled, and what a run keeps."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from fusionkit_plugins.blocks.event_times import UnknownTimeError, duration, hours_of
from fusionkit_plugins.blocks.table_rows import rows_of

from fusionkit.data.batch import collate
from fusionkit.data.cohort import Cohort
from fusionkit.data.description import describe
from fusionkit.data.loading import InputNeed, load_cohort
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.sequences import fit_of, prepared
from fusionkit.errors import DataError
from fusionkit.reading import ReadError, Sequences

LABS = """stay,hour,what,amount
a,3,k,4.4
a,1,k,4
a,2,na,140
a,3,k,4.6
b,15,k,3.8
c,29,na,138
c,5,k,9
d,9,rare,2
"""
READ = "read: events, table: labs.csv, by: stay, time: hour, name: what, value: amount, index: at, time_unit: h"
NEED = InputNeed((None, None), optional=True, masked=True, most=64, layout="events")


def study(folder: Path, more: str = "window: [-24h, 0h]", labs: str = LABS, **run: object) -> Cohort:
    (folder / "cases.csv").write_text("id,at,part\na,10,train\nb,20,train\nc,30,train\nd,10,test\n")
    (folder / "labs.csv").write_text(labs)
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {column: part}\n"
                                      f"inputs: {{labs: {{{READ}, {more}}}}}\n")
    return load_cohort(describe(folder / "data.yaml"), {}, {"labs": NEED}, not run, **run)


def test_events_are_in_the_order_of_time_with_the_variables_of_training_cases(tmp_path: Path) -> None:
    found = study(tmp_path).gathered["labs"]
    # Of two values at one time the last stands; c's event at 5 is not within a day; d's variable training has not seen.
    assert found.names == ("k", "na") and found.kinds == 4
    assert found.arrays[0].tolist() == [[-9, 2, 4], [-8, 3, 140], [-7, 2, 4.6]]
    assert found.arrays[2].tolist() == [[-1, 3, 138]] and found.arrays[3].tolist() == [[-1, 1, 2]]


@pytest.mark.parametrize(("more", "kept"), [
    ("keep: 2", [[-8, 3, 140], [-7, 2, 4.6]]), ("keep: 2, which: oldest", [[-9, 2, 4], [-8, 3, 140]]),
    ("same_time: mean", [[-9, 2, 4], [-8, 3, 140], [-7, 2, 4.5]]), ("names: [na]", [[-8, 2, 140]]),
    ("window: [-8h, -7h]", [[-7, 2, 4.6]]),
])
def test_options_choose_which_events_are_read(more: str, kept: list[list[float]], tmp_path: Path) -> None:
    assert np.allclose(study(tmp_path, more).gathered["labs"].arrays[0], kept)


def test_a_parquet_table_has_the_rows_of_a_csv_file(tmp_path: Path) -> None:
    table = pyarrow.csv.read_csv(io.BytesIO(LABS.replace("d,9,rare,2", "d,9,rare,").encode()))
    pyarrow.parquet.write_table(table.append_column("more", [["x"] * table.num_rows]), tmp_path / "labs.parquet")
    (tmp_path / "labs.csv").write_text(LABS)
    columns = ("hour", "amount", "stay")
    wanted, found = (rows_of(tmp_path / name, columns) for name in ("labs.csv", "labs.parquet"))
    assert [(number, (float(hour), stay)) for number, (hour, _, stay) in found] == [
        (number, (float(hour), stay)) for number, (hour, _, stay) in wanted]
    assert [amount for _, (_, amount, _) in found] == ["4.4", "4.0", "140.0", "4.6", "3.8", "138.0", "9.0", ""]
    with pytest.raises(ReadError, match=r"'labs\.parquet' has no column 'name'"):
        rows_of(tmp_path / "labs.parquet", ["name"])
    (tmp_path / "labs.parquet").write_bytes((tmp_path / "labs.parquet").read_bytes()[:-9])
    with pytest.raises(ReadError, match="cannot be read as Parquet"):
        rows_of(tmp_path / "labs.parquet", columns)


def test_mixup_is_refused_for_events(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'mixup' cannot join cases by 'labs'"):
        study(tmp_path, "window: [-24h, 0h]}}\naugment: {mixup: {alpha: 0.2")


def test_events_after_the_index_are_left_out_where_that_is_written(tmp_path: Path) -> None:
    late = f"{LABS}a,11,k,99\n"
    with pytest.raises(DataError, match="event-after-index"):
        study(tmp_path, labs=late)
    cohort = study(tmp_path, "after: drop", late)
    assert [warning.code for warning in cohort.warnings if "after" in warning.message] == ["events-dropped"]
    assert cohort.gathered["labs"].arrays[0][:, 0].max() == -7


def test_times_of_two_zones_are_compared_as_moments() -> None:
    """Half past twelve in London is after one o'clock in Berlin."""
    assert hours_of("2026-11-29T12:30+00:00", None) > hours_of("2026-11-29T13:00+01:00", None)


def test_rows_that_no_case_has_are_counted(tmp_path: Path) -> None:
    cohort = study(tmp_path, labs=f"{LABS}\na,2,k,\nE,3,k,4\nE,3,na,5\n")
    said = {warning.code: warning.message for warning in cohort.warnings}
    rows = LABS.count("\n")
    assert said["events-blank"].endswith(f"a name or a value, and are left out, such as row {rows + 2}")
    assert said["events-of-others"].endswith(
        f"2 of {rows + 1} events are of 1 cases that the table of cases lacks, such as 'E'")
    assert not {"events-blank", "events-of-others"} & {warning.code for warning in study(tmp_path).warnings}


def test_values_are_scaled_by_training_cases_and_a_run_keeps_its_variables(tmp_path: Path) -> None:
    cohort = study(tmp_path)
    kept = Preprocessing.from_json(cohort.fit(cohort.split_rows("train")).to_json())
    fit = kept.sequence("labs")
    assert fit.names == ("k", "na") and np.allclose(fit.means[2:], [np.mean([4, 4.6, 3.8]), 139])
    batch = collate([cohort.dataset(cohort.rows, kept)[place] for place in range(4)])
    assert batch.inputs["labs"].shape == (4, 3, 3) and batch.valid["labs"].sum(1).tolist() == [3, 1, 1, 1]
    assert np.allclose(batch.inputs["labs"][2, 0].tolist(), [-1, 3, -1])
    other = study(tmp_path, labs="stay,hour,what,amount\na,1,na,3\na,2,glucose,1\n", preprocessing=kept)
    assert other.gathered["labs"].arrays[0][:, 1].tolist() == [3, 1] and other.sizes["labs"] == (2, 4)
    with pytest.raises(DataError, match=r"'window' differs \[preprocessing-differs\]"):
        study(tmp_path, "window: [-9h, 0h]", preprocessing=kept)


def test_a_series_is_sorted_and_what_is_blank_is_not_observed(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("id\na\nb\n")
    (tmp_path / "a.csv").write_text("t,hr,sbp\n90,90,\n30,80,120\n")
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {vitals: {read: series, path: '{id}.csv', missing_ok: "
        "true, channels: [hr, sbp], time: t, time_unit: min}}\n")
    need = InputNeed((None, None), optional=True, masked=True, layout="series")
    cohort = load_cohort(describe(tmp_path / "data.yaml"), {}, {"vitals": need}, False)
    found = cohort.gathered["vitals"]
    assert found.arrays[0].tolist() == [[80, 120, 1, 1, 0], [90, 0, 1, 0, 1]] and found.arrays[1] is None
    batch = collate([cohort.dataset(cohort.rows, cohort.fit(cohort.rows))[place] for place in range(2)])
    assert batch.inputs["vitals"][0].tolist() == [[-1, 0, 1, 1, 0], [1, 0, 1, 0, 1]]
    assert batch.present["vitals"].tolist() == [True, False]


def test_values_far_from_those_of_training_are_clipped() -> None:
    array = np.array([[-1.0, 2.0, 1.0], [-1.0, 2.0, 3.0]])
    fit = fit_of("events", Sequences((array,), 3, scaled=True), [0])
    assert prepared(np.array([[0.0, 2.0, 1e9]]), fit).tolist() == [[0, 2, 8]]


@pytest.mark.parametrize(("cell", "unit", "hours"), [("1970-01-02T06:00", None, 30), ("90", "min", 1.5),
                                                     ("1970-01-01T02:00+02:00", None, 0)])
def test_times_are_iso_or_numbers_of_a_unit(cell: str, unit: str | None, hours: float) -> None:
    assert hours_of(cell, unit)[0] == hours
    assert duration("-30min") == -0.5 and duration("2d") == 48


@pytest.mark.parametrize(("cell", "unit"), [("29.11.2026", None), ("13/12/2026 10:00", None), ("nan", "h"), ("", "h")])
def test_what_may_be_two_times_is_none(cell: str, unit: str | None) -> None:
    with pytest.raises(UnknownTimeError):
        hours_of(cell, unit)


STORED = "stay,hour,what,amount,storetime,valueuom\na,1,k,4,1.5,mmol/L\na,2,k,5,11,mmol/L\nb,15,k,3,15,mmol/L\n"


def test_a_value_that_became_known_after_the_index_is_after_it(tmp_path: Path) -> None:
    doubted = study(tmp_path, labs=STORED)
    said = next(warning for warning in doubted.warnings if warning.code == "known-later")
    assert "in 2 of 3 rows; 1 events that are read are after their index by it" in said.message
    with pytest.raises(DataError, match=r"1, in 1 of 4 cases; 1 of them became known after it, by 'storetime'"):
        study(tmp_path, "known: storetime", STORED)
    cohort = study(tmp_path, "known: storetime, after: drop", STORED)
    assert cohort.gathered["labs"].arrays[0].tolist() == [[-9, 2, 4]]
    blank = study(tmp_path, "known: storetime", STORED.replace("11,mmol", ",mmol"))
    assert "known-blank" in {warning.code for warning in blank.warnings}
    assert "known-later" not in {warning.code for warning in study(tmp_path, labs=LABS).warnings}


@pytest.mark.parametrize(
    ("cell", "more", "value"),
    [("72,mg/dL", "convert: {k: {mg/dL: 0.0555}}", 3.996), ("39.2,degF", "convert: {k: {degF: [0.5, -16]}}", 3.6)],
)
def test_units_are_converted_by_variable(cell: str, more: str, value: float, tmp_path: Path) -> None:
    labs = f"stay,hour,what,amount,valueuom\na,1,k,{cell}\na,2,k,5,mmol/L\n"
    with pytest.raises(DataError, match=r"(?s)'k' has several units.*write the factor"):
        study(tmp_path, "unit: valueuom", labs)
    found = study(tmp_path, f"unit: valueuom, {more}", labs).gathered["labs"]
    assert np.allclose(found.arrays[0], [[-9, 2, value], [-8, 2, 5]]) and found.units == {"k": "mmol/L"}


def test_a_later_case_in_another_unit_is_refused(tmp_path: Path) -> None:
    cohort = study(tmp_path, "unit: valueuom", STORED)
    kept = Preprocessing.from_json(cohort.fit(cohort.split_rows("train")).to_json())
    other = STORED.replace("mmol/L", "mg/dL")
    with pytest.raises(DataError, match=r"(?s)'k' is in mg/dL .preprocessing-differs.*in training it was in mmol/L"):
        study(tmp_path, "unit: valueuom", other, preprocessing=kept)
    found = study(tmp_path, "unit: valueuom, convert: {k: {mg/dL: 0.5}}", other, preprocessing=kept)
    assert found.gathered["labs"].arrays[0][0, 2] == 2
    with pytest.raises(DataError, match="'k' is to be in g, and is not"):
        study(tmp_path, "unit: valueuom, names: {k: {unit: g}}", STORED)


def test_units_that_are_not_read_are_told_of_where_they_differ(tmp_path: Path) -> None:
    mixed = STORED.replace("15,mmol/L", "15,mg/dL")
    said = {warning.code: warning.message for warning in study(tmp_path, labs=mixed).warnings}
    assert "'valueuom' has several units for 1 variables, such as 2 in mmol/L, 1 in mg/dL" in said["units-unread"]
    assert "units-unread" not in {warning.code for warning in study(tmp_path, labs=STORED).warnings}


def test_values_out_of_their_range_are_told_of_by_share(tmp_path: Path) -> None:
    labs = f"{LABS}a,2.5,k,9999\n"
    cohort = study(tmp_path, "names: {k: {range: [0, 30]}}", labs)
    said = next(warning for warning in cohort.warnings if warning.code == "out-of-range")
    assert "1 of 6 of 'k' (17 %)" in said.message and cohort.gathered["labs"].arrays[0][:, 2].max() == 9999
    dropped = study(tmp_path, "names: {k: {range: [0, 30]}}, outside: drop", labs).gathered["labs"]
    assert dropped.arrays[0][:, 2].max() == 4.6


def test_what_is_read_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    labs = f"{LABS}a,4,rhythm,7\na,11,k,3\na,2.5,k,9999\nb,2,na,\nE,3,k,4\n"
    names = "names: {k: {range: [0, 30]}, na: {}, lactat: {}}"
    cohort = study(tmp_path, f"window: [-8h, 0h], {names}, outside: drop, after: drop, keep: 2", labs)
    # Of a: -9 is before the window, of two at -7 the last stands. Of c: 5 is before it.
    assert dict(cohort.gathered["labs"].counts) == {
        "read": 3, "after_index": 1, "before_start": 0, "outside_window": 3, "same_time": 1, "blank": 1, "not_named": 2,
        "out_of_range": 1, "unit_not_compared": 0, "of_other_cases": 1, "more_than_keep": 0, "unknown_variable": 0}
    said = {warning.code: warning for warning in cohort.warnings}
    assert said["variable-unmet"].message.endswith("no event of the table is of 'lactat', which 'names' has")
    cut = study(tmp_path, "keep: 1").gathered["labs"].counts
    assert (cut["read"], cut["more_than_keep"], cut["unknown_variable"]) == (4, 3, 1)
    assert study(tmp_path, labs=STORED.replace("15,mmol/L", "15,g")).gathered["labs"].counts["unit_not_compared"] == 1


def test_a_category_is_a_variable_of_its_own(tmp_path: Path) -> None:
    labs = "stay,hour,what,amount\na,1,rhythm,AF\na,2,k,4\nb,15,rhythm,sinus\nb,16,rhythm,AF\nd,9,rhythm,VT\n"
    cohort = study(tmp_path, "names: {k: {}, rhythm: {kind: category}}", labs)
    found = cohort.gathered["labs"]
    assert found.names == ("k", "rhythm=AF", "rhythm=sinus") and found.arrays[3].tolist() == [[-1, 1, 1]]
    fit = cohort.fit(cohort.split_rows("train")).sequence("labs")
    assert prepared(found.arrays[0], fit).tolist() == [[-9, 3, 1], [-8, 2, 0]]
    with pytest.raises(DataError, match=r"(?s)'AF' of 'rhythm' is no number.*kind: category"):
        study(tmp_path, "least: 0.5", labs)


def test_dates_of_another_form_are_read_by_it() -> None:
    assert hours_of("02.01.1970 06:00", None, "%d.%m.%Y %H:%M")[0] == 30
    with pytest.raises(UnknownTimeError, match="time_format"):
        hours_of("1970-01-02T06:00", None, "%d.%m.%Y %H:%M")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("time_format: '%d.%m.%Y'", "write one"),
        ("convert: {k: {mg: 2}}", "only with 'unit'"),
        ("unit: u, names: [na], convert: {k: {mg: 2}}", "'names' lacks"),
        ("unit: u, names: {k: {unit: mg}}, convert: {k: {mg: 2}}", "which is its unit"),
        ("names: {k: {kind: category, range: [0, 1]}}", "no unit and no range"),
        ("names: {k: {values: [1]}}", "kind: category"),
        ("names: {k: {range: [2, 1]}}", "ends before it begins"),
        ("window: [-4h, 1h]", "what comes later"),
    ],
)
def test_options_that_contradict_each_other_are_refused(more: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        study(tmp_path, more)
