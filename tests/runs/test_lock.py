"""Two processes and one folder: the second is refused and touches nothing; a dead one leaves nothing that binds."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import without_plots as without_plots
from tiny_study import write_study

from fusionkit.cli.parser import main
from fusionkit.errors import DataError, Diagnostic
from fusionkit.files import remove_abandoned
from fusionkit.runs import lock
from fusionkit.runs.lock import LOCK, holds_other_files, locked
from fusionkit.runs.train import claimed

HOLD = """
import sys
from pathlib import Path
from fusionkit.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder `run`."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def refusal(folder: Path, resume: bool = False) -> Diagnostic:
    with pytest.raises(DataError) as caught, claimed(folder, resume):
        pass
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize("resume", [False, True])
def test_the_second_process_is_refused_and_the_first_is_named(tmp_path: Path, other: subprocess.Popen[str],
                                                              resume: bool) -> None:
    found = refusal(tmp_path / "run", resume)
    assert found.code == "folder-in-use" and found.fix
    assert found.why is not None and f"process {other.pid} on {socket.gethostname()} since " in found.why
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]
    graph, data = write_study(tmp_path)
    assert main(["train", graph, data, "-o", str(tmp_path / "run"), *(["--resume"] if resume else [])]) == 2
    other.kill()
    other.wait()
    with claimed(tmp_path / "run", resume):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["process"] == os.getpid()
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_comparison_holds_its_folder_too(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    graph, data = write_study(tmp_path)
    argv = ["compare", graph, data, "--node", "told", "--with", "encoder.mlp", "-o", str(tmp_path / "run")]
    assert main(argv) == 2
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]


def test_one_process_holds_a_folder_once(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        assert refusal(tmp_path / "run").code == "folder-in-use"
        assert not holds_other_files(tmp_path / "run")
    assert not (tmp_path / "run").exists(), "a folder that was made for nothing is gone"


def test_folders_that_were_made_stay_where_something_was_written(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "x").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["x"]


def test_a_file_where_the_folder_would_be(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    assert refusal(tmp_path / "run", resume=True).code == "folder-not-empty"
    with pytest.raises(DataError), locked(tmp_path / "run"):
        pass


@pytest.mark.parametrize(("about", "refused"), [
    ({"process": 1, "host": socket.gethostname()}, True),
    ({"process": 2**22 + 7, "host": socket.gethostname()}, False),
    ({"process": 1, "host": "elsewhere"}, False),
    ("no json", False), ([], False), ({"process": "x"}, False),
])
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, about: object, refused: bool
                                     ) -> None:
    import fcntl

    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "lockf", none)
    (tmp_path / LOCK).write_text(about if isinstance(about, str) else json.dumps(about))
    if refused:
        assert refusal(tmp_path).code == "folder-in-use"
        return
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()
    assert lock._held == set()


def test_part_files_of_living_processes_stay(tmp_path: Path) -> None:
    own, dead = os.getpid(), 2**22 + 7
    for name in (".state.json.1.part", f".state.json.{own}.part", f".x.{dead}.part", ".old.part", "x.part"):
        (tmp_path / name).touch()
    remove_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".state.json.1.part", "x.part"]


@pytest.mark.slow
def test_two_trainings_into_one_folder_leave_one_whole_run(tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    command = [sys.executable, "-m", "fusionkit", "train", graph, data, "-o", str(tmp_path / "run"), "--seed"]
    both = [subprocess.Popen([*command, seed], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for seed in ("0", "7")]
    told = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], told
    seed = ("0", "7")[both.index(next(process for process in both if process.returncode == 0))]
    assert f"seed: {seed}" in (tmp_path / "run" / "graph.yaml").read_text()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["members"][0]["seed"] == int(seed)
    assert main(["predict", str(tmp_path / "run"), data]) == 0
