import os
import pickle

import numpy as np
import pytest
from fusionkit_plugins.readers.numpy import ArrayOptions, examine, read, shape
from shaped_arrays import read_shaped

from fusionkit.data.readers.reader import ReadError

VALUES = np.random.default_rng(0).normal(size=(2, 11, 7)).astype(np.float32)


def options(**more):
    return ArrayOptions(path="{id}", **more)


def save(tmp_path, array, name="a.npy"):
    np.save(tmp_path / name, array)
    return tmp_path / name


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">i2", "uint8", "bool", "float16"])
def test_numbers_of_any_kind_become_float32(tmp_path, dtype):
    array = (VALUES * 10).astype(dtype)
    found = read(save(tmp_path, array), options())
    assert found.dtype == np.float32 and (found == array.astype(np.float32)).all()


def test_fortran_order_keeps_the_values(tmp_path):
    found = read(save(tmp_path, np.asfortranarray(VALUES)), options())
    assert (found == VALUES).all() and found.flags.c_contiguous


def test_where_the_channels_stand(tmp_path):
    path = save(tmp_path, VALUES)
    assert read(path, options(channels="last")).shape == (7, 2, 11)
    assert read(path, options(channels="none")).shape == (1, 2, 11, 7)


def test_window_size_and_nan(tmp_path):
    holes = VALUES.copy()
    holes[0, 0, 0] = np.nan
    path = save(tmp_path, holes)
    assert np.isnan(read(path, options())).sum() == 1
    found = read_shaped(examine, path, options(fill_nan=0, window=[-1, 1], size=[5, 3]))
    assert found.shape == (2, 5, 3) and found.min() >= 0 and found.max() <= 1


def test_npz_by_key(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", image=VALUES, mask=VALUES > 0)
    assert (read(tmp_path / "a.npz", options(key="image")) == VALUES).all()
    for key in (None, "other"):
        with pytest.raises(ReadError) as caught:
            read(tmp_path / "a.npz", options(key=key))
        assert caught.value.code == "unknown-array" and "image" in f"{caught.value.message} {caught.value.why}"


def test_promised_sizes():
    assert shape(options()) is None
    assert shape(options(size=[3, 5, 7], channels="none")) == (1, 3, 5, 7)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_pickle_is_never_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap()], dtype=object)
    if name == "a.npz":
        np.savez(name, a=trap)
    else:
        np.save(name, trap, allow_pickle=True)
    with pytest.raises(ReadError) as caught:
        read(tmp_path / name, options())
    assert caught.value.code == "object-array" and not (tmp_path / "trapped").exists()
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ReadError) as caught:
        read(tmp_path / "b.npy", options())
    assert caught.value.code == "not-an-array" and not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(("change", "code"), [
    (lambda raw: raw[:-1], "broken-array"),
    (lambda raw: raw[:60], "broken-array"),
    (lambda raw: raw[:3], "not-an-array"),
    (lambda raw: b"", "not-an-array"),
    (lambda raw: raw[:10] + b"(" * 118 + raw[128:], "broken-array"),
    (lambda raw: raw.replace(b"(2, 11, 7), }    ", b"(2, 11, 7000), } "), "broken-array"),
    (lambda raw: raw.replace(b"(2, 11, 7), }          ", b"(2, 11, 7000000000), } "), "too-large"),
    (lambda raw: raw.replace(b"'<f4'", b"'<c8'"), "broken-array"),
])
def test_damage_is_named(tmp_path, change, code):
    path = save(tmp_path, VALUES)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == code


def test_a_cut_archive_is_named(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", image=VALUES)
    raw = (tmp_path / "a.npz").read_bytes()
    for cut in (raw[:200], raw[:100] + bytes(100) + raw[200:]):
        (tmp_path / "a.npz").write_bytes(cut)
        with pytest.raises(ReadError) as caught:
            read(tmp_path / "a.npz", options())
        assert caught.value.code == "broken-array"


def test_texts_and_complex_numbers_are_no_numbers(tmp_path):
    for array in (np.array(["a"]), VALUES.astype(complex)):
        with pytest.raises(ReadError) as caught:
            read(save(tmp_path, array), options())
        assert caught.value.code == "not-numeric"


@pytest.mark.parametrize(("content", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"), (b"<html>", "a web page"),
    (b"", "an empty file"), (b"\x1f\x8b" + bytes(40), "gzip-compressed data"),
    (b"\x89PNG" + bytes(40), "a PNG picture"),
])
def test_a_file_that_is_something_else_is_named(tmp_path, content, said):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ReadError, match=f"it is {said}, not a .npy or .npz file") as caught:
        read(tmp_path / "a.npy", options())
    assert caught.value.code == "not-an-array" and caught.value.fix
