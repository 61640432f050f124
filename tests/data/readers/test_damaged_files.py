"""Files whose damage once passed the readers' own checks: refused with what they are, whatever a decoder raises."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from fusionkit_plugins.readers import dicom
from fusionkit_plugins.readers.image import ImageOptions
from fusionkit_plugins.readers.nifti import NiftiOptions
from fusionkit_plugins.readers.nifti import examine as examine_nifti
from pyarrow import parquet
from pydantic import ValidationError
from shaped_arrays import read_shaped

from fusionkit.data import case_files, table
from fusionkit.data.description import describe
from fusionkit.data.findings import Findings
from fusionkit.data.readers.reader import ReadError
from fusionkit.data.table import read_table
from fusionkit.errors import DataError

FILES = Path(__file__).with_name("damaged")
# pydicom's own decoder reads this one, and finds no fault.
BY_ANOTHER_DECODER = pytest.mark.skipif(find_spec("rle") is None, reason="pylibjpeg-rle is not installed")


@pytest.mark.parametrize("form", ["image", "volume"])
@pytest.mark.parametrize("path", [
    pytest.param(path, id=path.stem, marks=[BY_ANOTHER_DECODER] if path.stem == "13dcdeab" else [])
    for path in sorted(FILES.glob("*.dcm"))])
def test_a_damaged_dicom_file_is_a_read_error(path: Path, form: str) -> None:
    with pytest.raises(ReadError) as caught:
        dicom.read(path, dicom.DicomOptions(path="x", form=form))
    assert caught.value.code.startswith("dicom-")
    assert caught.value.fix


@pytest.mark.parametrize(("stem", "code"), [
    ("5be269da", "dicom-bad-header"), ("bbf2069a", "dicom-bad-header"), ("0c2352f4", "dicom-no-syntax"),
    pytest.param("13dcdeab", "dicom-undecodable", marks=BY_ANOTHER_DECODER),
])
def test_the_code_says_where_the_damage_is(stem: str, code: str) -> None:
    with pytest.raises(ReadError) as caught:
        dicom.read(FILES / f"{stem}.dcm", dicom.DicomOptions(path="x", form="image"))
    assert caught.value.code == code
    assert stem in caught.value.message


def test_a_volume_without_voxels_is_empty() -> None:
    with pytest.raises(ReadError) as caught:
        read_shaped(examine_nifti, next(FILES.glob("*.nii")), NiftiOptions(path="x", size=(3, 5, 7)))
    assert caught.value.code == "empty-array"


@pytest.mark.parametrize("path", sorted(FILES.glob("*.parquet")), ids=lambda path: path.stem)
def test_a_damaged_parquet_table_is_refused_with_its_name(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert {found.code for found in caught.value.diagnostics} == {"not-parquet"}
    assert path.name in caught.value.diagnostics[0].message


def test_a_parquet_table_of_equal_values_is_refused_by_its_row_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                                    ) -> None:
    monkeypatch.setattr(table, "MAX_ROWS", 1009)
    path = tmp_path / "cases.parquet"
    parquet.write_table(pyarrow.table({"id": ["x"] * 1013}), path)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert [found.code for found in caught.value.diagnostics] == ["table-limit"]
    assert "1,013 rows" in caught.value.diagnostics[0].message
    parquet.write_table(pyarrow.table({"id": ["x"] * 1009}), path)
    assert len(read_table(path)) == 1009


@pytest.mark.parametrize(("options", "size"), [
    (ImageOptions, (100_000, 100_000)), (NiftiOptions, (4096, 4096, 4096)), (dicom.DicomOptions, (4096, 4096, 4096)),
])
def test_a_size_that_no_machine_holds_is_a_wrong_option(options: Any, size: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="at most 1,073,741,824 are read"):
        options(path="x", size=size)


class Panic(BaseException):
    """As a decoder written in Rust raises it."""


Panic.__name__ = "PanicException"


@pytest.mark.parametrize(("raised", "code"), [
    (Panic("index out of bounds"), "unreadable-file"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), "too-large"),
    (ZeroDivisionError(), "unreadable-file"),
])
def test_whatever_a_decoder_raises_names_the_file(
    raised: BaseException, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> Any:
        raise raised

    with pytest.raises(ReadError) as caught:
        case_files.load(_pictures(tmp_path, monkeypatch, read), tmp_path / "x" / "c0.png", None)
    assert caught.value.code == code
    assert caught.value.fix


def test_an_interruption_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case_files.load(_pictures(tmp_path, monkeypatch, read), tmp_path / "x" / "c0.png", None)


def _pictures(folder: Path, monkeypatch: pytest.MonkeyPatch, read: Any) -> Any:
    (folder / "cases.csv").write_text("id,kind\nc0,a\n")
    (folder / "x").mkdir()
    (folder / "x" / "c0.png").touch()
    (folder / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {folds: 2}\n"
                                      "inputs:\n  xray: {read: image, path: 'x/{id}.png', size: [5, 7]}\n"
                                      "targets:\n  kind: {column: kind}\n")
    monkeypatch.setattr("fusionkit.data.readers.reader.FileReader.examine", read)
    return describe(folder / "data.yaml").inputs["xray"]


def test_a_link_in_a_series_folder_does_not_lead_out_of_the_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("s1", "s2"):
        (data / "ct" / name).mkdir(parents=True)
    outside = tmp_path / "secret.dcm"
    outside.write_bytes(b"x")
    (data / "ct" / "s1" / "own.dcm").write_bytes(b"x")
    (data / "ct" / "s2" / "a.dcm").symlink_to(outside)
    (data / "ct" / "s1" / "b.dcm").symlink_to(data / "ct" / "s1" / "own.dcm")
    (data / "cases.csv").write_text("id,kind\ns1,a\ns2,b\n")
    (data / "data.yaml").write_text("fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {folds: 2}\n"
                                    "inputs:\n  ct: {read: dicom, path: 'ct/{id}'}\n"
                                    "targets:\n  kind: {column: kind}\n")
    cases, findings = read_table(data / "cases.csv"), Findings()
    paths, wrong = case_files.locate(describe(data / "data.yaml").inputs["ct"], cases, cases.cells("id"), findings)
    assert paths[0] == data / "ct" / "s1" and wrong == {1}
    with pytest.raises(DataError) as caught:
        findings.raise_errors()
    assert [found.code for found in caught.value.diagnostics] == ["path-outside"]
