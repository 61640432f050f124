"""A run goes on with the cases, parts, values, graph and settings that it began with, or says what differs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from run_study import FOLDS, edit_table, table, write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main


def train(folder: Path, *more: str, run: str = "run") -> int:
    return main(["train", str(folder / "graph.yaml"), str(folder / "data.yaml"), "-o", str(folder / run), *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the split of a column."""
    folder = write_study(tmp_path_factory.mktemp("split") / "study")
    assert train(folder) == 0
    return folder


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on three folds."""
    folder = write_study(tmp_path_factory.mktemp("folds") / "study", FOLDS)
    assert train(folder) == 0
    return folder


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "study"))


@pytest.fixture
def folds(crossed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crossed, tmp_path / "study"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What is said when the run is not gone on with; its folder is as it was."""
    before = files(folder / "run")
    capsys.readouterr()
    assert train(folder, "--resume", *more) == 2
    assert files(folder / "run") == before
    return capsys.readouterr().err


def test_cases_that_were_deleted_are_named(folds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(folds / "cases.csv", lambda rows: [row for row in rows if row["id"] not in ("c3", "c40")])
    said = refused(folds, capsys)
    assert "2 cases of it are no longer in the table: 'c3', 'c40' [resume-differs]" in said
    assert "other values" not in said


def test_cases_that_were_added_are_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(study / "cases.csv", lambda rows: [*rows, {**rows[0], "id": "new"}])
    assert "the table has 1 new case: 'new'" in refused(study, capsys)


@pytest.mark.parametrize(("column", "cell", "field"), [
    ("a", "41.5", "column 'a' of input 'table'"), ("s", "F", "column 's' of input 'table'"),
    ("result", "yes", "target 'result'"), ("picture", "1.npy", "the files of input 'picture'")])
def test_values_that_were_changed_are_named(study: Path, capsys: pytest.CaptureFixture[str], column: str, cell: str,
                                            field: str) -> None:
    edit_table(study / "cases.csv", lambda rows: rows[2].update({column: cell}))
    assert f"1 case has other values in {field}: 'c2' [resume-differs]" in refused(study, capsys)


def test_a_patient_that_was_changed_is_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(study / "cases.csv", lambda rows: [row.update(patient="p99") for row in rows[4:6]] and None)
    assert "2 cases have other values in column 'patient', the patient: 'c4', 'c5'" in refused(study, capsys)


def test_a_file_that_was_changed_is_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(study / "pictures" / "8.npy", np.ones((1, 4, 5), dtype=np.float32))
    assert "1 case has other values in the files of input 'picture': 'c8'" in refused(study, capsys)


def test_numbers_that_are_only_written_otherwise_are_the_same(study: Path) -> None:
    edit_table(study / "cases.csv", lambda rows: [row.update(a=row["a"] + "0") for row in rows] and None)
    assert train(study, "--resume") == 0


def test_another_part_of_the_split_is_named(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_table(study / "cases.csv", lambda rows: [row.update(split="train") for row in rows[4:6]] and None)
    assert "2 cases of 'test' are in another part of the split: 'c4', 'c5'" in refused(study, capsys)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("folds: 3", "folds: 4", "'split' was {'folds': 3"),
    ("stratify: result}", "stratify: result, seed: 4}", "'split' was {'folds': 3"),
    ("numeric: [a, b], categorical: [s]", "numeric: [b, a], categorical: [s]", "'numeric' differs"),
    ("numeric: [a, b]", "numeric: [a, b], standardise: false", "'standardise' differs"),
    ("numeric: [a, b]", "numeric: [a, b], fill: mean", "input 'table' is prepared differently: 'fill' was refuse"),
    ('{picture}"', '{picture}", window: [0, 1]', "'window' differs"),
])
def test_another_data_file_is_refused_by_name(folds: Path, capsys: pytest.CaptureFixture[str], old: str, new: str,
                                              said: str) -> None:
    path = folds / "data.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert said in refused(folds, capsys)


def test_another_graph_is_refused_by_node(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study / "graph.yaml"
    path.write_text(path.read_text().replace("dropout: 0.1", "dropout: 0.3"))
    assert "its graph differs, in nodes.result [resume-differs]" in refused(study, capsys)


def test_rows_in_another_order_are_the_same_cases(study: Path) -> None:
    weights = (study / "run" / "model.safetensors").read_bytes()
    edit_table(study / "cases.csv", lambda rows: rows[::-1])
    assert train(study, "--resume", "--epochs", "3") == 0
    assert train(write_study(study / "again"), "--epochs", "3") == 0
    assert (study / "run" / "model.safetensors").read_bytes() != weights
    assert (study / "run" / "model.safetensors").read_bytes() == (
        study / "again" / "run" / "model.safetensors").read_bytes()


def test_a_split_is_read_from_the_run_and_not_drawn_again(folds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {row["id"]: row["fold"] for row in table(folds / "run" / "predictions.csv")}
    shutil.rmtree(folds / "run" / "fold-2")
    from fusionkit.data import grouped_folds

    drawn = grouped_folds.fold_of
    monkeypatch.setattr(grouped_folds, "fold_of", lambda groups, strata, count, seed: drawn(groups, None, count, 77))
    assert train(folds, "--resume") == 0
    assert {row["id"]: row["fold"] for row in table(folds / "run" / "predictions.csv")} == first


def test_a_fold_is_gone_on_with_in_its_folder(folds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folds / "run" / "fold-1" / "run.json").read_text()
    assert train(folds, "--resume", "--fold", "0", "--epochs", "3") == 0
    assert f"the run is in {folds / 'run' / 'fold-0'}" in capsys.readouterr().out
    assert json.loads((folds / "run" / "fold-0" / "run.json").read_text())["epochs"] == 3
    assert (folds / "run" / "fold-1" / "run.json").read_text() == before
    assert not (folds / "run" / "run.json").exists()


def test_a_run_of_one_fold_is_not_gone_on_with_as_all(folds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folds / "run")
    assert train(folds, "--fold", "1") == 0
    assert "it is of fold 1 only, but all folds are requested" in refused(folds, capsys)
    assert "it is of fold 1, and fold 2 is asked for" in refused(folds, capsys, "--fold", "2")
    assert train(folds, "--resume", "--fold", "1") == 0


def test_more_epochs_train_a_finished_run_on(study: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(study, "--resume", "--epochs", "4") == 0
    assert train(study, "--epochs", "4", run="whole") == 0
    assert len((study / "run" / "history.csv").read_text().splitlines()) == 5
    for name in ("model.safetensors", "predictions.csv", "metrics.json", "run.json", "calibration.json"):
        assert (study / "run" / name).read_bytes() == (study / "whole" / name).read_bytes()


@pytest.mark.parametrize("more", [(), ("--epochs", "1"), ("--epochs", "2", "--workers", "0")])
def test_a_finished_run_says_so(study: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    before = files(study / "run")
    assert train(study, "--resume", *more) == 0
    assert "is finished, nothing to do: it has its 2 epochs" in capsys.readouterr().out
    assert files(study / "run") == before


@pytest.mark.parametrize("more", [("--batch-size", "8"), ("--seed", "3"), ("--epochs", "9", "--learning-rate", "0.1")])
def test_other_settings_of_a_finished_run_are_refused(study: Path, capsys: pytest.CaptureFixture[str],
                                                     more: tuple[str, ...]) -> None:
    said = refused(study, capsys, *more)
    assert f"{more[-2].removeprefix('--').replace('-', '_')!r} was " in said
    assert "[resume-differs]" in said


def test_a_run_that_stopped_early_is_finished_until_patience_grows(study: Path, capsys: pytest.CaptureFixture[str]
                                                                   ) -> None:
    shutil.rmtree(study / "run")
    settings = ("--learning-rate", "5", "--patience", "1")
    assert train(study, "--epochs", "40", *settings) == 0
    done = json.loads((study / "run" / "run.json").read_text())["epochs"]
    assert done < 40
    assert train(study, "--epochs", "50", "--resume", *settings) == 0
    assert f"nothing to do: it has its {done} epochs" in capsys.readouterr().out
    assert train(study, "--epochs", "40", "--resume", *settings[:-1], "3") == 0
    assert json.loads((study / "run" / "run.json").read_text())["epochs"] > done


def test_without_its_state_a_finished_run_is_not_begun_anew(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(study / "run" / "last")
    assert train(study, "--resume") == 0
    assert "[no-state]" in refused(study, capsys, "--epochs", "5")


def test_a_run_of_a_release_that_kept_no_record_still_goes_on(folds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folds / "run").rglob("cases.json"):
        path.unlink()
    assert train(folds, "--resume", "--epochs", "3") == 0
    edit_table(folds / "cases.csv", lambda rows: rows[2].update(a="41.5"))
    for path in (folds / "run").rglob("cases.json"):
        path.unlink()
    assert "input 'table' is prepared differently: the means of column 'a' were " in refused(folds, capsys)


def test_a_record_that_cannot_be_read_is_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "run" / "cases.json").write_text('{"fusionkit-cases": 1, "cases": 3}')
    assert "cases.json' cannot be read [bad-record]" in refused(study, capsys)


def test_folds_that_are_refused_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "study", FOLDS)
    graph = study / "graph.yaml"
    graph.write_text(graph.read_text().replace("head.classify", "head.regress").replace(
        "classes: [no, yes]", "values: [result]"))
    edit_table(study / "cases.csv", lambda rows: [row.update(result=row["a"]) for row in rows] and None)
    data = study / "data.yaml"
    data.write_text(data.read_text().replace(", stratify: result", ""))
    assert train(study, "--monitor", "accuracy") == 2
    assert "[no-accuracy]" in capsys.readouterr().err
    assert not (study / "run").exists()
