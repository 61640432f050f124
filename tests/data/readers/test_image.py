import sys
import zlib

import numpy as np
import PIL
import pytest
from fusionkit_plugins.readers.image import ImageOptions, examine, read, shape
from PIL import Image
from shaped_arrays import read_shaped

from fusionkit.data.readers.reader import ReadError

GREY = np.arange(77, dtype=np.uint8).reshape(11, 7) * 3
COLOUR = np.random.default_rng(0).integers(0, 256, (11, 7, 3), dtype=np.uint8)


def options(**more):
    return ImageOptions(path="{id}", **more)


def save(tmp_path, array, name="a.png", **more):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(tmp_path / name, **more)
    return tmp_path / name


@pytest.mark.parametrize(("array", "expected"), [
    (GREY, GREY[None] / 255),
    (COLOUR, COLOUR.transpose(2, 0, 1) / 255),
    (GREY.astype(np.uint16) * 257, GREY[None] / 255),
    (GREY > 100, (GREY > 100)[None].astype(float)),
])
def test_values_are_scaled_by_the_bit_depth(tmp_path, array, expected):
    found = read(save(tmp_path, array), options())
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-6)


def test_transparency_and_palettes(tmp_path):
    clear = np.dstack([COLOUR, np.full((11, 7, 1), 9, dtype=np.uint8)])
    assert np.allclose(read(save(tmp_path, clear), options()), COLOUR.transpose(2, 0, 1) / 255)
    palette = Image.fromarray(COLOUR).quantize(8)
    assert np.allclose(read(save(tmp_path, palette), options()),
                       np.asarray(palette.convert("RGB")).transpose(2, 0, 1) / 255)


def test_channels_are_made_alike(tmp_path):
    grey = read(save(tmp_path, COLOUR), options(channels=1))
    assert np.allclose(grey[0] * 255, np.asarray(Image.fromarray(COLOUR).convert("L")), atol=1)
    colour = read(save(tmp_path, GREY), options(channels=3))
    assert colour.shape == (3, 11, 7) and (colour[0] == colour[2]).all()


def test_jpeg_upright_and_resized(tmp_path):
    turned = Image.fromarray(np.repeat(np.repeat(GREY, 8, 0), 8, 1))
    exif = turned.getexif()
    exif[0x0112] = 6
    found = read(save(tmp_path, turned, "a.jpg", exif=exif, quality=95), options())
    assert found.shape == (1, 56, 88)
    assert np.allclose(found[0], np.rot90(np.asarray(turned), -1) / 255, atol=0.1)
    assert read_shaped(examine, tmp_path / "a.jpg", options(size=(5, 13))).shape == (1, 5, 13)


def test_promised_sizes():
    assert shape(options()) == (None, None, None)
    assert shape(options(size=(5, 13), channels=3)) == (3, 5, 13)


@pytest.mark.parametrize(("change", "code"), [
    (lambda raw: raw[: len(raw) // 2], "broken-image"),
    (lambda raw: raw[:50] + bytes(20) + raw[70:], "broken-image"),
    (lambda raw: raw[:16] + bytes(4) + raw[20:], "broken-image"),
    (lambda raw: b"", "not-an-image"),
    (lambda raw: b"GIF89a" + raw, "broken-image"), (lambda raw: b"nothing", "not-an-image"),
])
def test_damage_is_named(tmp_path, change, code):
    path = save(tmp_path, np.random.default_rng(0).integers(0, 256, (37, 41), dtype=np.uint8))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == code and caught.value.fix


@pytest.mark.parametrize("ending", ["tif", "bmp", "gif", "webp", "pgm", "png"])
def test_a_grey_picture_reads_alike_in_every_format_and_under_every_name(tmp_path, ending):
    path = save(tmp_path, GREY, f"a.{ending}", **({"lossless": True} if ending == "webp" else {}))
    chosen = options(channels=1) if ending == "webp" else options()  # WebP has no grey either, and says it is colour
    expected = GREY[None] / np.float32(255)
    assert read(path, chosen).shape == (1, 11, 7) and np.allclose(read(path, chosen), expected, atol=1e-6)
    path = path.rename(tmp_path / "other.jpg")
    assert np.allclose(read(path, chosen), expected, atol=1e-6)


@pytest.mark.parametrize("ending", ["tif", "bmp", "ppm", "webp"])
def test_a_colour_picture_reads_alike_in_every_format(tmp_path, ending):
    path = save(tmp_path, COLOUR, f"a.{ending}", **({"lossless": True} if ending == "webp" else {}))
    assert np.allclose(read(path, options()), COLOUR.transpose(2, 0, 1) / 255, atol=1e-6)


DEEP = (GREY.astype(np.uint16) * 16 + 7)  # as of 12 bits


@pytest.mark.parametrize("ending", ["png", "tif", pytest.param("pgm", marks=pytest.mark.skipif(
    int(PIL.__version__.partition(".")[0]) < 11, reason="Pillow before 11 writes no PGM of 16 bits"))])
def test_a_window_is_of_stored_values(tmp_path, ending):
    path = save(tmp_path, DEEP, f"a.{ending}")
    assert np.allclose(read(path, options())[0], DEEP / 65535, atol=1e-6)
    assert np.allclose(read(path, options(window=(0, 4095)))[0], DEEP / 4095, atol=1e-6)
    assert np.allclose(read(save(tmp_path, GREY), options(window=(30, 130)))[0], np.clip((GREY - 30.0) / 100, 0, 1))


def test_hounsfield_units_above_an_offset_have_a_window(tmp_path):
    hu = np.linspace(-1000, 400, 77).reshape(11, 7).round()
    path = save(tmp_path, (hu + 32768).astype(np.uint16))
    assert np.allclose(read(path, options(window=(31768, 33168)))[0], (hu + 1000) / 1400, atol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_pictures_without_a_bit_depth_need_a_window(tmp_path, kind):
    path = save(tmp_path, GREY.astype(kind) * 1000, "a.tif")
    with pytest.raises(ReadError, match="from 0 to 228000") as caught:
        read(path, options())
    assert caught.value.code == "needs-window" and "window" in caught.value.fix
    assert np.allclose(read(path, options(window=(0, 228000)))[0], GREY / 228, atol=1e-6)


def test_the_first_of_several_pictures_is_read(tmp_path):
    path = save(tmp_path, GREY, "a.tif", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    array, facts = examine(path, options())
    assert np.allclose(array[0], GREY / 255) and facts.remark("several-pictures") == "2"
    assert examine(save(tmp_path, GREY), options())[1].remarks == ()


def test_bits_that_are_lost_are_noted(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    row = b"\0" + np.arange(7 * 3, dtype=">u2").tobytes()
    parts = [(b"IHDR", (7).to_bytes(4, "big") + (2).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])),
             (b"IDAT", zlib.compress(row * 2)), (b"IEND", b"")]
    raw = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in parts)
    (tmp_path / "a.png").write_bytes(raw)
    assert examine(tmp_path / "a.png", options())[1].remark("bits-lost") is not None


MASK = np.zeros((20, 20), np.uint8)
MASK[5:10, 5:15], MASK[10:15, 5:15] = 1, 3


def test_a_mask_keeps_its_labels(tmp_path):
    path = save(tmp_path, MASK)
    found = read_shaped(examine, path, options(size=(15, 17)))
    assert set(np.round(np.unique(found) * 255, 4)) == {0, 1, 3}
    assert len(np.unique(read_shaped(examine, path, options(size=(15, 17), interpolate="linear")))) > 3


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_a_painted_mask_keeps_its_colours(tmp_path, mode):
    painted = Image.fromarray(MASK, "L").convert("P")
    painted.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    path = save(tmp_path, painted.convert(mode), "a.png")
    known = {tuple(colour) for colour in read(path, options()).reshape(3, -1).T.tolist()}
    assert len(known) == 3
    found = read_shaped(examine, path, options(size=(15, 17)))
    assert {tuple(colour) for colour in found.reshape(3, -1).T.tolist()} == known
    assert len(np.unique(read_shaped(examine, path, options(size=(15, 17), channels=1)))) == 3
    assert len(np.unique(read_shaped(examine, path, options(size=(15, 17), interpolate="linear")))) > 3


@pytest.mark.parametrize("size", [(14000, 13000), (20000, 20000)])
def test_a_huge_picture_is_refused_with_its_size(tmp_path, size):
    path = tmp_path / "film.png"
    Image.new("1", size).save(path)
    with pytest.raises(ReadError, match=f"it claims {size[0]} x {size[1]} pixels") as caught:
        read(path, options())
    assert caught.value.code == "too-large" and caught.value.fix == "save it at a smaller size"


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path):
    path = save(tmp_path, GREY)
    raw = bytearray(path.read_bytes())
    raw[16:24] = (1 << 20).to_bytes(4, "big") * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    path.write_bytes(raw)
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == "too-large"
