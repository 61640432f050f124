"""What is advised when a disk is full, a process is killed or memory runs out; what is no file is not waited for."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError
from small_study import without_plots as without_plots
from tiny_study import write_study

from fusionkit.cli.advice import REPORT, advice
from fusionkit.cli.parser import main
from fusionkit.data import disk_cache
from fusionkit.files import replacing


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


FULL = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(("error", "says"), [
    (OSError(errno.ENOSPC, "No space left on device", "run/x"), "make room"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "make room"), (FULL, "make room"),
    (RuntimeError("[enforce fail at inline_container.cc:603] . No space left on device"), "make room"),
    (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "--workers"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "--workers"),
    (RuntimeError("unable to write to file </torch_1>: shared memory"), "--workers"),
    (MemoryError(), "too little memory"), (OutOfMemoryError("CUDA out of memory"), "too little memory"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "too little memory"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "too little memory"),
    (OSError(errno.EMFILE, "Too many open files"), "ulimit"), (RuntimeError("can't start new thread"), "--threads"),
    (OSError(errno.EACCES, "Permission denied", "run"), "permissions"), (KeyError("x"), REPORT),
])
def test_what_is_advised(error: Exception, says: str) -> None:
    assert says in advice(error)


def test_the_cause_is_looked_at_too() -> None:
    outer = RuntimeError("the weights could not be written")
    outer.__cause__ = FULL
    assert "make room" in advice(outer)


def test_the_file_that_was_being_written_is_named(tmp_path: Path) -> None:
    for error in (FULL, OSError(errno.ENOSPC, "No space left on device")):
        with pytest.raises(type(error)) as caught, replacing(tmp_path / "model.safetensors"):
            raise error
        assert caught.value.__notes__[-1] == f"while {str(tmp_path / 'model.safetensors')!r} was written"
    assert not list(tmp_path.iterdir())


def test_a_full_disk_in_training_is_told_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: Any) -> None:
        raise SafetensorError(str(FULL))

    graph, data = write_study(tmp_path)
    monkeypatch.setattr("fusionkit.training.checkpoint.save_file", full)
    assert main(["train", graph, data, "-o", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert "make room" in told and "please report" not in told and str(tmp_path / "run" / "last") in told


def test_a_path_with_a_nul(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, data = write_study(tmp_path)
    for argv in (["train", graph, data, "-o", "a\0b"], ["build", graph, "-o", "a\0b"], ["check", "a\0b.yaml"],
                 ["predict", "a\0b", data], ["train", graph, "a\0b", "-o", str(tmp_path / "run")]):
        assert main(argv) == 2, argv
        told = capsys.readouterr().err
        assert "please report" not in told and "fix: " in told


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_pipe, _device])
@pytest.mark.parametrize("name", ["graph.yaml", "data.yaml", "cases.csv", "cases.parquet", "weights.pt"])
def test_what_is_no_file_is_refused_wherever_one_is_read(tmp_path: Path, make: Callable[[Path], None], name: str,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    graph, data = write_study(tmp_path)
    if name == "cases.parquet":
        Path(data).write_text(Path(data).read_text().replace("cases.csv", name))
    if name == "weights.pt":
        Path(graph).write_text(Path(graph).read_text().replace("from: table,", "from: table, weights: weights.pt,"))
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    assert main(["train", graph, data, "-o", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert name in told and "fix: " in told


@pytest.mark.parametrize("make", [_pipe, _device, Path.touch, lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{"),
                                  lambda path: path.write_bytes(os.urandom(256)), Path.mkdir])
def test_a_damaged_entry_of_the_cache_is_made_again(tmp_path: Path, make: Callable[[Path], object]) -> None:
    name = "0" * 64
    disk_cache.store(tmp_path, name, np.ones(3, np.float32), {"a": 1})
    for ending in ("npy", "json"):
        place = disk_cache._place(tmp_path, name, ending)
        place.unlink()
        make(place)
    assert disk_cache.load(tmp_path, name) is None
    assert disk_cache.load_facts(tmp_path, name) is None


def test_a_folder_does_not_hide_a_published_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["build", "breast-cancer", "-o", "breast-cancer"]) == 0
    assert main(["check", "breast-cancer"]) == 0
