"""Windowing and resizing of pictures and volumes: the two steps that the readers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.readers.reader import ReadError

if TYPE_CHECKING:
    from torch import Tensor


def window(array: NDArray[np.generic], low: float, high: float) -> NDArray[np.float32]:
    """The values between `low` and `high` scaled to 0..1; values outside are clipped.

    Shapes: any shape, kept.
    """
    assert low < high, f"window {low}..{high} is empty; please report"
    scaled = array.astype(np.float32)  # always a copy, so the steps below may work in place
    scaled -= np.float32(low)
    scaled /= np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def resize(array: NDArray[np.float32], size: tuple[int, ...], *, cubic: bool = False) -> NDArray[np.float32]:
    """The array resized by linear or cubic interpolation, with antialiasing when shrinking.

    Shapes: (c, h, w) with size (h, w), or (c, d, h, w) with size (d, h, w).
    Raises: `ReadError` with `empty-array` if there is nothing to interpolate.
    """
    assert array.ndim == len(size) + 1 and len(size) in (2, 3), f"{array.shape} to {size}; please report"
    if array.size == 0:
        raise ReadError("empty-array", f"it has no values: its shape is {list(array.shape)}", fix="save it again")
    if array.shape[1:] == tuple(size):
        return array.astype(np.float32, copy=False)
    import torch  # a network without pictures of another size is used without it

    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if len(size) == 2:
        return _plane(values[None], size[0], size[1], cubic)[0].numpy()
    # torch antialiases planes only. The filter is separable: first planes, then depth as the rows of a plane.
    depth, height, width = size
    planes_cdhw = _plane(values, height, width, cubic)
    channels, slices = planes_cdhw.shape[:2]
    rows = planes_cdhw.reshape(channels, 1, slices, height * width)
    return _plane(rows, depth, height * width, cubic).reshape(channels, depth, height, width).numpy()


def _plane(values: Tensor, height: int, width: int, cubic: bool) -> Tensor:
    from torch.nn.functional import interpolate

    if values.shape[-2:] == (height, width):
        return values
    return interpolate(values, (height, width), mode="bicubic" if cubic else "bilinear", align_corners=False,
                       antialias=True)
