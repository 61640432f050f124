"""Grids and steps of events: the bins and fillings of published records, what was not measured, and later cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN as RECORDED

from fusionkit.data.batch import collate
from fusionkit.data.cohort import Cohort
from fusionkit.data.description import describe
from fusionkit.data.loading import InputNeed, load_cohort
from fusionkit.errors import DataError

GOLDEN = RECORDED / "encoders" / "ehr_grid.npz"
TOKENS = InputNeed((None, None), optional=True, masked=True, layout="tokens")
SERIES = InputNeed((None, None), optional=True, masked=True, layout="series")
KNOWN = "names: {GCS: {kind: category, values: [3, 4, 15], normal: 15}, HR: {normal: 86}, Temp: {normal: 36.6}}"
CASES = "id,admitted,at,part\na,0,4,train\nb,10,12.5,train\nc,3,4,test\n"


def study(folder: Path, read: str, events: str, need: InputNeed = TOKENS, cases: str = CASES, **run: Any) -> Cohort:
    (folder / "cases.csv").write_text(cases)
    (folder / "events.csv").write_text(f"stay,hour,what,amount\n{events}")
    (folder / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {column: part}\n"
        "inputs: {ehr: {table: events.csv, by: stay, time: hour, name: what, value: amount, index: at, time_unit: h, "
        f"{read}}}}}\n"
    )
    return load_cohort(describe(folder / "data.yaml"), {}, {"ehr": need}, not run, **run)


def published() -> tuple[str, dict[str, Any]]:
    """The events of the recorded case, in rows of our table, and its grids."""
    with np.load(GOLDEN) as file:
        arrays = {name: file[name] for name in file.files}
    rows = json.loads(str(arrays.pop("meta")))["rows"]
    names = ("GCS", "HR", "Temp")
    return "".join(
        f"a,{time},{name},{cell}\n" for time, *cells in rows for name, cell in zip(names, cells, strict=True) if cell
    ), arrays


@pytest.mark.parametrize(
    ("fill", "recorded"), [("none", "zero"), ("normal", "normal_value"), ("previous", "previous"), ("next", "next")]
)
def test_a_grid_is_that_of_the_published_record(fill: str, recorded: str, tmp_path: Path) -> None:
    events, grids = published()
    cohort = study(
        tmp_path, f"read: grid, start: admitted, {KNOWN}, fill: {fill}, standardise: false, after: drop", events
    )
    # The event at 4.7 is after the end, and is counted.
    assert next(warning.message for warning in cohort.warnings if warning.code == "events-dropped").count("1 events")
    case = cohort.dataset(cohort.rows, cohort.fit(cohort.rows))[0]
    assert np.array_equal(case["inputs"]["ehr"].numpy(), grids[f"grid_{recorded}"])


def test_what_is_measured_is_scaled_by_training_cases_and_codes_are_not(tmp_path: Path) -> None:
    events = "a,1,HR,80\na,4,HR,100\na,2,GCS,15\nb,11,HR,90\nc,3.5,HR,900\nc,3.5,GCS,4\n"
    read = "read: grid, start: admitted, names: {GCS: {kind: category}, HR: {}}, fill: mean, delta: true"
    cohort = study(tmp_path, read, events)
    found = cohort.gathered["ehr"]
    assert found.names == ("GCS=15", "HR", "GCS measured", "HR measured", "hours since GCS", "hours since HR")
    # A category that training has not seen is told of, and read nowhere.
    assert [warning.code for warning in cohort.warnings if "GCS=4" in warning.message] == ["unknown-category"]
    assert (found.counts["read"], found.counts["unknown_variable"]) == (5, 1)
    batch = collate([cohort.dataset(cohort.rows, cohort.fit(cohort.split_rows("train")))[row] for row in range(3)])
    values = batch.inputs["ehr"].numpy()
    spread = np.std([80, 100, 90])
    assert np.allclose(values[0, :, 1], [-10 / spread, 0, 0, 10 / spread])
    assert values[0, :, 0].tolist() == [0, 1, 0, 0] and values[0, :, 3].tolist() == [1, 0, 0, 1]
    since = np.array([0, 1, 2, 0, 0, 1, 2])
    assert np.allclose(values[0, :, 5], (since[:4] - since.mean()) / since.std())
    assert values[2, 0, 1] == 8 and batch.valid["ehr"].sum(1).tolist() == [4, 3, 1]


def test_a_later_case_is_read_in_the_columns_of_the_run(tmp_path: Path) -> None:
    read = "read: grid, start: admitted, names: {GCS: {kind: category}, HR: {}}, delta: true, mask: false"
    cohort = study(tmp_path, read, "a,1,HR,80\na,2,GCS,15\na,3,GCS,3\n")
    kept = cohort.fit(cohort.split_rows("train"))
    other = study(tmp_path, read, "a,1,HR,80\na,2,GCS,4\n", preprocessing=kept)
    assert other.gathered["ehr"].names == cohort.gathered["ehr"].names
    assert other.gathered["ehr"].names[:3] == ("GCS=3", "GCS=15", "HR") and other.sizes["ehr"] == (4, 5)


def test_a_window_leaves_out_what_is_at_its_start_and_admission_does_not(tmp_path: Path) -> None:
    events = "a,2,HR,80\na,3,HR,90\n"
    by_window = study(tmp_path, "read: grid, window: [-2h, 0h], fill: none, mask: false, standardise: false", events)
    assert np.nan_to_num(by_window.gathered["ehr"].arrays[0])[:, 0].tolist() == [90, 0]
    early = study(tmp_path, "read: grid, start: at, fill: none", f"{events}a,4,HR,70\n")
    assert early.gathered["ehr"].arrays[0][:, 0].tolist() == [70]
    assert [warning.code for warning in early.warnings if "2 events" in warning.message] == ["events-before-start"]


def test_steps_hold_what_was_measured_and_nothing_else(tmp_path: Path) -> None:
    events = "a,1,HR,80\na,3.5,HR,90\na,3.5,GCS,15\nb,12,GCS,3\n"
    names = "names: {GCS: {kind: category}, HR: {}}"
    found = study(tmp_path, f"read: steps, window: [-4h, 0h], {names}", events, SERIES).gathered["ehr"]
    assert found.names == ("GCS=3", "GCS=15", "HR") and found.fixed == (0, 1)
    assert found.arrays[0].tolist() == [[0, 0, 80, 0, 0, 1, 1], [0, 1, 90, 1, 1, 1, 3.5]] and found.arrays[2] is None
    equal = study(tmp_path, f"read: steps, window: [-4h, 0h], step: 2h, {names}", events, SERIES).gathered["ehr"]
    assert equal.arrays[0].tolist() == [[0, 0, 80, 0, 0, 1, 2], [0, 1, 90, 1, 1, 1, 4]]
    cut = study(tmp_path, f"read: steps, keep: 1, {names}", events, SERIES)
    assert (cut.gathered["ehr"].counts["read"], cut.gathered["ehr"].counts["more_than_keep"]) == (3, 1)
    assert cut.gathered["ehr"].arrays[0][:, -1].tolist() == [2.5] and "steps-cut" in {w.code for w in cut.warnings}


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ("read: grid", "write one"),
        ("read: grid, window: [-2h, 0h], start: admitted", "write one"),
        ("read: grid, window: [-2h, 0h], fill: normal", "needs 'normal' of every variable"),
        ("read: grid, window: [-2h, 0h], names: {HR: {}}, fill: normal", "'HR' has none"),
        ("read: grid, window: [-2h, 0h], grid: 0h", "is no step"),
        ("read: grid, window: [-2h, 0h], names: {HR: {normal: fast}}", "is no number"),
        ("read: grid, window: [-2h, 0h], fill: mean, standardise: false", "knows the means"),
        ("read: grid, window: [-2d, 0h], grid: 1s", "are 172,800 steps"),
        ("read: steps, step: 1h", "counts from the start"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(read: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        study(tmp_path, read, "a,3,HR,80\n", SERIES if "steps" in read else TOKENS)


def test_a_grid_is_no_input_of_a_fixed_number_of_tokens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"write 'tokens: \[null, COLUMNS\]'"):
        study(tmp_path, "read: grid, window: [-2h, 0h]", "a,3,HR,80\n", InputNeed((2, 2), layout="tokens"))
