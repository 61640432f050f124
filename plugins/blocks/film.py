"""Frames by the time at which they are shown, of videos and of cine loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
EVERY = ("The seconds between the frames that are taken, from the first one on: that which is shown at each of these "
         "times. Without it all frames are.")
_ROUNDING = 1e-6  # seconds


def shown_at(frames: Iterable[tuple[T, float]], every: float | None) -> Iterator[tuple[T, float]]:
    """The frames that are shown at multiples of some seconds, with these; all where `every` is None.

    Each of `frames` comes with the seconds from which it is shown, the first one with 0, and stays until the next one.
    """
    if every is None:
        yield from frames
        return
    shown: T | None = None
    wanted, last = 0, 0.0
    for frame, last in frames:
        while shown is not None and wanted * every < last - _ROUNDING:
            yield shown, wanted * every
            wanted += 1
        shown = frame
    if shown is not None and wanted * every <= last + _ROUNDING:
        yield shown, wanted * every
