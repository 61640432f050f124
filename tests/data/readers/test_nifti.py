import gzip
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from fusionkit.data.readers.nifti import NiftiOptions, read, shape
from fusionkit.data.readers.reader import ReadError

VALUES = np.random.default_rng(0).integers(-1000, 2000, (3, 5, 7)).astype(np.int16)
SAMPLES = Path(nibabel.__file__).parent / "tests" / "data"


def options(**more):
    return NiftiOptions(path="{id}", **more)


def save(tmp_path, image, name="a.nii.gz"):
    nibabel.save(image, tmp_path / name)
    return tmp_path / name


def test_axes_are_depth_height_width_of_the_canonical_volume(tmp_path):
    found = read(save(tmp_path, nibabel.Nifti1Image(VALUES, np.eye(4))), options())
    assert found.shape == (1, 7, 5, 3) and found.dtype == np.float32
    assert found[0, 6, 4, 2] == VALUES[2, 4, 6] and found[0, 6, 0, 1] == VALUES[1, 0, 6]


@pytest.mark.parametrize("codes", ["LAS", "LPS", "RSA", "SPL", "PIR"])
def test_any_stored_orientation_gives_the_same_volume(tmp_path, codes):
    canonical = nibabel.Nifti1Image(VALUES, np.diag([2.0, 3.0, 4.0, 1.0]))
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    turned = canonical.as_reoriented(turn)
    assert not np.allclose(turned.affine, canonical.affine) and inv_ornt_aff(turn, VALUES.shape).shape == (4, 4)
    path = save(tmp_path, turned)
    assert (read(path, options())[0] == VALUES.T).all()


def test_an_oblique_volume_goes_to_the_closest_axes(tmp_path):
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.eye(4)
    affine[:2, :2] = [[-c, -s], [-s, c]]
    found = read(save(tmp_path, nibabel.Nifti1Image(VALUES, affine)), options())
    assert (found[0] == VALUES[::-1].T).all()


def test_slope_and_intercept_are_applied(tmp_path):
    image = nibabel.Nifti1Image(VALUES, np.eye(4))
    image.header.set_slope_inter(0.5, -100)
    path = save(tmp_path, image, "a.nii")
    raw = nibabel.load(path)
    assert np.allclose(read(path, options())[0].T, np.asarray(raw.dataobj), atol=1e-3)


def test_a_fourth_axis_is_channels(tmp_path):
    four = np.stack([VALUES, VALUES + 1], axis=-1)
    found = read(save(tmp_path, nibabel.Nifti1Image(four, np.eye(4))), options())
    assert found.shape == (2, 7, 5, 3) and (found[1] - found[0] == 1).all()


def test_window_size_and_promise(tmp_path):
    path = save(tmp_path, nibabel.Nifti1Image(VALUES, np.eye(4)))
    chosen = options(window=[-100, 900], size=[2, 11, 13])
    found = read(path, chosen)
    assert found.shape == (1, 2, 11, 13) and found.min() >= 0 and found.max() <= 1
    assert shape(chosen) == (None, 2, 11, 13) and shape(options()) == (None, None, None, None)


def test_nan_is_filled_when_asked(tmp_path):
    holes = VALUES.astype(np.float32)
    holes[0, 0, 0] = np.nan
    path = save(tmp_path, nibabel.Nifti1Image(holes, np.eye(4)))
    assert np.isnan(read(path, options())).sum() == 1
    assert read(path, options(fill_nan=-5))[0, 0, 0, 0] == -5


@pytest.mark.parametrize(("name", "expected"), [
    ("anatomical.nii", (1, 25, 41, 33)), ("functional.nii", (20, 3, 21, 17)),
    ("example_nifti2.nii.gz", (2, 12, 20, 32)),
])
def test_real_files(name, expected):
    if not (SAMPLES / name).exists():
        pytest.skip(f"this nibabel ships no {name}")
    found = read(SAMPLES / name, options())
    assert found.shape == expected and np.isfinite(found).all()
    image = nibabel.as_closest_canonical(nibabel.load(SAMPLES / name))
    assert np.allclose(found.reshape(-1, *expected[1:])[0], np.asarray(image.dataobj, dtype=np.float32).reshape(
        *expected[:0:-1], -1)[..., 0].T)


@pytest.mark.parametrize(("content", "code"), [
    (b"", "not-nifti"), (b"nothing", "not-nifti"), (gzip.compress(b"x" * 400, mtime=0), "not-nifti"),
])
def test_what_is_no_nifti(tmp_path, content, code):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(ReadError) as caught:
        read(tmp_path / "a.nii.gz", options())
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_cut_volume_is_named(tmp_path, name):
    path = save(tmp_path, nibabel.Nifti1Image(np.repeat(VALUES, 50, 0), np.eye(4)), name)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 3 // 4])
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == "broken-nifti"


def test_a_header_that_claims_too_much_is_refused_at_once(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((30000, 30000, 30000))
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4))
    with pytest.raises(ReadError) as caught:
        read(tmp_path / "a.nii", options())
    assert caught.value.code in ("too-large", "not-nifti")


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 7, 1, 3)])
def test_other_ranks_are_refused(tmp_path, shape):
    with pytest.raises(ReadError) as caught:
        read(save(tmp_path, nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4))), options())
    assert caught.value.code == "wrong-rank"


def test_colour_voxels_are_refused(tmp_path):
    colour = np.zeros((3, 5, 7), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ReadError) as caught:
        read(save(tmp_path, nibabel.Nifti1Image(colour, np.eye(4))), options())
    assert caught.value.code == "not-numeric"


def test_another_format_is_named(tmp_path):
    nibabel.save(nibabel.MGHImage(VALUES.astype(np.float32), np.eye(4)), tmp_path / "a.mgz")
    with pytest.raises(ReadError, match="MGHImage"):
        read(tmp_path / "a.mgz", options())


def test_without_nibabel_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ReadError) as caught:
        read(tmp_path / "a.nii", options())
    assert caught.value.code == "missing-package" and "fusionkit[nifti]" in caught.value.fix


def test_a_mask_is_resized_by_label(tmp_path):
    mask = np.zeros((20, 20, 6), np.uint8)
    mask[5:10, 5:15], mask[10:15, 5:15] = 1, 3
    path = save(tmp_path, nibabel.Nifti1Image(mask, np.eye(4)))
    assert set(np.unique(read(path, options(size=[4, 15, 17])))) == {0, 1, 3}
    assert 2 in np.round(np.unique(read(path, options(size=[4, 15, 17], interpolate="linear"))))
