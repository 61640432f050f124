"""The kit's check of readers finds what is wrong with one, and passes what is right."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionkit.api import Config, Reader
from fusionkit.reading import Advice, Facts, FileOptions, ReadError, Sizes
from fusionkit.testing.conformance import Kit

_COUNT = itertools.count()


class Raw(FileOptions):
    """Options of the readers here."""


def sample(folder: Path) -> Path:
    (folder / "a.raw").write_bytes(np.arange(35, dtype="<f4").tobytes())
    return folder / "a.raw"


def sample_elsewhere(folder: Path) -> Path:
    return Path(__file__)


def sample_folder(folder: Path) -> Path:
    (folder / "series").mkdir()
    sample(folder / "series")
    return folder / "series"


def sound(path: Path, options: Any) -> tuple[Any, Any]:
    content = path.read_bytes()
    if len(content) != 140 or not np.isfinite(np.frombuffer(content, "<f4")).all():
        raise ReadError("broken-raw", "it has not 35 numbers", fix="copy it again")
    return np.frombuffer(content, "<f4").reshape(1, 5, 7).astype(np.float32), Facts()


def crashing(path: Path, options: Any) -> tuple[Any, Any]:
    return np.frombuffer(path.read_bytes(), "<f4").reshape(1, 5, 7).astype(np.float32), Facts()


def doubled(path: Path, options: Any) -> tuple[Any, Any]:
    return sound(path, options)[0].astype(np.float64), Facts()


def counting(path: Path, options: Any) -> tuple[Any, Any]:
    return sound(path, options)[0] + np.float32(next(_COUNT)), Facts()


def writing(path: Path, options: Any) -> tuple[Any, Any]:
    found = sound(path, options)
    path.with_suffix(".seen").touch()
    return found


def bare(path: Path, options: Any) -> tuple[Any, Any]:
    return sound(path, options)[0], {}


def refusing(path: Path, options: Any) -> tuple[Any, Any]:
    raise ReadError("not-raw", "it is something else", fix="convert it")


def plane(options: Any) -> Sizes:
    return (1, 7, 7)


def advise(options: Any, files: Any) -> list[Advice]:
    return [Advice("odd", "it is odd", (2,))]


def finding(module: Callable[..., Any] = sound, options: type[Config] = Raw, **more: Any) -> Any:
    return Kit(Reader("raw", options, module, **{"sample": sample, **more})).finding("reader")


def test_a_sound_reader_passes() -> None:
    assert finding().result == "ok"
    assert finding(shape=lambda options: (1, None, 7)).result == "ok"


@pytest.mark.parametrize(("module", "more", "seen"), [
    (crashing, {}, "a file that is empty ends in ValueError"), (doubled, {}, "it gives float64"),
    (counting, {}, "differently in several threads, or a second time"), (writing, {}, "reading changes the files"),
    (bare, {}, "beside the array it gives dict"),
    (refusing, {}, "its sample is refused: it is something else [not-raw]"),
    (sound, {"shape": plane}, "'shape' says [1, 7, 7], and the array is [1, 5, 7]"),
    (sound, {"advise": advise}, "the advice 'odd' is of files that are not there: (2,)"),
    (sound, {"sample": sample_elsewhere}, "which is not in the folder"),
    (sound, {"sample": sample_folder}, "'sample' gives a folder, and the reader takes files"),
])
def test_what_is_wrong_is_seen(module: Callable[..., Any], more: dict[str, Any], seen: str) -> None:
    found = finding(module, **more)
    assert found.result == "failed" and seen in found.seen and found.fix


def test_options_that_are_no_file_options_are_refused() -> None:
    class Other(Config):
        """No path."""

    found = finding(options=Other)
    assert found.result == "failed" and "do not derive from FileOptions" in found.seen
