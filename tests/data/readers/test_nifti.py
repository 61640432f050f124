import gzip
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from fusionkit_plugins.readers.nifti import NiftiOptions, examine, read, shape
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from shaped_arrays import read_shaped

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
    found = read_shaped(examine, path, chosen)
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


def test_colour_voxels_are_three_channels(tmp_path):
    colour = np.zeros((3, 5, 7), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colour["R"], colour["G"], colour["B"] = VALUES % 251, VALUES % 241, VALUES % 239
    found = read(save(tmp_path, nibabel.Nifti1Image(colour, np.diag([-1.0, 1, 1, 1]))), options())
    assert found.shape == (3, 7, 5, 3) and (found[1] == (VALUES[::-1] % 241).T).all()


def test_complex_voxels_are_refused(tmp_path):
    with pytest.raises(ReadError) as caught:
        read(save(tmp_path, nibabel.Nifti1Image(VALUES.astype(np.complex64), np.eye(4))), options())
    assert caught.value.code == "not-numeric"


MHA = b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n" + bytes(16)
NRRD = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n\n" + bytes(16)


@pytest.mark.parametrize(("name", "content", "said", "fix"), [
    ("a.nii.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS", "git lfs pull"),
    ("a.nii.gz", b"<!DOCTYPE html><html>Sign in</html>", "a web page", "download it again"),
    ("a.nii", b"\n <html><body>404</body></html>", "a web page", "download it again"),
    ("a.nii.gz", b'<?xml version="1.0"?><Error>AccessDenied</Error>', "an XML document", "download it again"),
    ("a.nii.gz", b'{"error": "not found"}', "JSON text", "download it again"),
    ("a.nii.gz", b"../.git/annex/objects/x", "git-annex", "git annex get"),
    ("a.nii.gz", b"", "an empty file", "download it again"),
    ("a.nii", bytes(5000), "nothing but zeros", "download it again"),
    ("a.mha", MHA, "MetaImage", "read: mha"), ("a.nrrd", NRRD, "NRRD", "read: nrrd"),
    ("a.nii", b"PK\x03\x04" + bytes(400), "a zip archive", "unpack it"),
    ("a.nii.gz", gzip.compress(NRRD, mtime=0), "NRRD", "read: nrrd"),
    ("a.nii", b"\x89PNG" + bytes(400), "a PNG picture", "read: image"),
    ("a.nii", bytes(128) + b"DICM" + bytes(400), "a DICOM file", "read: dicom"),
    ("a.nii", b"\x93NUMPY" + bytes(400), "a numpy array", "read: numpy"),
])
def test_a_file_that_is_something_else_is_named(tmp_path, name, content, said, fix):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReadError, match="not a NIfTI volume") as caught:
        read(tmp_path / name, options())
    assert caught.value.code == "not-nifti" and said in caught.value.message and fix in caught.value.fix


def test_a_freesurfer_volume_is_named_with_its_conversion(tmp_path):
    nibabel.save(nibabel.MGHImage(VALUES.astype(np.float32), np.eye(4)), tmp_path / "a.mgz")
    with pytest.raises(ReadError, match="FreeSurfer") as caught:
        read(tmp_path / "a.mgz", options())
    assert "nibabel" in caught.value.fix


@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(("written", "name"), [
    ("a.nii.gz", "a.nii"), ("a.nii", "a.nii.gz"), ("a.nii", "a"), ("a.nii.gz", "brain.img.7"), ("a.nii", "A.NII"),
])
def test_a_volume_is_read_by_its_content_and_not_by_its_name(tmp_path, version, written, name):
    path = save(tmp_path, version(VALUES, np.diag([-1.0, 1, 1, 1])), written)
    assert (read(path.rename(tmp_path / name), options())[0] == VALUES[::-1].T).all()


def header(tmp_path, sform, qform, codes, units="mm"):
    image = nibabel.Nifti1Image(VALUES, np.eye(4))
    image.set_qform(qform, codes[1])
    image.header.set_xyzt_units(units)
    path = save(tmp_path, image, "a.nii")
    raw = bytearray(path.read_bytes())
    raw[280:328] = np.asarray(sform[:3], "<f4").tobytes()
    raw[252:256] = int(codes[1]).to_bytes(2, "little") + int(codes[0]).to_bytes(2, "little")
    path.write_bytes(raw)
    return path


FLIPPED, ZERO = np.diag([-2.0, 2, 3, 1]), np.diag([0.0, 0, 0, 1])
FLAT = np.diag([2.0, 0, 3, 1])


@pytest.mark.parametrize("singular", [ZERO, FLAT, np.diag([np.nan, 1, 1, 1])])
def test_a_singular_sform_gives_way_to_the_qform(tmp_path, singular):
    array, facts = examine(header(tmp_path, singular, FLIPPED, (1, 1)), options())
    assert (array[0] == VALUES[::-1].T).all()
    assert facts.spacing == (3, 2, 2) and facts.remark("sform-singular") is not None


@pytest.mark.parametrize("singular", [ZERO, FLAT])
def test_without_a_usable_qform_the_sform_is_named(tmp_path, singular):
    with pytest.raises(ReadError, match="its sform cannot be used") as caught:
        read(header(tmp_path, singular, FLIPPED, (2, 0)), options())
    assert caught.value.code == "singular-affine" and caught.value.fix


def test_a_file_without_orientation_keeps_its_axes(tmp_path):
    array, facts = examine(header(tmp_path, FLIPPED, FLIPPED, (0, 0)), options())
    assert (array[0] == VALUES.T).all() and facts.spacing == () and facts.remark("no-geometry") is not None


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (4, 2)])
def test_the_sform_wins_and_a_difference_is_noted(tmp_path, codes):
    moved = FLIPPED.copy()
    moved[0, 3] = 4.0
    array, facts = examine(header(tmp_path, moved, FLIPPED, codes), options())
    assert (array[0] == VALUES[::-1].T).all() and facts.remark("affines-disagree") == "4"
    moved[0, 3] = 0.1
    assert examine(header(tmp_path, moved, FLIPPED, codes), options())[1].remarks == ()


@pytest.mark.parametrize(("units", "factor"), [("mm", 1), ("meter", 1000), ("micron", 0.001), ("unknown", 1)])
def test_spacing_is_in_millimetres(tmp_path, units, factor):
    facts = examine(header(tmp_path, FLIPPED / factor, FLIPPED / factor, (1, 1), units), options())[1]
    assert facts.spacing == pytest.approx((3, 2, 2)) and facts.remarks == ()
    odd = examine(header(tmp_path, FLIPPED / 1000, FLIPPED / 1000, (1, 1), "unknown"), options())[1]
    assert odd.remark("odd-spacing") == "0.002 x 0.002 x 0.003"


def test_a_unit_that_does_not_exist_is_none(tmp_path):
    path = header(tmp_path, FLIPPED, FLIPPED, (1, 1))
    raw = bytearray(path.read_bytes())
    raw[123] = 232  # neither of space nor of time
    path.write_bytes(raw)
    assert examine(path, options())[1].spacing == (3, 2, 2)


def test_a_slope_of_zero_means_no_scaling(tmp_path):
    path = save(tmp_path, nibabel.Nifti1Image(VALUES, np.eye(4)), "a.nii")
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0, -100], "<f4").tobytes()
    path.write_bytes(raw)
    assert (read(path, options())[0] == VALUES.T).all()


def test_without_nibabel_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ReadError) as caught:
        read(tmp_path / "a.nii", options())
    assert caught.value.code == "missing-package" and "fusionkit[nifti]" in caught.value.fix


def test_a_mask_is_resized_by_label(tmp_path):
    mask = np.zeros((20, 20, 6), np.uint8)
    mask[5:10, 5:15], mask[10:15, 5:15] = 1, 3
    path = save(tmp_path, nibabel.Nifti1Image(mask, np.eye(4)))
    assert set(np.unique(read_shaped(examine, path, options(size=[4, 15, 17])))) == {0, 1, 3}
    assert 2 in np.round(np.unique(read_shaped(examine, path, options(size=[4, 15, 17], interpolate="linear"))))


def test_frames_are_chosen_by_place(tmp_path):
    four = np.stack([VALUES, VALUES + 1, VALUES + 4], axis=-1)
    path = save(tmp_path, nibabel.Nifti1Image(four, np.eye(4)))
    every = read(path, options())
    for frames, expected in (("first", every[:1]), ("last", every[2:]), ("mean", every.mean(0, keepdims=True)),
                             ([2, 0], every[[2, 0]])):
        chosen = options(frames=frames)
        np.testing.assert_allclose(read(path, chosen), expected, rtol=1e-6)
        assert shape(chosen)[0] == len(expected)
    with pytest.raises(ReadError, match="it has 3 frames") as caught:
        read(path, options(frames=[3]))
    assert caught.value.code == "unknown-frame"
    single = save(tmp_path, nibabel.Nifti1Image(VALUES, np.eye(4)), "b.nii")
    np.testing.assert_array_equal(read(single, options(frames="last")), read(single, options()))
