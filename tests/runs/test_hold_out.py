"""`hold_out: folds`: five networks that each hold out another fifth of the training cases; their mean predicts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import description, read_table, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.data.description import describe
from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
from fusionkit.errors import DataError, GraphError
from fusionkit.inference.predict import Settings, predict
from fusionkit.runs.folder import cohort_of, open_run
from fusionkit.runs.results import reports

GRAPH: dict[str, Any] = {
    "fusionkit": 1, "name": "small", "inputs": {"table": {"vector": [3]}},
    "nodes": {"code": {"use": "encoder.mlp", "from": "table", "with": {"width": 5, "hidden": [7]}},
              "kind": {"use": "head.classify", "from": "code", "with": {"classes": ["no", "yes"]}}},
    "training": {"batch_size": 8, "learning_rate": 0.01, "threads": 1}}
DATA = description({"table": "{read: columns, numeric: [a, b, c]}"}, {"kind": "kind"}, patient="patient")
CASES, TESTED = 53, 11


def write_study(folder: Path, validation: bool = False) -> Path:
    """Patients of one or two cases; the last are tested."""
    data = DATA if not validation else DATA.replace("patient: patient\n", "")
    return write_files(folder, _cases(validation), GRAPH, data) / "data.yaml"


def _cases(validation: bool) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(3)
    for case in range(CASES):
        part = "test" if case >= CASES - TESTED else "validation" if validation and case < 9 else "train"
        kind = case // 3 % 2
        yield {"id": f"c{case}", "patient": f"p{case // 3}",
               **{name: f"{value:.3f}" for name, value in zip("abc", rng.normal(kind, 1, 3), strict=True)},
               "kind": ["no", "yes"][kind], "split": part}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held-out")
    fusionkit.train(GRAPH, write_study(folder), output=folder / "run", quiet=True, hold_out="folds", epochs=4)
    return folder / "run"


def about(run: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((run / "run.json").read_text())
    return made


def test_each_training_case_is_held_out_once_and_patients_stay_whole(run: Path) -> None:
    held = [member["held_out"] for member in about(run)["members"]]
    assert len(held) == 5 and all(6 <= len(ids) <= 11 for ids in held)
    assert sorted(name for ids in held for name in ids) == sorted(about(run)["train"])
    patients = [{int(name[1:]) // 3 for name in ids} for ids in held]
    assert sum(map(len, patients)) == len(set().union(*patients))
    assert [member["seed"] for member in about(run)["members"]] == [0, 1, 2, 3, 4]


def test_the_mean_of_the_five_predicts(run: Path) -> None:
    opened = open_run(run)
    cohort = cohort_of(opened, require_targets=True)
    rows = cohort.split_rows("test")
    dataset = cohort.dataset(rows, opened.preprocessing)
    alone = [predict(network, dataset, None, Settings(8, "cpu"))["kind"].values for network in opened.networks(1)]
    assert len(alone) == 5 and not np.allclose(alone[0], alone[1])
    found = fusionkit.predict(run, run.parent / "data.yaml", quiet=True).results["kind"].values[list(rows)]
    assert found == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    shown = [float(row["kind:yes"]) for row in read_table(run / "predictions.csv")]
    assert shown == pytest.approx(found[:, 1], abs=1e-5)


def test_input_subsets_are_predicted_by_the_mean_of_the_five(run: Path, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusionkit.interface.evaluate.write_selections", lambda *_: None)
    scored: list[np.ndarray] = []
    monkeypatch.setattr("fusionkit.runs.input_subsets.reports", lambda results, patients, metrics: (
        scored.append(results["kind"].values[:, 1]), reports(results, patients, metrics))[1])
    fusionkit.evaluate(run, missing=True, output=tmp_path, quiet=True)
    shown = [float(row["kind:yes"]) for row in read_table(tmp_path / "predictions.csv")]
    assert scored[0] == pytest.approx(shown, abs=2e-6)


def test_the_calibration_is_of_cases_that_the_network_did_not_see(run: Path) -> None:
    kept = json.loads((run / "calibration.json").read_text())
    assert kept["fitted_on"] == "cases held out of training"
    assert kept["heads"]["kind"]["cases"] == CASES - TESTED
    before = (run / "calibration.json").read_bytes()
    fusionkit.calibrate(run, quiet=True)
    assert (run / "calibration.json").read_bytes() == before, "the command fits the same again"


def test_with_named_validation_cases_one_network_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                            ) -> None:
    made = fusionkit.train(GRAPH, write_study(tmp_path, validation=True), output=tmp_path / "run", hold_out="folds",
                           epochs=2)
    assert "'hold_out: folds' is not used: the data file names validation cases" in capsys.readouterr().err
    assert len(about(made.folder)["members"]) == 1 and "held_out" not in about(made.folder)["members"][0]


def test_an_ensemble_has_one_network_for_each_fold(tmp_path: Path) -> None:
    graph = {**GRAPH, "uncertainty": {"use": "uncertainty.deep_ensemble", "with": {"members": 3}}}
    made = fusionkit.train(graph, write_study(tmp_path), output=tmp_path / "run", quiet=True, hold_out="folds",
                           epochs=2)
    assert [len(member["held_out"]) > 5 for member in about(made.folder)["members"]] == [True] * 3
    found = fusionkit.predict(made, tmp_path / "data.yaml", quiet=True).results["kind"]
    assert found.measures["variance_between"].max() > 0


def kill(data: Path, folder: Path) -> None:
    """Train two of five networks."""
    with pytest.MonkeyPatch.context() as patch:
        from fusionkit.runs import train as training

        fit, calls = training.fit, []

        def stop(*args: Any, **how: Any) -> Any:
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return fit(*args, **how)

        patch.setattr(training, "fit", stop)
        with pytest.raises(KeyboardInterrupt):
            fusionkit.train(GRAPH, data, output=folder, quiet=True, hold_out="folds", epochs=4)


def test_a_killed_run_goes_on_with_the_same_folds(run: Path, tmp_path: Path) -> None:
    data = write_study(tmp_path)
    kill(data, tmp_path / "run")
    fusionkit.train(GRAPH, data, output=tmp_path / "run", quiet=True, hold_out="folds", epochs=4, resume=True)
    assert (tmp_path / "run" / "predictions.csv").read_text() == (run / "predictions.csv").read_text()


def test_folds_of_a_killed_run_are_read_and_never_drawn_again(run: Path, tmp_path: Path) -> None:
    data = write_study(tmp_path)
    kill(data, tmp_path / "run")
    cases = tmp_path / "run" / "cases.json"
    record = json.loads(cases.read_text())
    drawn = [member["held_out"] for member in about(run)["members"]]
    assert record["held_out"] == drawn
    record["held_out"] = [*drawn[:3], drawn[4], drawn[3]]
    cases.write_text(json.dumps(record))
    for epochs in (4, 6):
        fusionkit.train(GRAPH, data, output=tmp_path / "run", quiet=True, hold_out="folds", epochs=epochs, resume=True)
        made = about(tmp_path / "run")
        assert [member["held_out"] for member in made["members"]] == record["held_out"]
        assert made["epochs"] == epochs


def test_it_is_the_default_below_500_cases(run: Path, tmp_path: Path) -> None:
    made = fusionkit.train(GRAPH, write_study(tmp_path), output=tmp_path / "run", quiet=True, epochs=4)
    assert (made.folder / "predictions.csv").read_text() == (run / "predictions.csv").read_text()


def test_too_few_patients_hold_nothing_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    rows = [{**row, "patient": f"p{place % 4}", "split": "train"} for place, row in enumerate(_cases(False))]
    data = write_files(tmp_path, rows, GRAPH, DATA) / "data.yaml"
    made = fusionkit.train(GRAPH, data, output=tmp_path / "run", quiet=True, epochs=1)
    assert len(about(made.folder)["members"]) == 1 and about(made.folder)["validation"] == []
    with pytest.raises(DataError, match="5 networks cannot each hold out different cases: there are 4"):
        fusionkit.train(GRAPH, data, output=tmp_path / "other", quiet=True, epochs=1, hold_out="folds")


def test_one_of_the_networks_is_loaded_by_number_and_not_unawares(run: Path) -> None:
    with pytest.warns(UserWarning, match="mean of its 5 networks"):
        first = fusionkit.load(run)
    every = [network.state_dict() for network in open_run(run).networks(1)]
    for number, weights in enumerate(every):
        found = fusionkit.load(run, network=number).state_dict()
        assert all(found[name].equal(value) for name, value in weights.items())
    assert all(first.state_dict()[name].equal(value) for name, value in every[0].items())
    assert not all(every[1][name].equal(value) for name, value in every[0].items())
    with pytest.raises(GraphError, match="has no network 5"):
        fusionkit.load(run, network=5)


def test_steps_add_epochs(tmp_path: Path) -> None:
    """42 training cases in batches of 8 are 6 steps an epoch; 20 steps are 4 epochs."""
    made = fusionkit.train(GRAPH, write_study(tmp_path), output=tmp_path / "run", quiet=True, epochs=2, steps=20,
                           hold_out=0)
    assert about(made.folder)["epochs"] == 4
    assert len((made.folder / "history.csv").read_text().splitlines()) == 5


def test_a_share_is_held_out_without_patience_too(tmp_path: Path) -> None:
    made = fusionkit.train(GRAPH, write_study(tmp_path), output=tmp_path / "run", quiet=True, epochs=2, hold_out=0.25)
    assert 7 <= len(about(made.folder)["validation"]) <= 13


def test_too_few_cases_to_divide_are_refused(tmp_path: Path) -> None:
    write_study(tmp_path)
    cohort = load_cohort(describe(tmp_path / "data.yaml"), {"kind": HeadTarget("multiclass", ("no", "yes"), size=2)},
                         {"table": InputNeed((3,))})
    with pytest.raises(DataError, match="5 networks cannot each hold out different cases"):
        cohort.held_out_folds(range(12), 5)


def test_the_only_patient_of_a_class_is_never_held_out(tmp_path: Path) -> None:
    write_study(tmp_path)
    cohort = load_cohort(describe(tmp_path / "data.yaml"), {"kind": HeadTarget("multiclass", ("no", "yes"), size=2)},
                         {"table": InputNeed((3,))})
    rows = [row for row in range(CASES) if row // 3 % 2 == 0 or row // 3 == 5]
    folds = dict(zip(rows, cohort.held_out_folds(rows, 5), strict=True))
    assert [folds[row] for row in (15, 16, 17)] == [-1, -1, -1]
    assert {fold for row, fold in folds.items() if row // 3 != 5} == {0, 1, 2, 3, 4}
