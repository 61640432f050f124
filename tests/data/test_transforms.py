import numpy as np
import pytest

from fusionkit.data.transforms import resize, window


def test_a_window_becomes_zero_to_one_and_leaves_its_source():
    source = np.array([-200, -100, 400, 900, 2000], dtype=np.int16)
    found = window(source, -100, 900)
    assert found.dtype == np.float32 and found.tolist() == [0, 0, 0.5, 1, 1]
    assert source[0] == -200


@pytest.mark.parametrize(("shape", "size"), [
    ((2, 11, 7), (5, 13)), ((2, 11, 7, 5), (3, 13, 5)), ((1, 3, 5, 7), (7, 5, 3)),
])
def test_sizes_and_constants(shape, size):
    found = resize(np.full(shape, 3.0, dtype=np.float32), size)
    assert found.shape == (shape[0], *size) and found.dtype == np.float32
    assert np.allclose(found, 3.0)


def test_a_linear_volume_stays_linear_inside():
    d, h, w = np.meshgrid(np.arange(24.0), np.arange(20.0), np.arange(16.0), indexing="ij")
    ramp = (d + 10 * h + 100 * w)[None].astype(np.float32)
    found = resize(ramp, (12, 10, 8))
    expected = ramp[0].reshape(12, 2, 10, 2, 8, 2).mean((1, 3, 5))
    assert np.allclose(found[0, 2:-2, 2:-2, 2:-2], expected[2:-2, 2:-2, 2:-2])


def test_every_axis_is_antialiased_alike():
    stripes = (np.arange(32) % 2).astype(np.float32)
    for axis in range(3):
        shape = [32 if a == axis else 4 for a in range(3)]
        volume = np.broadcast_to(np.moveaxis(stripes[:, None, None], 0, axis), shape)
        found = resize(np.ascontiguousarray(volume)[None], tuple(8 if a == axis else 4 for a in range(3)))
        inner = np.moveaxis(found[0], axis, 0)[1:-1]
        assert np.allclose(inner, 0.5, atol=0.02)


def test_the_same_size_is_left_alone():
    array = np.random.default_rng(0).random((1, 3, 5, 7), dtype=np.float32)
    assert resize(array, (3, 5, 7)) is array
