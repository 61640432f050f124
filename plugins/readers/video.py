"""The frames of a video, MP4, MOV, AVI, MKV or WebM, as a volume: its depth is time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fusionkit_plugins.blocks.deep_pictures import as_grey
from fusionkit_plugins.blocks.film import EVERY, shown_at
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, model_validator

from fusionkit.api import Reader
from fusionkit.reading import (
    MAX_VALUES,
    Advice,
    Facts,
    IntensityOptions,
    NumberWindows,
    ReadError,
    Sizes,
    constant,
    count,
    first_bytes,
    intensities,
    misplaced,
    ranges,
    remarked,
    spread,
)

_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_PICTURES = (b"heic", b"heix", b"mif1", b"avif")
_MISSING = "frames-missing"
_AGAIN = "copy or export the file again; it is cut off or damaged"


class VideoOptions(IntensityOptions):
    """Options of the reader `video`."""

    every: PositiveFloat | None = Field(None, description=EVERY)
    channels: Literal[1, 3] | None = Field(
        None, description="1 converts colour to grey, 3 repeats grey three times; without it each keeps its own.")
    window: NumberWindows | None = Field(
        None, description="Two stored values from 0 to 255 that become 0 and 1; without it values are divided by 255.")

    @model_validator(mode="after")
    def _is_a_volume_of_frames(self) -> VideoOptions:
        if self.size is not None and len(self.size) != 3:
            raise ValueError("a video has a number of frames before height and width; write 'size: [null, HEIGHT, "
                             "WIDTH]', which keeps that number")
        if self.channels == 3 and self.window_channels:
            raise ValueError("several windows make channels of their own; remove 'channels: 3'")
        return self


def shape(options: VideoOptions) -> Sizes | None:
    """Channels, frames, height, width; None where only the file tells."""
    return (options.window_channels or options.channels, *(options.size or (None, None, None)))


def advise(options: VideoOptions, files: Sequence[Facts]) -> list[Advice]:
    """Warnings about the files of one input taken together."""
    found = []
    if short := remarked(files, _MISSING):
        found.append(Advice(
            "frames-missing", f"{count(short, files)} have fewer frames than their headers say, by up to "
            f"{max(int(files[place].remark(_MISSING) or 0) for place in short)}", short,
            "they are cut off, or were trimmed without being written anew",
            "copy them again; export trimmed ones anew"))
    return [*found, *ranges(files), *constant(files)]


def examine(path: Path, options: VideoOptions) -> tuple[NDArray[np.float32], Facts]:
    """The frames of the first video stream, 8 bits a colour, turned as the file says they are shown.

    Shapes: (c, d, h, w): d frames, c is 1 for grey and 3 for colour. Units: 0..1. The facts have the seconds of each
    frame after the first as `positions`.

    Raises: `ReadError` with `not-a-video`, `broken-video`, `no-video`, `too-large`, `missing-package`.
    """
    kind = _kind(path)
    try:
        av: Any = import_module("av")
    except ImportError:
        raise ReadError("missing-package", "reading videos needs the package av (PyAV)",
                        fix='install "fusionkit[video]"') from None
    try:
        # A stream and a named format, so that no file leads to another one or to the network.
        with path.open("rb") as stream, av.open(stream, format=kind, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise ReadError("no-video", "it has no video stream", "it may be a recording of sound",
                                "name the file of the pictures")
            stored, times, remarks = _decoded(container, container.streams.video[0], options.every)
    except av.FFmpegError as problem:
        raise ReadError("broken-video", "the video cannot be decoded", problem.strerror or None, _AGAIN) from None
    array = np.ascontiguousarray(np.stack(stored).astype(np.float32).transpose(3, 0, 1, 2))
    if options.window is None:
        array /= np.float32(255)
    if options.channels == 1 and len(array) == 3:
        array = as_grey(array)
    elif options.channels == 3 and len(array) == 1:
        array = np.repeat(array, 3, axis=0)
    facts = Facts(values=spread(array), bits=8, positions=times, remarks=remarks)
    return intensities(array, facts, options, unit=1.0 if options.window else 1 / 255)


def _kind(path: Path) -> str:
    """The demuxer of FFmpeg for a file, by its first bytes."""
    start = first_bytes(path, 16)
    if start[4:8] in _QUICKTIME and start[8:12] not in _PICTURES:
        return "mov"
    if start.startswith(b"RIFF") and start[8:12] == b"AVI ":
        return "avi"
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    raise misplaced(path, "not-a-video", "a video") or ReadError(
        "not-a-video", "it is not a video in a known format (MP4, MOV, AVI, MKV, WebM)",
        f"the file starts with {start[:12]!r}", "convert it to MP4; animated GIF and WebP are read by 'read: image' "
        "with 'pages: volume', cine loops in DICOM by 'read: dicom' with 'form: film'")


def _decoded(container: Any, stream: Any, every: float | None
             ) -> tuple[list[NDArray[np.uint8]], tuple[float, ...], tuple[tuple[str, str], ...]]:
    """The frames that are taken, (h, w, c) each, their seconds after the first, and what is remarked."""
    if stream.codec_context is None:
        raise ReadError("broken-video", "its codec is unknown", None, "convert it to H.264 in MP4, or copy it again")
    stream.codec_context.options = {"err_detect": "explode"}
    rate = float(stream.average_rate or 0)
    # MKV does not count its frames; others have no duration when they are cut off.
    said = int(stream.frames) or int((container.duration or 0) / 1e6 * rate) - 1
    stored: list[NDArray[np.uint8]] = []
    times: list[float] = []
    frames = _Timed(container.decode(stream), rate)
    for frame, time in shown_at(frames, every):
        stored.append(_array(frame))
        times.append(time)
        if stored[0].size * len(stored) > MAX_VALUES:
            raise ReadError("too-large", f"its first {len(stored):,} frames have more than {MAX_VALUES:,} values",
                            "more are not read", "take fewer frames: write 'every: SECONDS', or a larger one")
    if not stored:
        raise ReadError("broken-video", "no frame of it can be decoded", None, _AGAIN)
    if len({each.shape for each in stored}) > 1:
        raise ReadError("broken-video", "its frames have different sizes", None, "export it with frames of one size")
    missing = said - frames.met
    return stored, tuple(times), (((_MISSING, str(missing)),) if missing > 0 else ())


class _Timed:
    """Frames, each with its seconds after the first; counts them."""

    def __init__(self, frames: Iterator[Any], rate: float) -> None:
        self.frames, self.rate, self.met = frames, rate, 0

    def __iter__(self) -> Iterator[tuple[Any, float]]:
        start = 0.0
        for frame in self.frames:
            if frame.is_corrupt:
                raise ReadError("broken-video", f"frame {self.met} of it is damaged", None, _AGAIN)
            time = frame.time if frame.time is not None else self.met / self.rate if self.rate else float("nan")
            if not isfinite(time):
                raise ReadError("broken-video", "it does not tell the time of its frames", None, "export it as MP4")
            start = time if self.met == 0 else start
            self.met += 1
            yield frame, time - start


def _array(frame: Any) -> NDArray[np.uint8]:
    """The values of a frame as it is shown: (h, w, c)."""
    grey = frame.format.name.startswith("gray")
    values: NDArray[np.uint8] = frame.to_ndarray(format="gray" if grey else "rgb24")
    turns, rest = divmod(int(frame.rotation), 90)
    if rest:
        raise ReadError("broken-video", f"it is to be shown turned by {frame.rotation} degrees", None,
                        "export it upright")
    return np.rot90(values[..., None] if grey else values, turns)


def sample(folder: Path) -> Path:
    """A video of 7 grey frames of 16 x 32 pixels, without loss."""
    return write_video(folder / "video.avi", np.arange(7, dtype=np.uint8)[:, None, None] + np.zeros(
        (7, 16, 32), np.uint8))


def write_video(path: Path, frames: NDArray[np.uint8], rate: int = 10) -> Path:
    """An AVI without loss of grey frames, so many a second: (d, h, w)."""
    av: Any = import_module("av")
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "gray"
        for values in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format="gray")))
        container.mux(stream.encode())
    return path


component = Reader("video", VideoOptions, examine, category="image", shape=shape, advise=advise, sample=sample,
                   scaled=(0.0, 1.0))
