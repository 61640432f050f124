"""Cine loops: the frames of one file as a volume whose depth is time."""

from __future__ import annotations

from typing import Any

import numpy as np
from fusionkit_plugins.blocks.dicom.elements import shown
from fusionkit_plugins.blocks.dicom.headers import Slice, open_dataset, quiet
from fusionkit_plugins.blocks.film import shown_at
from numpy.typing import NDArray

from fusionkit.reading import ReadError


def frames_of(item: Slice, every: float | None) -> tuple[list[int], tuple[float, ...]]:
    """The frames that are taken, and the seconds of each after the first one; none where the header does not tell.

    Raises: `ReadError` (dicom-no-frame-times) where `every` needs them.
    """
    with quiet:
        times = _times(item.dataset or open_dataset(item.path, pixels=False), item.frames)
    if times is None:
        if every is not None:
            raise ReadError("dicom-no-frame-times", f"{item.name} does not tell when its frames were taken",
                            "it has neither FrameTime nor FrameTimeVector nor CineRate", "remove 'every'")
        return list(range(max(1, item.frames))), ()
    taken = list(shown_at(enumerate(times), every))
    return [place for place, _ in taken], tuple(time for _, time in taken)


def _times(dataset: Any, count: int) -> list[float] | None:
    """The seconds of every frame after the first one."""
    steps = _numbers(dataset, "FrameTimeVector")
    if len(steps) == count and all(step >= 0 for step in steps):  # ms since the frame before
        return [float(time) / 1000 for time in np.cumsum([0.0, *steps[1:]])]
    for keyword, in_seconds in (("FrameTime", lambda number: number / 1000), ("CineRate", lambda number: 1 / number)):
        found = _numbers(dataset, keyword)
        if len(found) == 1 and found[0] > 0:
            return [place * in_seconds(found[0]) for place in range(max(1, count))]
    return None


def _numbers(dataset: Any, keyword: str) -> list[float]:
    try:
        return [float(text) for text in shown(dataset, keyword).split("\\") if text]
    except ValueError:
        return []


def as_film(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Frames side by side as channels, (d c, h, w), to (c, d, h, w)."""
    return np.ascontiguousarray(values.reshape(count, -1, *values.shape[1:]).swapaxes(0, 1))
