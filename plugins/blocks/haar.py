"""The orthonormal Haar wavelet transform of images and volumes and its inverse. Contains no component."""

# Axes: B batch, n bands, c channels, ... spatial axes, halved for bands.

from __future__ import annotations

import torch
from torch import Tensor


def haar(maps: Tensor) -> Tensor:
    """One level of the transform: the low band, then the details.

    For the blocks (a b / c d) of an image, the low band is (a + b + c + d) / 2; the details are (a - b + c - d) / 2,
    (a + b - c - d) / 2 and (a - b - c + d) / 2. A volume has 7 details and the factor 2^(-3/2). The sum of squares is
    preserved.

    Shapes: (B, c, ...) with even sizes; gives (B, 4 or 8, c, ...) of half the spatial size.
    """
    bands_Bnc = maps.unsqueeze(1)
    for axis in range(3, bands_Bnc.dim()):
        even, odd = bands_Bnc.unflatten(axis, (-1, 2)).unbind(axis + 1)
        bands_Bnc = torch.stack((even + odd, even - odd), 2).flatten(1, 2)
    return bands_Bnc * bands_Bnc.shape[1] ** -0.5


def inverse_haar(bands_Bnc: Tensor) -> Tensor:
    """The inverse of `haar`.

    Shapes: (B, 4 or 8, c, ...); gives (B, c, ...) of twice the spatial size.
    """
    maps = bands_Bnc * bands_Bnc.shape[1] ** -0.5
    for axis in reversed(range(3, maps.dim())):
        low, high = maps.unflatten(1, (-1, 2)).unbind(2)
        maps = torch.stack((low + high, low - high), axis + 1).flatten(axis, axis + 1)
    return maps.squeeze(1)


def padded_to_even(maps: Tensor) -> Tensor:
    """Pad odd sizes by one with a mirrored value, or the value itself if it is the only one."""
    for axis in range(2, maps.dim()):
        size = maps.shape[axis]
        if size % 2:
            maps = torch.cat((maps, maps.narrow(axis, max(size - 2, 0), 1)), axis)
    return maps
