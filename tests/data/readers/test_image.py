import zlib

import numpy as np
import pytest
from PIL import Image

from fusionkit.data.readers.image import ImageOptions, read, shape
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
    assert read(tmp_path / "a.jpg", options(size=(5, 13))).shape == (1, 5, 13)


def test_promised_sizes():
    assert shape(options()) == (None, None, None)
    assert shape(options(size=(5, 13), channels=3)) == (3, 5, 13)


@pytest.mark.parametrize(("change", "code"), [
    (lambda raw: raw[: len(raw) // 2], "broken-image"),
    (lambda raw: raw[:50] + bytes(20) + raw[70:], "broken-image"),
    (lambda raw: raw[:16] + bytes(4) + raw[20:], "broken-image"),
    (lambda raw: b"", "not-an-image"),
    (lambda raw: b"GIF89a" + raw, "not-an-image"),
])
def test_damage_is_named(tmp_path, change, code):
    path = save(tmp_path, np.random.default_rng(0).integers(0, 256, (37, 41), dtype=np.uint8))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == code and caught.value.fix


def test_other_formats_are_refused_even_under_the_name_png(tmp_path):
    path = save(tmp_path, GREY, "a.bmp")
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == "not-an-image"


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path):
    path = save(tmp_path, GREY)
    raw = bytearray(path.read_bytes())
    raw[16:24] = (1 << 20).to_bytes(4, "big") * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    path.write_bytes(raw)
    with pytest.raises(ReadError) as caught:
        read(path, options())
    assert caught.value.code == "broken-image"
