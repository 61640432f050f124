"""Options of a reader that are filled in from the row, as paths are: `series: "{column}"`."""

from __future__ import annotations

from pathlib import Path

import dicom_files
import numpy as np
import pytest

from fusionkit.data.description import describe
from fusionkit.data.loading import load_cohort
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.errors import DataError

DATA = """fusionkit-data: 1
cases: cases.csv
id: id
split: {column: split}
inputs:
  ct: {read: dicom, path: "ct/{patient}", series: "SERIES"}
targets:
  y: {column: y}
"""
PLANES = np.random.default_rng(0).integers(0, 3000, (4, 5, 7)).astype(np.int16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two series in the folder of one patient, each a case of its own, and a folder with one series."""
    for series in (1, 2):
        for place, plane in enumerate(PLANES + series):
            made = dicom_files.ct(plane, 2.0 * place, SeriesInstanceUID=f"1.2.{series}", SeriesNumber=series)
            dicom_files.save(made, tmp_path / "ct" / "p0" / f"{series}-{place}.dcm")
    dicom_files.series(tmp_path / "ct" / "p1", PLANES)
    (tmp_path / "cases.csv").write_text("id,patient,series,number,y,split\nc0,p0,1.2.1,1,a,train\n"
                                        "c1,p0,1.2.2,2,b,test\nc2,p1,,,a,train\nc3,p1,1.2.3.4.5,2,b,test\n")
    return tmp_path


def load(folder: Path, series: str) -> object:
    (folder / "data.yaml").write_text(DATA.replace("SERIES", series))
    return load_cohort(describe(folder / "data.yaml"), {"y": HeadTarget("multiclass", ("a", "b"))},
                       {"ct": InputNeed((1, None, None, None))}, require_targets=False)


@pytest.mark.parametrize("series", ["{series}", "{number}", "{ number }"])
def test_a_column_says_which_series_is_read(folder: Path, series: str) -> None:
    cohort = load(folder, series)
    cases = cohort.dataset(cohort.rows, cohort.fit(cohort.rows), folder / "cache")
    for _ in range(2):
        read = [case["inputs"]["ct"].numpy() for case in cases]
        for found, expected in zip(read, (PLANES + 1, PLANES + 2, PLANES, PLANES), strict=True):
            np.testing.assert_array_equal(found[0], expected - 1024)


def test_two_series_of_one_folder_are_two_files(folder: Path) -> None:
    warned = [found.message for found in load(folder, "{series}").warnings if found.code == "shared-file"]
    assert not any("'c0'" in message for message in warned)


def test_a_blank_cell_chooses_no_series(folder: Path) -> None:
    table = folder / "cases.csv"
    table.write_text(table.read_text().replace("1.2.1,1", ",1"))
    with pytest.raises(DataError) as caught:
        load(folder, "{series}")
    [found] = caught.value.diagnostics
    assert found.code == "dicom-several-series" and "case 'c0'" in found.message


@pytest.mark.parametrize(("series", "code"), [("{serie}", "unknown-column"), ("{series", "bad-template")])
def test_a_wrong_template_is_told_at_its_option(folder: Path, series: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        load(folder, series)
    [found] = caught.value.diagnostics
    assert found.code == code and "series" in found.span.text
