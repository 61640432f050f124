"""Candidates that share frozen nodes: trained in lockstep, with the weights that each would have alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_study import DATA, GRAPH, read_table, write_study

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.comparison import feature_cache, shared_training, tables
from fusionkit.comparison.feature_cache import Source
from fusionkit.interface import compare
from fusionkit.network.weights import read_tensors
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain
from fusionkit.training import lockstep
from fusionkit.training.step import Outcome, Stepper

FROZEN = GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}")
WITH = "fusion.sum,fusion.gmu{width: 5}"
EVEN = ["--batch-size", "11"]  # 44 training and 22 test cases: all batches have one size


@pytest.fixture(scope="module", autouse=True)
def without_pictures() -> Iterator[None]:
    """The tables alone are written: pictures and page take longer than training, and are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "_write", tables.write_tables)
        yield


def compared(study: Path, output: str, *more: str) -> int:
    return main(["compare", str(study / "graph.yaml"), str(study / "data.yaml"), "--node", "both", "--with", WITH,
                 "-o", str(study / output), *EVEN, *more])


def weights(folder: Path) -> dict[str, bytes]:
    runs = folder / "runs"
    return {str(path.relative_to(runs)): path.read_bytes() for path in sorted(runs.rglob("model.safetensors"))}


def values(folder: Path) -> dict[str, list[float]]:
    told = json.loads((folder / "compare.json").read_text())
    return {row["name"]: row["values"] for row in told["heads"]["result"]["rows"]}


def study_of(folder: Path, graph: str = FROZEN) -> Path:
    write_study(folder, graph)
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort with both encoders frozen, and its comparison, each candidate trained alone."""
    folder = study_of(tmp_path_factory.mktemp("study"))
    assert compared(folder, "alone", "--reuse", "nothing") == 0
    assert not (folder / "alone" / "features").exists()
    return folder


def taken(folder: Path) -> list[str]:
    return [way["taken"] for way in json.loads((folder / "compare.json").read_text())["sharing"]]


ONCE = {"features": "once for all epochs: seen, told", "batches": "once for each batch: seen, told"}


@pytest.mark.parametrize("reuse", ["auto", "batches"])
def test_weights_are_those_of_training_alone(study: Path, reuse: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(study, reuse, "--reuse", reuse) == 0
    told = capsys.readouterr().out
    assert "6 networks are trained in lockstep" in told
    # Whether features equal those of a batch to the bit is the processor's: `auto` may take either way, and says which.
    way, = taken(study / reuse)
    assert reuse in ("auto", way)
    assert f"--reuse {reuse}: {way}; " in told and ONCE[way] in told
    assert weights(study / reuse) == weights(study / "alone")
    assert len(weights(study / reuse)) == 6
    assert values(study / reuse) == values(study / "alone")


def test_a_candidate_with_heads_of_its_own_shares_the_frozen_nodes(tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path)
    for reuse in ("nothing", "batches"):
        assert compared(tmp_path, reuse, "--with", "fusion.late_mean", "--reuse", reuse, "--no-baselines", "--epochs",
                        "1") == 0
    told = capsys.readouterr().out
    assert "4 networks are trained in lockstep" in told and ONCE["batches"] in told
    assert weights(tmp_path / "batches") == weights(tmp_path / "nothing")
    assert any(name.startswith("fusion.late_mean") for name in weights(tmp_path / "batches"))


def test_a_training_method_acts_in_each_network_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = "{use: head.classify, with: {classes: [no, yes]}, loss: 0.5, from: "
    graph = GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}", 1).replace(
        "training: {", f"  by_lab: {head}told}}\n  by_scan: {head}seen}}\ntraining: {{method: {{use: training.ogm}}, ")
    targets = "".join(f"  {name}: {{column: result}}\n" for name in ("by_lab", "by_scan"))
    write_study(tmp_path, graph, DATA + targets)
    for output, more in (("nothing", ["--reuse", "nothing"]), ("batches", ["--reuse", "batches"]),
                         ("plain", ["--reuse", "batches", "--method", "none"])):
        assert compared(tmp_path, output, *more, "--no-baselines") == 0
    assert "3 networks are trained in lockstep" in capsys.readouterr().out
    assert weights(tmp_path / "batches") == weights(tmp_path / "nothing") != weights(tmp_path / "plain")


def test_nodes_learn_at_their_rate_and_from_their_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside a frozen node, which alone is computed once."""
    frozen = GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}", 1)
    for name, keys in (("late", "unfreeze: 2, rate: 0.5"), ("early", "rate: 0.5")):
        study_of(tmp_path / name, frozen.replace("hidden: [11]}}", f"hidden: [11]}}, {keys}}}"))
        for output, reuse in (("nothing", "nothing"), ("batches", "batches")):
            assert compared(tmp_path / name, output, "--reuse", reuse, "--no-baselines") == 0
        assert weights(tmp_path / name / "batches") == weights(tmp_path / name / "nothing")
    told = capsys.readouterr().out
    assert "once for each batch: told\n" in told and "seen" not in told.split("once for each batch:")[1].split("\n")[0]
    assert weights(tmp_path / "late" / "batches") != weights(tmp_path / "early" / "batches")


def test_batches_of_one_case_give_the_same_features_on_every_processor(tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path)
    for reuse in ("nothing", "auto"):
        assert compared(tmp_path, reuse, "--reuse", reuse, "--no-baselines", "--epochs", "1", "--batch-size", "1") == 0
    assert ONCE["features"] in capsys.readouterr().out
    assert taken(tmp_path / "auto") == ["features"] and taken(tmp_path / "nothing") == []
    assert weights(tmp_path / "auto") == weights(tmp_path / "nothing")
    assert values(tmp_path / "auto") == values(tmp_path / "nothing")


def test_each_fold_starts_from_the_weights_of_its_own_stage(tmp_path: Path) -> None:
    """Those of no fold, which have seen the cases that are tested, are not taken."""
    own = "freeze: true, weights: 'pre/model.safetensors#told'}"
    study = study_of(tmp_path, FROZEN.replace("freeze: true}", own, 1))
    drawn = to_plain(read(GRAPH))
    begun = {"": 9, "fold-0": 0, "fold-1": 1}
    for name, seed in begun.items():
        (study / "pre" / name).mkdir(parents=True)
        kept = fusionkit.build(drawn, seed=seed).told.state_dict()
        save_file({f"told.{key}": value for key, value in kept.items()}, study / "pre" / name / "model.safetensors")
    assert main(["compare", str(study / "graph.yaml"), str(study / "data.yaml"), "--node", "both", "--with",
                 "fusion.sum", "-o", str(study / "out"), "--folds", "2", "--epochs", "1"]) == 0
    assert len(taken(study / "out")) == 1 and taken(study / "out") != ["nothing"]
    for fold in range(2):
        wanted = read_tensors(study / "pre" / f"fold-{fold}" / "model.safetensors")
        runs = list((study / "out" / "runs").glob(f"fusion.*/repeat-1/fold-{fold}/model.safetensors"))
        assert len(runs) == 3
        for run in runs:
            own = read_tensors(run)
            assert all(torch.equal(own[name], value) for name, value in wanted.items())


def test_features_of_all_folds_are_held_against_those_of_eight_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    cases: dict[str, list[int]] = {"kept": [], "again": []}
    for module, name in ((feature_cache, "kept"), (shared_training, "again")):
        def counting(source: Source, names: Collection[str], places: Sequence[int], found: list[int] = cases[name],
                     call: Callable[..., dict[str, torch.Tensor]] = module.results_of) -> dict[str, torch.Tensor]:
            found.append(len(places))
            return call(source, names, places)
        monkeypatch.setattr(module, "results_of", counting)
    study_of(tmp_path)
    assert compared(tmp_path, "features", "--reuse", "features", "--folds", "3", "--epochs", "1", "--no-baselines") == 0
    # Once for each fold: tables are standardised by the training cases of each.
    assert sum(cases["kept"]) == 3 * len(read_table(tmp_path / "cases.csv"))
    assert cases["again"] == [4, 4], "of the first fold, in training and in evaluation"
    assert "; those of 8 cases were computed again in batches, and " in capsys.readouterr().out


@pytest.mark.parametrize("more", [  # ten networks are trained for each: the quick tier has one
    pytest.param(["--folds", "3", "--patience", "2", "--hold-out", "0.2"], id="folds and early stopping",
                 marks=pytest.mark.slow),
    pytest.param(["--repeats", "2", "--accumulate", "2"], id="repeats and added gradients"),
    pytest.param(["--modality-dropout", "0.4"], id="modality dropout", marks=pytest.mark.slow),
    pytest.param(["--precision", "bf16"], id="half precision", marks=pytest.mark.slow),
    pytest.param(["--set", "uncertainty={use: uncertainty.mc_ensemble, with: {members: 2, samples: 3}}"],
                 id="networks of an ensemble", marks=pytest.mark.slow),
    pytest.param(["--hold-out", "folds", "--steps", "20"], id="networks that hold out folds", marks=pytest.mark.slow),
])
def test_settings_of_training_change_nothing_of_that(study: Path, tmp_path: Path, more: list[str]) -> None:
    study_of(tmp_path)
    for reuse in ("nothing", "auto"):
        assert compared(tmp_path, reuse, "--reuse", reuse, "--no-baselines", *more) == 0
    assert weights(tmp_path / "auto") == weights(tmp_path / "nothing")
    assert values(tmp_path / "auto") == values(tmp_path / "nothing")


def test_features_that_differ_in_their_last_bits_are_not_used_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path)
    monkeypatch.setattr(shared_training._Division, "_apart", lambda *_: 3e-7)
    assert compared(tmp_path, "auto", "--no-baselines") == 0
    told = capsys.readouterr().out
    assert "--reuse auto: batches; on this processor features computed in advance differ in their last bits" in told
    assert "once for each batch" in told
    assert compared(tmp_path, "auto", "--no-baselines") == 0
    assert taken(tmp_path / "auto") == ["batches"], "kept when nothing is left to train"
    assert compared(tmp_path, "features", "--no-baselines", "--reuse", "features") == 0
    told = capsys.readouterr().out
    assert "and differ by 3.0e-07 of the largest" in told
    assert "once for all epochs" in told


def test_what_hangs_on_the_batch_is_never_computed_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path)
    monkeypatch.setattr(shared_training._Division, "_apart", lambda *_: 0.02)
    assert compared(tmp_path, "features", "--no-baselines", "--reuse", "features") == 0
    assert "--reuse features: batches; the outputs of frozen nodes depend on the other cases" in capsys.readouterr().out


def test_an_interrupted_comparison_goes_on(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path)
    prepared: list[tuple[int, int]] = []
    prepare = lockstep.SharedBatches.prepare

    def interrupting(batches: lockstep.SharedBatches, epoch: int, step: int) -> None:
        prepared.append((epoch, step))
        if len(prepared) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        prepare(batches, epoch, step)

    monkeypatch.setattr(lockstep.SharedBatches, "prepare", interrupting)
    assert compared(tmp_path, "found") == 1
    told = capsys.readouterr().err
    assert "stopped by Ctrl-C in epoch 2 of 2, step 1 of 4" in told
    assert "run the same command to continue" in told
    assert compared(tmp_path, "found") == 0
    assert prepared[6:] == [(1, 1), (1, 2), (1, 3)], "nothing is done twice"
    assert weights(tmp_path / "found") == weights(study / "alone")


class Killed(BaseException):
    """Stands for the end of the process."""


def test_runs_that_were_killed_at_different_places_meet(study: Path, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    study_of(tmp_path)
    rounds, seen = lockstep.TrainingRun._save, []

    def killed(training: lockstep.TrainingRun, place: str) -> object:
        seen.append(place)
        if len(seen) == 3:  # two of five have saved the end of their first epoch
            raise Killed
        return rounds(training, place)

    with monkeypatch.context() as patch:
        patch.setattr(lockstep.TrainingRun, "_save", killed)
        with pytest.raises(Killed):
            compared(tmp_path, "found")
    assert compared(tmp_path, "found") == 0
    assert weights(tmp_path / "found") == weights(study / "alone")


def test_a_candidate_may_be_added(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(study, "added", "--no-baselines") == 0
    more = ["compare", str(study / "graph.yaml"), str(study / "data.yaml"), "--node", "both", "--with",
            WITH + ",fusion.max", "--no-baselines", "-o", str(study / "added"), *EVEN]
    features = {path: path.stat().st_mtime_ns for path in (study / "added" / "features").iterdir()}
    capsys.readouterr()
    assert main(more) == 0
    told = capsys.readouterr().out
    assert "1 network is trained; the frozen nodes before" in told
    assert {path: path.stat().st_mtime_ns for path in features} == features, "features are not computed again"
    assert set(values(study / "added")) == {"fusion.concat", "fusion.sum", "fusion.gmu{width: 5}", "fusion.max"}


def test_one_that_fails_stops_no_other(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path)
    gradients = Stepper.gradients

    def spoilt(stepper: Stepper, *given: object) -> Outcome:
        found = gradients(stepper, *given)  # type: ignore[arg-type]
        bad = stepper.network.plan.node("both").uses == "fusion.sum"
        return Outcome(found.sums, float("nan"), False, {}) if bad else found

    monkeypatch.setattr(Stepper, "gradients", spoilt)
    assert compared(tmp_path, "found", "--no-baselines") == 1
    assert "fusion.sum (2 of 3): left out, since it failed: the loss turned NaN" in capsys.readouterr().out
    assert set(values(tmp_path / "found")) == {"fusion.concat", "fusion.gmu{width: 5}"}
    kept = {name: value for name, value in weights(study / "alone").items() if name.startswith("fusion.gmu")}
    assert {name: weights(tmp_path / "found")[name] for name in kept} == kept


def test_settings_that_do_not_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = FROZEN.replace("{use: head.classify, from: both, with: {classes: [no, yes]}}",
                           "{use: head.regress, from: both, with: {values: [a]}}")
    write_study(tmp_path, graph, DATA.replace("{column: result}", "{column: a}").replace(
        "numeric: [a, b, c]", "numeric: [b, c]"))
    (tmp_path / "graph.yaml").write_text(graph.replace("vector: [3]", "vector: [2]"))
    assert compared(tmp_path, "found", "--no-baselines", "--monitor", "accuracy", "--patience", "1") == 2
    assert "no head of this network has an accuracy" in capsys.readouterr().err


def test_without_frozen_nodes_each_is_trained_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_of(tmp_path, GRAPH)
    assert compared(tmp_path, "found", "--no-baselines", "--epochs", "1") == 0
    assert "in lockstep" not in capsys.readouterr().out
