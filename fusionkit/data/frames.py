"""Frames of a file with several: time points of a volume, or of a film, as channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from fusionkit.data.readers.reader import ReadError

Frames = Literal["all", "first", "last", "mean"] | Annotated[
    list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
FRAMES = ("Which of several frames or time points become channels: `all`, `first`, `last`, their `mean`, or a list "
          "such as [0, 2], counted from 0.")


def frame_places(frames: Frames, count: int) -> Sequence[int]:
    """The places of the frames that are read, of `count`; of `mean` all.

    Raises: `ReadError` with `unknown-frame`.
    """
    if isinstance(frames, str):
        return {"first": [0], "last": [count - 1]}.get(frames, range(count))
    beyond = [place for place in frames if place >= count]
    if beyond:
        raise ReadError("unknown-frame", f"it has {count} frames, and 'frames' asks for number {beyond[0]}",
                        "frames are counted from 0", "correct 'frames'")
    return frames


def frame_channels(frames: Frames) -> int | None:
    """The number of channels, where it does not depend on the file."""
    return None if frames == "all" else 1 if isinstance(frames, str) else len(frames)
