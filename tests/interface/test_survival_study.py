"""A study of survival from table to report: a cohort whose truth is known, and one like those of breast cancer."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fusionkit_plugins.blocks.survival import concordance
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.errors import UserError
from fusionkit.inference.predict import predict
from fusionkit.interface.compare import compare
from fusionkit.runs.folder import cohort_of, open_run

CASES, TESTED = 400, 120
SETTINGS: dict[str, Any] = {"epochs": 25, "batch_size": 32, "learning_rate": 0.01, "threads": 1, "quiet": True}


def graph(columns: dict[str, int], **more: Any) -> dict[str, Any]:
    nodes: dict[str, Any] = {f"{name}_part": {"use": "encoder.mlp", "from": name, "with": {"width": 12}}
                             for name in columns}
    nodes["fused"] = {"use": "fusion.concat", "from": list(nodes)}
    nodes["death"] = {"use": "head.cox", "from": "fused", "with": {"horizons": [6, 12, 24], "hidden": [12]}}
    return {"fusionkit": 1, "name": "study", "inputs": {name: {"vector": [width]} for name, width in columns.items()},
            "nodes": nodes, "training": {"accumulate": 4, "hold_out": 0.0, "monitor": "harrell", **more}}


def write(folder: Path, columns: dict[str, np.ndarray], log_hazard: np.ndarray, seed: int,
          split: str = "{column: part}") -> Path:
    """Weibull times with this log hazard, in months with one digit, censored between 10 and 80."""
    rng = np.random.default_rng(seed)
    times = 30 * (-np.log(rng.random(CASES)) / np.exp(log_hazard)) ** (1 / 1.3)
    ends = rng.uniform(10, 80, CASES)
    months = np.maximum(np.minimum(times, ends).round(1), 0.1)
    parts = ["test"] * TESTED + ["validation"] * 60 + ["train"] * (CASES - TESTED - 60)
    rows = [["id", "part", "months", "died", *columns]]
    rows += [[f"p{row}", parts[row], f"{months[row]:g}", "dead" if times[row] <= ends[row] else "alive",
              *(f"{values[row]:.5g}" for values in columns.values())] for row in range(CASES)]
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    half = len(columns) // 2
    first, second = list(columns)[:half], list(columns)[half:]
    (folder / "data.yaml").write_text(f"""\
fusionkit-data: 1
cases: cases.csv
id: id
split: {split}
inputs:
  labs: {{read: columns, numeric: [{', '.join(first)}]}}
  clinic: {{read: columns, numeric: [{', '.join(second)}]}}
targets:
  death: {{time: months, event: died, unit: months, values: {{alive: 0, dead: 1}}}}
""")
    return folder / "data.yaml"


def known(folder: Path, **more: Any) -> tuple[Path, np.ndarray]:
    rng = np.random.default_rng(1)
    columns = {name: rng.normal(size=CASES) for name in ("a", "b", "c", "d")}
    log_hazard = columns["a"] - 0.8 * columns["b"] + 0.6 * (columns["c"] ** 2 - 1)
    return write(folder, columns, log_hazard, 2, **more), log_hazard


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A run on the cohort whose log hazards are known, and these."""
    folder = tmp_path_factory.mktemp("known")
    data, log_hazard = known(folder)
    fusionkit.train(graph({"labs": 2, "clinic": 2}), data, output=folder / "run", **SETTINGS)
    return folder, log_hazard


def test_the_network_ranks_nearly_as_well_as_the_truth(study: tuple[Path, np.ndarray]) -> None:
    folder, log_hazard = study
    metrics = json.loads((folder / "run" / "metrics.json").read_text())["heads"]["death"]["metrics"]
    rows = list(table(folder / "run" / "predictions.csv").values())
    time, event = (np.array([float(row[f"death:{key}"]) for row in rows]) for key in ("time", "event"))
    once = np.ones((TESTED, 1))
    best = concordance(log_hazard[:TESTED], time, event == 1, once, once)[0]
    assert 0.75 < best < 0.9 and metrics["harrell"]["value"] > best - 0.04
    assert metrics["harrell"]["low"] < metrics["harrell"]["value"] < metrics["harrell"]["high"]
    assert metrics["uno"]["note"].startswith("until 24") and metrics["survival_brier"]["value"] < 0.18
    about = json.loads((folder / "run" / "run.json").read_text())
    assert about["settled"] == ["death"]


def test_the_table_of_predictions_agrees_with_itself(study: tuple[Path, np.ndarray]) -> None:
    rows = table(study[0] / "run" / "predictions.csv")
    columns = [f"death:{name}" for name in ("survival@6", "survival@12", "survival@24", "risk", "median", "rmst@24",
                                            "group", "lower", "time", "event")]
    assert list(rows["p0"]) == ["id", *columns]
    survival = np.array([[float(row[name]) for name in columns[:3]] for row in rows.values()])
    assert (np.diff(survival, axis=1) <= 0).all()
    risk = np.array([float(row["death:risk"]) for row in rows.values()])
    # H(24) exp(risk) = -log S(24) with one baseline for all cases.
    np.testing.assert_allclose(np.ptp(np.log(-np.log(survival[:, 2])) - risk), 0, atol=2e-3)
    for row, own in zip(rows.values(), survival, strict=True):
        assert 0 < float(row["death:rmst@24"]) <= 24
        assert row["death:median"] == "" or (float(row["death:median"]) <= 24) == (own[2] <= 0.5)


def test_a_run_keeps_where_its_training_cases_are_cut(study: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    run = study[0] / "run"
    kept = json.loads((run / "groups.json").read_text())["heads"]["death"]
    assert kept["fitted_on"] == "training cases" and kept["cases"] == CASES - TESTED - 60 and kept["patients"] is None
    assert 0 < kept["events"] < kept["cases"] and len(kept["predictions"]) == 16
    for row in table(run / "predictions.csv").values():
        over = 1 - float(row["death:survival@24"]) - kept["cut_points"]["2"][0]
        assert row["death:group"] == ("high" if over > 0 else "low") or abs(over) < 1e-5
    curves = np.load(run / "survival.npz")
    assert curves["survival"].dtype == np.float32 and curves["survival"].shape == (TESTED, len(curves["times"]))
    at = np.searchsorted(curves["times"], 12, side="right") - 1
    own = [float(row["death:survival@12"]) for row in table(run / "predictions.csv").values()]
    np.testing.assert_allclose(curves["survival"][:, at], own, atol=2e-6)
    assert list(curves["id"]) == list(table(run / "predictions.csv"))
    shutil.copytree(run, tmp_path / "edited")
    (tmp_path / "edited" / "groups.json").write_text('{"heads": {"death": {"cut_points": {}}}}')
    with pytest.raises(UserError, match="cannot be read"):
        fusionkit.evaluate(tmp_path / "edited", quiet=True)


def test_new_cases_need_no_targets_and_get_the_same_numbers(study: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    folder, _ = study
    (tmp_path / "data.yaml").write_text((folder / "data.yaml").read_text())
    lines = (folder / "cases.csv").read_text().splitlines()[: 1 + TESTED]
    cells = [line.split(",") for line in lines]
    (tmp_path / "cases.csv").write_text("\n".join(",".join([*row[:1], *row[4:]]) for row in cells) + "\n")
    found = fusionkit.predict(folder / "run", tmp_path / "data.yaml", quiet=True)
    before = table(folder / "run" / "predictions.csv")
    for row in found.rows():
        assert "death:time" not in row
        assert row["death:survival@12"] == float(before[row["id"]]["death:survival@12"])
        assert row["death:risk"] == float(before[row["id"]]["death:risk"])


def test_survival_is_evaluated_and_its_lower_bound_is_calibrated(study: tuple[Path, np.ndarray], tmp_path: Path
                                                                ) -> None:
    run = Path(shutil.copytree(study[0] / "run", tmp_path / "run"))
    made = fusionkit.evaluate(run, quiet=True)
    found = {row["metric"]: row for row in made.rows()}
    assert set(found) >= {"uno", "harrell", "survival_auc", "survival_brier", "ibs", "survival_slope", "log_rank"}
    coverage = made.reports[0].trust.figures["sets", "coverage"]
    assert coverage.low < 0.9 < coverage.high
    lower = np.array([float(row["death:lower"]) for row in table(run / "predictions.csv").values()])
    assert ((lower >= 0) & (lower <= 24)).all() and len(np.unique(lower)) > 60
    kept = fusionkit.calibrate(run, alpha=0.3, quiet=True).calibration.heads["death"]
    assert kept.bound == "lower" and kept.cases == 60 and "censoring is independent" in kept.notes[0]
    fusionkit.evaluate(run, quiet=True)
    assert np.mean([float(row["death:lower"]) for row in table(run / "predictions.csv").values()]) > lower.mean()


def test_the_times_until_which_cases_could_be_followed(study: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    run, rows = Path(shutil.copytree(study[0] / "run", tmp_path / "run")), list(table(study[0] / "cases.csv").values())
    for row in rows:
        row["end"] = row["months"] if row["died"] == "alive" else f"{float(row['months']) + 7:g}"
        row["lost"] = "80"
        row["short"] = "0.05"
        row["id"] = f"n{row['id']}"
    with (tmp_path / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "data.yaml").write_text((study[0] / "data.yaml").read_text())
    data = str(tmp_path / "data.yaml")
    for column, why in (("ends", "has no column 'ends'"), ("months", "is the time of every event itself"),
                        ("lost", "were censored before that time"), ("short", "were followed longer")):
        with pytest.raises(UserError, match=why) as error:
            fusionkit.calibrate(run, data, follow_up=column, quiet=True)
        assert error.value.diagnostics[0].code == "follow-up"
    head = fusionkit.calibrate(run, data, follow_up="end", quiet=True).calibration.heads["death"]
    assert head.counts == ((sum(float(row["end"]) >= 24 for row in rows),),)
    assert "that could be followed until 24" in head.notes[0]


def test_a_run_whose_baseline_is_lost_is_refused(study: tuple[Path, np.ndarray]) -> None:
    run = open_run(study[0] / "run")
    head: Any = run.model.head("death")
    head.baseline_times.fill_(float("inf"))
    cohort = cohort_of(run, require_targets=True)
    with pytest.raises(UserError, match="the baseline of 'death' has not been fitted"):
        predict(run.model, cohort.dataset(cohort.rows[:4], run.preprocessing))


def test_networks_are_compared_by_unos_c(study: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    found = compare(graph({"labs": 2, "clinic": 2}), study[0] / "data.yaml", node="fused",
                    candidates="fusion.sum", output=tmp_path / "compare", **{**SETTINGS, "epochs": 4})
    ranking, = found.result.rankings
    assert ranking.metric == "uno" and {row.name for row in ranking.rows} >= {"fusion.concat", "fusion.sum"}
    assert all(row.metric.low is not None for row in ranking.rows)
    assert any("there is none for the task 'survival'" in why for _, why in found.result.left_out)


def test_networks_of_folds_average_probabilities(tmp_path: Path) -> None:
    data, _ = known(tmp_path, split="{folds: 2, stratify: death, seed: 1}")
    fusionkit.train(graph({"labs": 2, "clinic": 2}), data, output=tmp_path / "run", **{**SETTINGS, "epochs": 5})
    own = table(tmp_path / "run" / "predictions.csv")
    assert all(float(row["death:risk"]) == pytest.approx(1 - float(row["death:survival@24"]), abs=1e-5)
               for row in own.values())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["heads"]["death"]["metrics"]
    means = [json.loads((tmp_path / "run" / f"fold-{fold}" / "metrics.json").read_text())["heads"]["death"]["metrics"][
        "harrell"]["value"] for fold in range(2)]
    told = float(metrics["harrell"]["note"].removeprefix("mean of the folds "))
    assert told == pytest.approx(np.mean(means), abs=6e-4)
    both = {row["id"]: row for row in fusionkit.predict(tmp_path / "run", data, quiet=True).rows()}
    folds = [{row["id"]: row for row in fusionkit.predict(tmp_path / "run" / f"fold-{fold}", data, quiet=True).rows()}
             for fold in range(2)]
    for name in list(own)[:20]:
        mean = np.mean([float(fold[name]["death:survival@12"]) for fold in folds])
        assert float(both[name]["death:survival@12"]) == pytest.approx(mean, abs=2e-6)


def test_a_cohort_like_those_of_breast_cancer(tmp_path: Path) -> None:
    """Size, nodes, grade and receptors, of which nodes count by their logarithm and receptors change the effect."""
    rng = np.random.default_rng(5)
    columns = {"size": rng.gamma(4, 6, CASES), "nodes": rng.poisson(rng.gamma(0.7, 4, CASES)).astype(float),
               "grade": rng.integers(1, 4, CASES).astype(float), "receptor": (rng.random(CASES) < 0.7).astype(float)}
    log_hazard = (0.03 * (columns["size"] - 24) + 0.6 * np.log1p(columns["nodes"]) - 0.6
                  + (0.5 - 0.3 * columns["receptor"]) * (columns["grade"] - 2) - 0.7 * columns["receptor"])
    data = write(tmp_path, columns, log_hazard, 6)
    fusionkit.train(graph({"labs": 2, "clinic": 2}, monitor="loss"), data, output=tmp_path / "run", **SETTINGS)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["heads"]["death"]["metrics"]
    assert metrics["uno"]["value"] > 0.6 and metrics["uno"]["low"] > 0.5


def test_without_an_event_in_validation_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    data, _ = known(tmp_path)
    lines = (tmp_path / "cases.csv").read_text().splitlines()
    censored = [line.replace("dead", "alive") if ",validation," in line else line for line in lines]
    (tmp_path / "cases.csv").write_text("\n".join(censored) + "\n")
    fusionkit.train(graph({"labs": 2, "clinic": 2}), data, output=tmp_path / "run", **{**SETTINGS, "epochs": 3})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["best_epoch"] == 3


def test_hospitals_as_strata_and_competing_causes(tmp_path: Path) -> None:
    """Two heads of one network: a baseline for each hospital, and the incidence of two causes."""
    data, _ = known(tmp_path)
    lines = [line.split(",") for line in (tmp_path / "cases.csv").read_text().splitlines()]
    lines = [[*lines[0], "cause", "site"], *([*row, str(number % 3), "ABC"[number % 3]]
                                             for number, row in enumerate(lines[1:]))]
    (tmp_path / "cases.csv").write_text("\n".join(map(",".join, lines)) + "\n")
    data.write_text(data.read_text().replace("targets:", "  site: {read: columns, categorical: [site], encode: onehot}"
                                             "\ntargets:\n  first: {time: months, event: cause, causes: [a, b]}"))
    network = graph({"labs": 2, "clinic": 2})
    network["inputs"]["site"] = {"vector": [3]}
    network["nodes"]["death"] |= {"use": "head.cox_strata", "from": ["fused", "site"]}
    network["nodes"]["first"] = {"use": "head.cause_cox", "from": "fused", "with": {
        "causes": ["a", "b"], "horizons": [6, 24]}}
    network["training"]["monitor"] = "loss"
    fusionkit.train(network, data, output=tmp_path / "run", **{**SETTINGS, "epochs": 3})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settled"] == ["death", "first"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["heads"]["first"]["metrics"]
    assert 0 < metrics["cause_brier"]["value"] < 0.4 and 0 < metrics["cause_c"]["value"] < 1
    rows = table(tmp_path / "run" / "predictions.csv")
    shares = np.array([[float(row[f"first:incidence:{name}"]) for name in ("a@24", "b@24")] for row in rows.values()])
    assert (shares > 0).all() and (shares.sum(1) <= 1).all()
    assert {row["first:event"] for row in rows.values()} == {"0", "a", "b"}
    survival = np.array([float(row["death:survival@24"]) for row in rows.values()])
    risk = np.array([float(row["death:risk"]) for row in rows.values()])
    np.testing.assert_allclose(risk, 1 - survival, atol=2e-6)
