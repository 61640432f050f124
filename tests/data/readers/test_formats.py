"""Files of every format: each is read by its content, with all of its bits, or refused by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from bundled_readers import READERS
from fusionkit_plugins.readers.image import ImageOptions
from PIL import Image
from recorded import GOLDEN

from fusionkit.data.geometry.grid import Grid
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError

FOLDER = GOLDEN / "images/formats"
ARRAYS = np.load(FOLDER / "expected.npz")
LARGEST = {"uint8": 255, "uint16": 65535, "float32": 1}
PICTURES = {
    "g8.png": "g8", "g8.bmp": "g8", "g16.png": "g16", "g16.tif": "g16", "bigendian16.tif": "g16", "rgb.bmp": "rgb",
    "rgb.webp": "rgb", "alpha.png": "rgb", "rgb16.tif": "rgb16", "rgb16.png": "rgb16", "palette.png": "palette",
    "one_bit.png": "one_bit", "cmyk.jpg": "cmyk", "exif6.jpg": "exif6", "frames.gif": "gif", "pages16.tif": "pages16",
    "float32.tif": "float32", "rgb_lzw.tif": "rgb", "miniswhite.tif": "g8"}


def read(reader: str, path: Path, **options: object) -> tuple[np.ndarray, Facts]:
    declared = READERS[reader]
    return declared.examine(path, declared.options.model_validate({"path": "a", **options}))


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_keep_all_of_their_bits(name: str) -> None:
    wanted = ARRAYS[PICTURES[name]]
    wanted = wanted[0] if PICTURES[name] in ("gif", "pages16") else wanted
    wanted = wanted.transpose(2, 0, 1) if wanted.ndim == 3 else wanted[None]
    largest = LARGEST[str(wanted.dtype)]
    wanted = largest - wanted if name == "miniswhite.tif" else wanted
    low, scale, more = (-100, 10000, {"window": [-100, 9900]}) if name == "float32.tif" else (0, largest, {})
    found, facts = read("image", FOLDER / name, **more)
    assert found.shape == wanted.shape and np.allclose(found * scale + low, wanted, atol=scale * 1e-6)
    codes = {code for code, _ in facts.remarks}
    assert codes == ({"several-pictures"} if name in ("frames.gif", "pages16.tif") else
                     {"alpha-dropped"} if name == "alpha.png" else set())


def test_a_name_says_nothing_of_the_content() -> None:
    assert read("image", FOLDER / "fake.jpg")[0].shape == (1, 16, 24)


@pytest.mark.parametrize(("name", "key"), [("pages16.tif", "pages16"), ("frames.gif", "gif")])
def test_pages_and_frames_are_the_depth_of_a_volume(name: str, key: str) -> None:
    found, facts = read("image", FOLDER / name, pages="volume")
    assert np.allclose(found[0] * LARGEST[str(ARRAYS[key].dtype)], ARRAYS[key], atol=0.01) and not facts.remarks
    assert READERS["image"].shape(ImageOptions(path="a", pages="volume", size=(3, 4, 5))) == (None, 3, 4, 5)


@pytest.mark.parametrize(("name", "missing"), [("rgb16.tif", "tifffile"), ("rgb16.png", "SimpleITK")])
def test_without_its_package_sixteen_bit_colour_loses_bits_and_says_so(
    name: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    found, facts = read("image", FOLDER / name)
    assert facts.remark("bits-lost") is not None and found.shape == (3, 16, 24)
    assert np.abs(found * 65535 - ARRAYS["rgb16"].transpose(2, 0, 1)).max() > 100
    advice = READERS["image"].advise(ImageOptions(path="a"), [facts])
    assert [each.code for each in advice][:1] == ["bits-lost"] and "fusionkit[" in str(advice[0].fix)


def test_pages_of_several_sizes_are_no_volume(tmp_path: Path) -> None:
    Image.new("L", (4, 5)).save(tmp_path / "a.tif", save_all=True, append_images=[Image.new("L", (5, 5))])
    with pytest.raises(ReadError) as caught:
        read("image", tmp_path / "a.tif", pages="volume")
    assert caught.value.code == "pages-differ"
    with pytest.raises(ValueError, match="3 numbers"):
        ImageOptions(path="a", pages="volume", size=(4, 5))


@pytest.mark.parametrize(("reader", "name"), [
    ("nrrd", "volume.nrrd"), ("nrrd", "volume.nhdr"), ("mha", "volume.mha"), ("mha", "volume.mhd")])
def test_volumes_lie_where_nibabel_and_simpleitk_have_them(reader: str, name: str) -> None:
    found, facts = read(reader, FOLDER / name, orient="keep")
    wanted = Grid(ARRAYS["volume.affine"], ARRAYS["volume"].shape)
    assert np.array_equal(found[0], ARRAYS["volume"]) and facts.grid is not None
    assert facts.grid.apart(wanted) < 1e-4
    turned, placed = read(reader, FOLDER / name)
    assert placed.grid is not None and placed.grid.code == "RAS"
    assert np.array_equal(np.sort(turned.ravel()), np.sort(found.ravel()))
    corner = np.linalg.inv(placed.grid.affine) @ wanted.affine @ [3, 4, 5, 1]
    assert turned[0][tuple(np.rint(corner[:3]).astype(int))] == found[0, 3, 4, 5]


@pytest.mark.parametrize(("unit", "mm"), [
    ('PhysicalSizeXUnit="nm"', 0.0005), ("", 0.5), ('PhysicalSizeXUnit="µm"', 0.5)])
def test_a_pixel_has_the_size_that_ome_says(unit: str, mm: float, tmp_path: Path) -> None:
    about = f'<OME><Pixels SizeX="5" PhysicalSizeX="500" {unit} PhysicalSizeY="0.25" PhysicalSizeYUnit="mm"/></OME>'
    Image.new("L", (5, 7)).save(tmp_path / "a.tif", tiffinfo={270: about.encode()})
    assert read("image", tmp_path / "a.tif", spacing_from="ome")[1].pixel == pytest.approx((0.25, mm))
    assert read("image", tmp_path / "a.tif")[1].pixel == ()
    Image.new("L", (5, 7)).save(tmp_path / "b.tif", tiffinfo={270: about.replace('"mm"', '"pixel"')})
    for other in (tmp_path / "b.tif", FOLDER / "g16.tif", FOLDER / "g8.png"):
        with pytest.raises(ReadError, match="no OME description"):
            read("image", other, spacing_from="ome")
    with pytest.raises(ValueError, match="no known distance"):
        ImageOptions(path="a", pages="volume", spacing_from="ome")


def test_an_analyze_volume_is_taken_as_las_where_that_is_written() -> None:
    affine = json.loads((FOLDER / "expected.json").read_text())["analyze.img"]["affines"]["nibabel"]
    kept, facts = read("nifti", FOLDER / "analyze.img", analyze="las", orient="keep")
    assert np.array_equal(kept[0], ARRAYS["volume"]) and facts.grid is not None
    assert facts.grid.code == "LAS" and facts.grid.apart(Grid.of_file(np.array(affine), (4, 5, 6))) < 1e-4
    assert np.array_equal(read("nifti", FOLDER / "analyze.img", analyze="las")[0], kept[..., ::-1])
    with pytest.raises(ReadError, match="does not say how it lies"):
        read("nifti", FOLDER / "analyze.img")


@pytest.mark.parametrize(("reader", "name", "code"), [
    ("nifti", "analyze.img", "not-nifti"), ("nifti", "spm99.img", "not-nifti"), ("nrrd", "volume.mha", "not-nrrd"),
    ("mha", "volume.nrrd", "not-mha"), ("image", "volume.nrrd", "not-an-image"), ("nifti", "volume.mha", "not-nifti"),
    ("nrrd", "g8.png", "not-nrrd"),
])
def test_another_format_is_refused_by_name(reader: str, name: str, code: str) -> None:
    with pytest.raises(ReadError) as caught:
        read(reader, FOLDER / name)
    assert caught.value.code == code and caught.value.fix


HEADER = "NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nencoding: raw\nendian: little\ndata file: {data}\n"


@pytest.mark.parametrize(("data", "sizes", "code"), [
    ("../volume.raw", "2 3 4", "data-file-outside"), ("/etc/passwd", "2 3 4", "data-file-outside"),
    ("LIST", "2 3 4", "data-file-outside"), ("link.raw", "2 3 4", "data-file-outside"),
    ("gone.raw", "2 3 4", "missing-data-file"), ("some.raw", "4000 4000 4000", "too-large"),
    ("some.raw", "900 900 90", "too-large"), ("some.raw", "2 3 40", "broken-nrrd"), ("some.raw", "2 3", "")])
def test_a_header_leads_nowhere_else_and_claims_no_more_than_is_there(
    tmp_path: Path, data: str, sizes: str, code: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "volume.raw").write_bytes(bytes(48))
    (tmp_path / "in" / "some.raw").write_bytes(bytes(48))
    (tmp_path / "in" / "link.raw").symlink_to(tmp_path / "volume.raw")
    written = HEADER.format(sizes=sizes, data=data).replace("dimension: 3", f"dimension: {len(sizes.split())}")
    (tmp_path / "in" / "a.nhdr").write_text(written)
    if not code:
        assert read("nrrd", tmp_path / "in" / "a.nhdr")[0].shape == (1, 3, 2)
        return
    with pytest.raises(ReadError) as caught:
        read("nrrd", tmp_path / "in" / "a.nhdr")
    assert caught.value.code == code


def test_without_simpleitk_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ReadError) as caught:
        read("nrrd", FOLDER / "volume.nrrd")
    assert caught.value.code == "missing-package" and "fusionkit[nrrd]" in str(caught.value.fix)
