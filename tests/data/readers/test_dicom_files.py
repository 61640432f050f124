"""DICOM files that are written otherwise than usual, and files that are no DICOM at all."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pydicom
import pytest
from fusionkit_plugins.readers import dicom as reader
from fusionkit_plugins.readers.dicom import DicomOptions, read
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from recorded import GOLDEN

from fusionkit.data.readers.reader import ReadError

TISSUE = np.random.default_rng(0).integers(0, 3000, (4, 5, 7)).astype(np.int16)


def options(**given: Any) -> DicomOptions:
    return DicomOptions(path="ct", **given)


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("keep_group_2", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_files_without_preamble_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: Any,
                                         keep_group_2: bool, passes: int) -> None:
    if passes == 2:
        monkeypatch.setattr(reader, "_READ_ONCE_BYTES", 0)
    folder = dicom_files.series(tmp_path / "ct", TISSUE)
    for path in folder.iterdir():
        made = pydicom.dcmread(path)
        made.file_meta.TransferSyntaxUID = syntax
        made.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=True)
        raw = path.read_bytes()
        length = int.from_bytes(raw[140:144], "little")
        path.write_bytes(raw[132:] if keep_group_2 else raw[144 + length:])
    np.testing.assert_array_equal(read(folder, options())[0], TISSUE - 1024)


def test_a_compressed_file_without_group_2_does_not_say_its_encoding(tmp_path: Path) -> None:
    path = Path(pydicom.__file__).parent / "data" / "test_files" / "MR_small_RLE.dcm"
    raw = path.read_bytes()
    length = int.from_bytes(raw[140:144], "little")
    (tmp_path / "a.dcm").write_bytes(raw[144 + length:])
    with pytest.raises(ReadError) as caught:
        read(tmp_path / "a.dcm", options())
    assert caught.value.code == "dicom-no-syntax"


@pytest.mark.parametrize(("content", "said", "fix"), [
    (gzip.compress(bytes(128) + b"DICM" + bytes(99), mtime=0), "gzip-compressed data with a DICOM file in it",
     "gunzip"),
    (gzip.compress(b"?" * 99, mtime=0), "gzip-compressed data", "gunzip"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "git lfs pull"),
    (b"<!DOCTYPE html>", "a web page", "download it again"), (b"", "an empty file", "download it again"),
    (b"\x89PNG\r\n", "a PNG picture", "read: image"), (bytes(2000), "nothing but zeros", "download it again"),
    (b"BZh91AY", "bzip2-compressed data", "bunzip2"), (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
])
@pytest.mark.parametrize("form", ["volume", "image"])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, content: bytes, said: str, fix: str, form: str) -> None:
    (tmp_path / "c1.dcm").write_bytes(content)
    with pytest.raises(ReadError) as caught:
        read(tmp_path / "c1.dcm", options(form=form))
    assert caught.value.code == "dicom-not-dicom"
    assert caught.value.message == f"'c1.dcm' is {said}, not a DICOM file" and fix in str(caught.value.fix)


def packed(path: Path, folder: Path, **more: bytes) -> Path:
    """A zip archive of the files of a folder, and of some bytes by name."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"deep/{file.name}")
        for name, content in more.items():
            archive.writestr(name, content)
    return path


def test_a_series_is_read_from_a_zip_archive_or_from_one_below(tmp_path: Path) -> None:
    folder = dicom_files.series(tmp_path / "ct", TISSUE)
    path = packed(tmp_path / "packed/c1.zip", folder, **{"README.txt": b"slices", ".": b"a name without a part"})
    np.testing.assert_array_equal(read(path, options()), read(folder, options()))
    np.testing.assert_array_equal(read(path.parent, options(below=True)), read(folder, options()))
    chosen = options(choose={"modality": "CT"})
    np.testing.assert_array_equal(read(path, chosen), read(folder, options()))
    with pytest.raises(ReadError, match="holds no DICOM files") as caught:
        read(tmp_path / "packed", options())
    assert caught.value.why == "it holds archives: 'c1.zip'" and "unpack them" in str(caught.value.fix)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("../evil.dcm", b"x", "leads out"), ("/evil.dcm", b"x", "leads out"), ("C:/evil.dcm", b"x", "leads out"),
    ("bomb.bin", bytes(1 << 20), "claims 1048576 bytes in")])
def test_an_archive_with_a_trap_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = packed(tmp_path / "c1.zip", dicom_files.series(tmp_path / "ct", TISSUE), **{name: content})
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == "dicom-unsafe-archive" and said in str(caught.value.why)


def test_recorded_files_without_preamble_are_read_and_the_recorded_traps_refused(tmp_path: Path) -> None:
    folder = GOLDEN / "images/formats"
    one, other = (read(folder / f"{name}.dcm", options(form="image")) for name in ("no_preamble", "bare_implicit"))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, read(GOLDEN / "images/dicom/dx_mono2.dcm", options(form="image")))
    with pytest.raises(ReadError) as caught:
        read(folder / "series.zip", options())
    assert caught.value.code == "dicom-unsafe-archive"
    damaged = tmp_path / "c1.zip"
    damaged.write_bytes((folder / "series.zip").read_bytes()[:3000])
    with pytest.raises(ReadError, match="zip archive that cannot be read"):
        read(damaged, options())


def test_slices_that_are_packed_one_by_one_say_so(tmp_path: Path) -> None:
    folder = dicom_files.series(tmp_path / "ct", TISSUE)
    for path in list(folder.iterdir()):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    with pytest.raises(ReadError, match="gzip-compressed") as caught:
        read(folder, options())
    assert "gunzip" in str(caught.value.fix)
