"""What an array of a `.npy` file may be by its sizes: a vector, an image or a volume, and where its channels are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

MOST_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class ArrayGuess:
    """A layout of the graph and the option `channels` of the reader, and why."""

    layout: Literal["vector", "image", "volume"]
    channels: Literal["first", "last", "none"]
    why: str


def array_guess(path: Path) -> ArrayGuess | None:
    """The guess for one file, of which the header is read alone; None where it cannot be read or has other axes."""
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError):
        return None
    sizes = " x ".join(map(str, shape))
    if len(shape) == 1:
        return ArrayGuess("vector", "first", f"the first array has {sizes} values")
    if len(shape) == 2:
        return ArrayGuess("image", "none", f"the first array is {sizes}, an image without channels")
    if len(shape) == 3 and shape[0] > MOST_CHANNELS < shape[-1]:
        return ArrayGuess("volume", "none", f"the first array is {sizes}: a volume without channels; if its {shape[0]} "
                          "are channels, remove 'channels' and make it an image in the graph")
    if len(shape) in (3, 4):
        last = shape[-1] <= MOST_CHANNELS < shape[0]
        return ArrayGuess("image" if len(shape) == 3 else "volume", "last" if last else "first",
                          f"the first array is {sizes}, the {'last' if last else 'first'} of them channels")
    return None
