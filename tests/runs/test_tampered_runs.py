"""Run folders that somebody changed: each is refused by what is wrong with it, nothing in them is executed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny_study import write_study

from fusionkit.cli.parser import main
from fusionkit.runs.fold_networks import fold_folders
from fusionkit.runs.training_mark import training_mark

DEEP = "[" * 100_000
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    folder = tmp_path_factory.mktemp("tampered")
    graph, data = write_study(folder)
    assert main(["train", graph, data, "-o", str(folder / "run")]) == 0
    return folder / "run", graph, data


@pytest.fixture
def run(trained: tuple[Path, str, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def text(name: str, content: str) -> Change:
    return lambda run: (run / name).write_text(content)


def changed(name: str, **values: Any) -> Change:
    def change(run: Path) -> None:
        about = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(about | values))
    return change


def column(**values: Any) -> Change:
    def change(run: Path) -> None:
        about = json.loads((run / "preprocessing.json").read_text())
        about["columns"]["table"] |= values
        (run / "preprocessing.json").write_text(json.dumps(about))
    return change


def fifo(name: str) -> Change:
    def change(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)
    return change


def device(name: str) -> Change:
    def change(run: Path) -> None:
        (run / name).unlink()
        (run / name).symlink_to("/dev/zero")
    return change


def weights(edit: Callable[[dict[str, Any]], object]) -> Change:
    def change(run: Path) -> None:
        tensors = load_file(run / "model.safetensors")
        edit(tensors)
        save_file(tensors, run / "model.safetensors")
    return change


RUN = [text("run.json", content) for content in ("[]", "{}", '"x"', "{", DEEP, "7", '{"data": ' + "9" * 5000 + "}",
                                                 '{"data": NaN}', "", "\0")] + [
    changed("run.json", **values) for values in (
        {"data": 5}, {"data": "a\0b"}, {"data": None}, {"test": [1, 2]}, {"test": "abc"}, {"test": None},
        {"members": 3}, {"members": "abc"}, {"members": [3]}, {"members": []}, {"train": 5},
        {"validation": {}}, {"epochs": "x"})] + [
    fifo("run.json"), device("run.json")]
PREPROCESSING = [text("preprocessing.json", content) for content in ("{}", "[]", DEEP, '{"columns": {}}')] + [
    column(**values) for values in (
        {"means": []}, {"means": [0.0] * 6}, {"deviations": []}, {"deviations": [0.0, 0.0]},
        {"deviations": [-1.0, 1.0]},
        {"medians": [0.0]}, {"categories": [["a"]]}, {"numeric": []}, {"means": [float("nan")] * 2},
        {"means": [1e400] * 2})]
CALIBRATION = [text("calibration.json", content) for content in ("[]", "{}", DEEP, "7", "{", "\0")] + [
    fifo("calibration.json"), device("calibration.json")]
NETWORK = [
    (fifo("graph.yaml"), {"no-network"}), (lambda run: (run / "graph.yaml").unlink(), {"no-network"}),
    (fifo("model.safetensors"), {"unreadable-weights"}), (device("model.safetensors"), {"unreadable-weights"}),
    (text("model.safetensors", ""), {"unreadable-weights"}),
    (weights(lambda tensors: tensors.popitem()), {"wrong-weights"}),
    (weights(lambda tensors: tensors.update({key: value / 0 for key, value in tensors.items()})), {"wrong-weights"})]
STATE = [text("last/state.json", content) for content in ("[]", DEEP, '{"format": 9}', "7")] + [
    changed("last/state.json", **values) for values in (
        {"tensors": "../../../../etc/passwd"}, {"tensors": 5}, {"tensors": ""}, {"tensors": "a\0b"}, {"epoch": -3},
        {"epoch": 10**9}, {"epoch": "x"}, {"epoch": True}, {"step": -1}, {"step": 10**9}, {"history": 5},
        {"history": [5]}, {"history": [{}]}, {"settings": []}, {"sums": []}, {"sums": {"a": "x"}}, {"best_value": "x"},
        {"seconds": "x"}, {"best_epoch": 99}, {"frozen": 5}, {"extra": 1}, {"stopped": 5}, {"stale": -1})] + [
    fifo("last/state.json"), device("last/state.json")]


def refused(capsys: pytest.CaptureFixture[str], argv: list[str], codes: set[str]) -> None:
    assert main(argv) == 2
    told = capsys.readouterr().err
    assert any(f"[{code}]" in told for code in codes), told
    assert "report" not in told and len(told) < 2000


RECORD = [text("cases.json", content) for content in ("[]", "{}", DEEP, "7", "\0")] + [
    changed("cases.json", **values) for values in (
        {"parts": 5}, {"parts": {"train": ["c0"]}}, {"folds": [["c0", ["c1"]]]}, {"folds": [["c0"], ["c1"]]},
        {"cases": []}, {"cases": {}}, {"fold": "x"}, {"patients": None}, {"extra": 1},
        {"parts": {"train": ["c0", "c0"], "validation": [], "test": []}},
        {"parts": {"train": ["nobody"], "validation": [], "test": []}})] + [
    fifo("cases.json"), device("cases.json")]


def folder(name: str) -> Change:
    def change(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()
    return change


@pytest.mark.parametrize("change", RUN)
def test_a_file_of_the_run_that_no_training_writes(run: Path, trained: tuple[Path, str, str], change: Change,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    change(run)
    capsys.readouterr()
    refused(capsys, ["evaluate", str(run)], {"no-run"})


@pytest.mark.parametrize("change", PREPROCESSING)
def test_preprocessing_that_no_training_writes(run: Path, trained: tuple[Path, str, str], change: Change,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    change(run)
    capsys.readouterr()
    refused(capsys, ["predict", str(run), trained[2]], {"bad-preprocessing", "preprocessing-differs"})


@pytest.mark.parametrize("change", CALIBRATION)
def test_a_calibration_that_nothing_writes(run: Path, trained: tuple[Path, str, str], change: Change,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    change(run)
    capsys.readouterr()
    refused(capsys, ["predict", str(run), trained[2]], {"unreadable-calibration"})


@pytest.mark.parametrize(("change", "codes"), NETWORK)
def test_a_network_that_nothing_writes(run: Path, trained: tuple[Path, str, str], change: Change, codes: set[str],
                                       capsys: pytest.CaptureFixture[str]) -> None:
    change(run)
    capsys.readouterr()
    refused(capsys, ["predict", str(run), trained[2]], codes)


@pytest.mark.parametrize("change", STATE)
def test_a_state_that_no_training_writes(run: Path, trained: tuple[Path, str, str], change: Change,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    (run / "run.json").unlink()
    change(run)
    capsys.readouterr()
    refused(capsys, ["train", trained[1], trained[2], "-o", str(run), "--resume"], {"unreadable-state"})


@pytest.mark.parametrize("change", RECORD)
def test_a_record_of_cases_that_no_training_writes(run: Path, trained: tuple[Path, str, str], change: Change,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    (run / "run.json").unlink()
    change(run)
    capsys.readouterr()
    refused(capsys, ["train", trained[1], trained[2], "-o", str(run), "--resume"], {"bad-record"})


@pytest.mark.parametrize("change", [*STATE[:4], *STATE[8:24], changed("last/state.json", history=[{}, {}])])
def test_a_state_that_no_training_writes_behind_a_finished_run(
    run: Path, trained: tuple[Path, str, str], change: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run)
    capsys.readouterr()
    refused(capsys, ["train", trained[1], trained[2], "-o", str(run), "--resume", "--epochs", "3"],
            {"unreadable-state"})


@pytest.mark.parametrize("change", [
    lambda run: (run / "preprocessing.json").write_bytes(b"\x80"), fifo("preprocessing.json"),
    device("preprocessing.json"), text("preprocessing.json", DEEP)])
def test_preprocessing_that_a_resumed_run_cannot_read(run: Path, trained: tuple[Path, str, str], change: Change,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    (run / "run.json").unlink()
    change(run)
    capsys.readouterr()
    refused(capsys, ["train", trained[1], trained[2], "-o", str(run), "--resume"], {"bad-preprocessing"})


@pytest.mark.parametrize("change", [
    *(text("history.csv", content) for content in ("", "\0", "epoch,loss\n1,2\n", "epoch,train_loss\n1,x\n",
                                                   "epoch,train_loss,seconds\n1,0.5,1,9,9\n", '"')),
    lambda run: (run / "history.csv").write_bytes(b"train_loss\n\x80\n"), fifo("history.csv"), folder("history.csv"),
    changed("run.json", members=[{"seed": 0}])])
def test_a_history_that_no_training_writes_is_no_history(run: Path, change: Change,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    change(run)
    assert training_mark(run) == ""


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json", "run.json"])
def test_a_folder_in_the_place_of_a_result(run: Path, trained: tuple[Path, str, str], name: str,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    folder(name)(run)
    (run / "run.json").unlink() if name != "run.json" else None
    capsys.readouterr()
    refused(capsys, ["train", trained[1], trained[2], "-o", str(run), "--resume"], {"bad-path"})


def test_a_graph_of_a_killed_run_that_is_no_text_stays_as_it_was(run: Path, trained: tuple[Path, str, str],
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    (run / "run.json").unlink()
    (run / "graph.yaml").write_bytes(b"\x80\xff")
    refused(capsys, ["train", trained[1], trained[2], "-o", str(run), "--resume"], {"not-utf8"})
    assert (run / "graph.yaml").read_bytes() == b"\x80\xff"


@pytest.mark.parametrize("made", [["fold-99999999999"], ["fold-0", "fold-123456789"]])
def test_folders_called_as_folds_without_end(run: Path, made: list[str]) -> None:
    (run / "run.json").unlink()
    (run / "cases.json").write_text('{"folds": 7}')
    for name in made:
        (run / name).mkdir()
    assert [path.name for path in fold_folders(run)] == [name for name in made if name == "fold-0"]
