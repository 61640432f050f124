"""Values of DICOM headers as columns: how cells are written, what is not taken, and the table that keeps them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.cli.parser import main
from fusionkit.data.cohort import Cohort
from fusionkit.data.description import describe
from fusionkit.data.header_values import DEFAULT_TAGS, cells_of, identifies, tells_sites
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.errors import DataError

AGES = json.loads((GOLDEN / "images/dicom/expected.json").read_text())["ages"]


@pytest.mark.parametrize("text", AGES)
def test_ages_are_years_or_blank(text: str) -> None:
    (cell,), doubt = cells_of("PatientAge", text)
    assert (cell == "" if AGES[text] is None else float(cell) == pytest.approx(AGES[text]))
    assert (doubt is None) == (AGES[text] is not None or not text)


@pytest.mark.parametrize(("keyword", "text", "cells", "doubt"), [
    ("PatientAge", "089Y", ("89",), None), ("PatientAge", "094Y", ("90",), None),
    ("PatientSex", "f", ("F",), None), ("PatientSex", "W", ("",), "none of M"),
    ("PixelSpacing", "0.7\\0.9", ("0.7", "0.9"), None), ("PixelSpacing", "0.7", ("", ""), "not two numbers"),
    ("PixelSpacing", "", ("", ""), None), ("ConvolutionKernel", "B70f\\3", ("B70f",), "2 values")])
def test_cells_are_written_by_what_the_element_is(keyword: str, text: str, cells: tuple[str, ...],
                                                  doubt: str | None) -> None:
    found, said = cells_of(keyword, text)
    assert found == cells and (said is None if doubt is None else doubt in str(said))


def test_elements_that_tell_persons_are_no_default() -> None:
    assert not any(map(identifies, DEFAULT_TAGS.values()))
    for keyword in ("PatientName", "PatientID", "StudyDate", "AcquisitionTime", "SOPInstanceUID", "InstitutionName",
                    "StationName", "PatientBirthDate", "DeviceSerialNumber", "PatientAddress"):
        assert identifies(keyword), keyword
    assert tells_sites("Manufacturer") and tells_sites("ConvolutionKernel") and not tells_sites("KVP")


DATA = """fusionkit-data: 1
cases: cases.csv
id: id
inputs:
  ehr: {read: columns, numeric: [weight, dicom.kvp, dicom.age], fill: mean, from_dicom: {path: "ct/{id}", MORE}}
targets:
  y: {column: y}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stored = np.zeros((1, 2, 2), np.int16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's own, of the age
        for case, (age, kvp) in enumerate((("045Y", 120), ("006M", 100), ("45", 80))):
            dicom_files.series(tmp_path / f"ct/c{case}", stored, PatientAge=age, KVP=kvp, PatientName="Doe")
    (tmp_path / "cases.csv").write_text("id,weight,y\nc1,70,a\nc0,80,b\nc2,90,a\nc3,60,b\n")
    return tmp_path


def written(folder: Path, more: str = "below: false") -> str:
    (folder / "data.yaml").write_text(DATA.replace("MORE", more))
    return str(folder / "data.yaml")


def cohort(folder: Path) -> Cohort:
    return load_cohort(describe(folder / "data.yaml"), {"y": HeadTarget("multiclass", ("a", "b"))},
                       {"ehr": InputNeed((None,))})


def test_a_table_is_written_once_and_joined_by_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = written(folder)
    with pytest.raises(DataError) as caught:
        cohort(folder)
    assert caught.value.diagnostics[0].code == "no-header-table"
    assert "fusionkit headers" in str(caught.value.diagnostics[0].fix)
    assert main(["headers", data]) == 0
    told = capsys.readouterr().err
    assert "PatientAge of 1 cases: '45' is no age" in told and "ConvolutionKernel, by which a network" in told
    lines = (folder / "headers.csv").read_text().splitlines()
    assert lines[0].startswith("id,dicom.age,dicom.sex") and "dicom.spacing.rows,dicom.spacing.columns" in lines[0]
    assert "Doe" not in "".join(lines) and [line.split(",")[0] for line in lines[1:]] == ["c1", "c0", "c2", "c3"]
    (folder / "headers.csv").write_text("\n".join([lines[0], *lines[:0:-1][1:]]) + "\n")  # other order, without c3
    loaded = cohort(folder)
    np.testing.assert_array_equal(loaded.columns["ehr"].numeric,
                                  [[70, 100, 0.5], [80, 120, 45], [90, 80, np.nan], [60, np.nan, np.nan]])
    assert {found.code for found in loaded.warnings} >= {"not-in-headers"}


def test_a_faulty_cell_is_told_where_it_is(folder: Path) -> None:
    written(folder)
    (folder / "headers.csv").write_text("id,dicom.kvp,dicom.age\nc0,120,45\nc1,many,44\n")
    with pytest.raises(DataError) as caught:
        cohort(folder)
    found = next(each for each in caught.value.diagnostics if each.code == "not-a-number")
    assert str(found.span).endswith("headers.csv:3:4")


def test_a_column_or_an_id_that_is_there_twice_is_told(folder: Path) -> None:
    written(folder)
    table = "id,dicom.kvp,dicom.age,weight\nc0,120,45,1\nc1,120,44,1\nc2,120,43,1\nc3,120,42,1\n"
    (folder / "headers.csv").write_text(table)
    found = cohort(folder)
    assert [each.message[:9] for each in found.warnings if each.code == "header-column"] == ["'weight' "]
    assert found.columns["ehr"].numeric[:, 0].tolist() == [70, 80, 90, 60]
    again = (folder / "data.yaml").read_text().replace("targets:", """  pet: {read: columns, numeric: [dicom.kvp],
    from_dicom: {path: "ct/{id}", table: pet.csv}}
targets:""")
    (folder / "data.yaml").write_text(again)
    (folder / "pet.csv").write_text("id,dicom.kvp\nc0,1\nc1,2\nc2,3\nc3,4\n")
    assert [each.message[:12] for each in cohort(folder).warnings if each.code == "header-column"] == [
        "'weight' of ", "'dicom.kvp' "]
    (folder / "headers.csv").write_text(f"{table}c1,80,44,1\n")
    with pytest.raises(DataError, match="the id 'c1' occurs twice"):
        cohort(folder)


@pytest.mark.parametrize(("more", "arguments", "said"), [
    ("tags: {who: PatientName}", [], "may say who a person is"),
    ("tags: {kvp: KVp}", [], "did you mean 'KVP'"),
    ("tags: {}", [], "names no element"),
    ("choose: {modality: MR}", [], "contains no series that 'choose' would take"),
    ("below: false", ["-o", "cases.csv"], "which is not overwritten")])
def test_what_is_not_taken_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any, more: str,
                                      arguments: list[str], said: str) -> None:
    monkeypatch.chdir(folder)
    assert main(["headers", written(folder, more), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_identifies_is_taken_where_it_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = written(folder, "tags: {who: PatientName}")
    assert main(["headers", data, "--identifying", "-o", str(folder / "names.csv"), "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["columns"] == ["who"] and "may say who" in found.err
    assert (folder / "names.csv").read_text().splitlines()[1] == "c1,Doe"
