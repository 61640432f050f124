"""Networks that were not trained to an end are marked in `train`, `evaluate` and `compare`, others are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from run_study import write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.runs.training_mark import SHORT, Curve, is_falling, overfitting_note, training_mark

STEADY = np.linspace(0.7, 0.5, 50)
DONE = 0.7 * np.exp(-np.arange(50) / 6) + 0.1


@pytest.mark.parametrize(("losses", "falling"), [
    (STEADY, True), (DONE, False), (DONE + np.random.default_rng(0).normal(0, 0.005, 50), False),
    (0.7 * np.exp(-np.arange(50) / 30), True), ([0.7, 0.6], True), ([0.6, 0.7], False), ([0.7], False),
    ([0.7, float("nan"), 0.1], False), (np.full(50, 0.7), False), (STEADY[::-1], False)])
def test_a_loss_that_has_not_come_to_rest(losses: object, falling: bool) -> None:
    assert is_falling(list(np.asarray(losses, dtype=float))) is falling


def leave(folder: Path, losses: object, best: int, watched: bool = True) -> None:
    """What the mark reads of a run."""
    folder.mkdir(parents=True)
    numbers = list(np.asarray(losses, dtype=float))
    (folder / "run.json").write_text(json.dumps({"members": [{"best_epoch": best, "epochs": len(numbers)}]}))
    extra = ",validation_loss" if watched else ""
    rows = [f"{place + 1},{value}{',0.5' if watched else ''}" for place, value in enumerate(numbers)]
    (folder / "history.csv").write_text("\n".join([f"epoch,train_loss{extra}", *rows]) + "\n")


def test_each_network_of_each_fold_counts(tmp_path: Path) -> None:
    leave(tmp_path / "fold-0", STEADY, 50)
    leave(tmp_path / "fold-1", DONE, 30)
    assert training_mark(tmp_path) == "best epoch the last (1 of 2 networks)"
    assert training_mark(tmp_path / "fold-1") == ""
    leave(tmp_path / "alone", STEADY, 50, watched=False)
    assert training_mark(tmp_path / "alone") == "training loss still falling"


def test_overfitting_is_not_a_loss_that_still_falls(tmp_path: Path) -> None:
    leave(tmp_path / "run", STEADY, 10)
    assert training_mark(tmp_path / "run") == ""


def curve(validation: object, *, steps: int, every: int = 1) -> Curve:
    """The curve of a network whose validation loss, at every so many epochs, was this."""
    watched = {(place + 1) * every: value for place, value in enumerate(np.asarray(validation, dtype=float).tolist())}
    best = min(watched, key=watched.__getitem__)
    rows = [{"train_loss": 1.0, "validation_loss": watched.get(epoch)} for epoch in range(1, max(watched) + 1)]
    return Curve.of(rows, best, steps)


DIP = [*np.linspace(0.7, 0.4, 30), *np.linspace(0.4, 0.5, 20)]


@pytest.mark.parametrize(("found", "mark"), [
    (curve(STEADY, steps=299), SHORT), (curve(STEADY, steps=300), "best epoch the last"),
    (curve([*STEADY[:-2], 0.6, 0.6], steps=299), SHORT), (curve([*STEADY[:-2], 0.6, 0.6], steps=300), ""),
    (curve(DIP, steps=299), ""), (curve(STEADY, steps=299, every=10), SHORT)])
def test_a_best_epoch_near_the_end_of_a_short_run_asks_for_more(found: Curve, mark: str) -> None:
    assert found.mark == mark


def watch(folder: Path, validation: object) -> None:
    """What the note reads of a run whose validation loss was this."""
    leave(folder, STEADY, int(np.argmin(np.asarray(validation))) + 1)
    rows = [f"{place + 1},1,{value}" for place, value in enumerate(np.asarray(validation).tolist())]
    (folder / "history.csv").write_text("\n".join(["epoch,train_loss,validation_loss", *rows]) + "\n")


def test_overfitting_is_told_with_the_epochs_that_are_kept(tmp_path: Path) -> None:
    watch(tmp_path / "fold-0", [*DIP[:-1], 0.43])
    assert overfitting_note(tmp_path) == ""
    watch(tmp_path / "fold-1", DIP)
    assert overfitting_note(tmp_path / "fold-1") == "the network overfitted after epoch 30, whose weights are kept"
    watch(tmp_path / "fold-2", DIP[5:])
    assert overfitting_note(tmp_path) == "2 of 3 networks overfitted after epochs 25 to 30, whose weights are kept"


def test_one_network_of_many_is_marked_by_chance(tmp_path: Path) -> None:
    for fold in range(5):
        leave(tmp_path / f"fold-{fold}", DONE, 50 if fold == 0 else 30)
    assert training_mark(tmp_path) == "" and training_mark(tmp_path / "fold-0") == "best epoch the last"


def test_commands_mark_what_was_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path / "study")
    places = [str(study / "graph.yaml"), str(study / "data.yaml")]
    short = ["--epochs", "2", "--learning-rate", "0.0001"]
    assert main(["train", *places, "-o", str(study / "run"), *short]) == 0
    mark = training_mark(study / "run")
    assert mark
    assert f"{mark}: these may be figures of an untrained network" in capsys.readouterr().out
    assert main(["evaluate", str(study / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"] == mark
    assert main(["compare", *places, "--node", "both", "--with", "fusion.concat{availability: false}", "--no-baselines",
                 "-o", str(study / "compared"), *short, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["heads"]["result"]["rows"]
    assert rows and all("train longer" in row["note"] or "still falling" in row["note"] for row in rows)
