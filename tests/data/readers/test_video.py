"""Videos: their frames as a volume, or as the items of a bag, by the time at which they are shown."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from fusionkit_plugins.readers.video import VideoOptions, examine, write_video

from fusionkit.data.description import describe
from fusionkit.data.loading import InputNeed, load_cohort
from fusionkit.data.readers.contents import misplaced
from fusionkit.data.readers.reader import ReadError

FRAMES = np.random.default_rng(5).integers(0, 256, (13, 16, 32)).astype(np.uint8)


def read(path: Path, **options: Any) -> tuple[np.ndarray, Any]:
    return examine(path, VideoOptions(path="x", **options))


def code(path: Path) -> str:
    with pytest.raises(ReadError) as caught:
        read(path)
    assert caught.value.fix
    return caught.value.code


def unevenly(path: Path, times: list[float]) -> None:
    """An MKV of colour whose frames, of value 20 k, are shown from these seconds on."""
    with av.open(str(path), "w", format="matroska") as container:
        stream: Any = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for place, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 20 * place, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame.reformat(format="bgr0")))
        container.mux(stream.encode())


def test_grey_frames_without_loss_are_read_exactly(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", FRAMES)
    values, facts = read(tmp_path / "a.avi")
    assert np.array_equal(values, FRAMES[None] / np.float32(255)) and facts.remarks == ()
    assert np.allclose(facts.positions, np.arange(13) / 10)
    assert read(tmp_path / "a.avi", channels=3)[0].shape == (3, 13, 16, 32)


def test_frames_are_taken_by_time_and_not_by_number(tmp_path: Path) -> None:
    unevenly(tmp_path / "a.mkv", [0, 0.1, 0.2, 1.0, 1.1, 2.0])
    values, facts = read(tmp_path / "a.mkv", every=0.5)
    # At half a second the frame of 0.2 s is still shown.
    assert np.rint(values[:, :, 0, 0] * 255).tolist() == [[0, 40, 60, 80, 100]] * 3
    assert facts.positions == (0.0, 0.5, 1.0, 1.5, 2.0)


def test_frames_are_items_of_a_bag_of_any_number(tmp_path: Path) -> None:
    for name, count in (("a", 13), ("b", 7)):
        write_video(tmp_path / f"{name}.avi", FRAMES[:count])
    (tmp_path / "cases.csv").write_text("id\na\nb\n")
    (tmp_path / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ntargets: {}\ninputs:\n"
        "  cine: {read: bag, of: {read: video, every: 0.2, size: [null, 8, 16]}, path: '{id}.avi', items: slices}\n"
        "  times: {read: positions, of: cine}\n")
    cohort = load_cohort(describe(tmp_path / "data.yaml"), {}, {
        "cine": InputNeed((None,) * 4, masked=True), "times": InputNeed((None, 1), masked=True)}, require_targets=False)
    first, second = (cohort.dataset(cohort.rows, cohort.fit(cohort.rows))[row]["inputs"] for row in range(2))
    assert first["cine"].shape == (7, 1, 8, 16) and second["cine"].shape == (4, 1, 8, 16)
    assert torch.allclose(second["times"][:, 0], torch.tensor([0.0, 0.2, 0.4, 0.6]))
    halves = FRAMES[2].astype(np.float64).reshape(8, 2, 16, 2).mean((1, 3)) / 255
    assert abs(first["cine"][1, 0, 3:5, 5:9].mean() - halves[3:5, 5:9].mean()) < 0.05


def test_a_video_that_is_damaged_or_none_is_refused(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.avi", FRAMES).read_bytes()
    (tmp_path / "half.avi").write_bytes(whole[:1000])
    unevenly(tmp_path / "a.mkv", [k / 10 for k in range(12)])
    long = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "half.mkv").write_bytes(long[: len(long) // 2])
    (tmp_path / "list.mp4").write_text("#EXTM3U\nfile:///etc/passwd\n")
    (tmp_path / "gif.mp4").write_bytes(b"GIF89a" + bytes(99))
    (tmp_path / "heic.mp4").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    assert [code(tmp_path / name) for name in ("half.avi", "list.mp4", "gif.mp4", "heic.mp4")] == [
        "broken-video", "not-a-video", "not-a-video", "not-a-video"]
    assert "a video" in str(misplaced(tmp_path / "a.mkv", "not-an-image", "a picture"))
    try:  # some releases of FFmpeg refuse what others give the first frames of
        assert dict(read(tmp_path / "half.mkv")[1].remarks)["frames-missing"]
    except ReadError as problem:
        assert problem.code == "broken-video"


def test_a_size_of_one_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="null, HEIGHT, WIDTH"):
        VideoOptions(path="x", size=[8, 16])
