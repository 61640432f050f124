import os

import numpy as np
import pytest

from fusionkit.data import disk_cache
from fusionkit.errors import RunError

ARRAY = np.arange(30, dtype=np.float32).reshape(2, 3, 5)


def test_what_is_stored_comes_back_mapped(tmp_path):
    disk_cache.store(tmp_path, "abc", ARRAY)
    found = disk_cache.load(tmp_path, "abc", mapped=True)
    assert isinstance(found, np.memmap) and (found == ARRAY).all() and not found.flags.writeable
    read = disk_cache.load(tmp_path, "abc")
    assert not isinstance(read, np.memmap) and (read == ARRAY).all() and read.flags.writeable
    assert disk_cache.load(tmp_path, "abd") is None
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["abc.npy"]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nonsense"])
def test_a_damaged_entry_is_no_entry(tmp_path, content):
    disk_cache.store(tmp_path, "abc", ARRAY)
    (tmp_path / "ab" / "abc.npy").write_bytes(content)
    assert disk_cache.load(tmp_path, "abc") is None


def test_a_cut_entry_is_no_entry(tmp_path):
    disk_cache.store(tmp_path, "abc", ARRAY)
    path = tmp_path / "ab" / "abc.npy"
    path.write_bytes(path.read_bytes()[:-8])
    assert disk_cache.load(tmp_path, "abc") is None


def test_the_key_follows_content_settings_and_place(tmp_path):
    (tmp_path / "a").mkdir()
    first, second = tmp_path / "a" / "1", tmp_path / "2"
    for path in (first, second):
        path.write_bytes(b"same")
        os.utime(path, ns=(1, 1))
    start = disk_cache.key(first, "image", {"size": [1, 2]})
    assert start == disk_cache.key(first, "image", {"size": [1, 2]})
    assert start != disk_cache.key(second, "image", {"size": [1, 2]})
    assert start != disk_cache.key(first, "image", {"size": [1, 3]})
    assert start != disk_cache.key(first, "numpy", {"size": [1, 2]})
    os.utime(first, ns=(1, 2))
    assert start != disk_cache.key(first, "image", {"size": [1, 2]})


def test_a_folder_is_all_its_files(tmp_path):
    (tmp_path / "1").write_bytes(b"a")
    start = disk_cache.key(tmp_path, "dicom", {})
    (tmp_path / "2").write_bytes(b"a")
    assert start != disk_cache.key(tmp_path, "dicom", {})


def test_a_cache_that_cannot_be_written_is_a_run_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="cannot write to the cache"):
        disk_cache.store(tmp_path / "file", "abc", ARRAY)


def test_the_data_file_of_a_header_belongs_to_its_key(tmp_path):
    (tmp_path / "a.mhd").write_text("ElementDataFile = a.raw")
    (tmp_path / "a.raw").write_bytes(b"12")
    before = disk_cache.key(tmp_path / "a.mhd", "mha", {})
    (tmp_path / "a.raw").write_bytes(b"123")
    assert disk_cache.key(tmp_path / "a.mhd", "mha", {}) != before
