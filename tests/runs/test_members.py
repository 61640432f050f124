"""Runs of several networks: trained, resumed, loaded and used together, by the commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import description, write_files
from small_study import read_table as table
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.errors import RunError
from fusionkit.inference.ensemble import EnsembleRun
from fusionkit.inference.randomness import sampling
from fusionkit.inference.sampler import Sampler
from fusionkit.network.instantiate import seed_of
from fusionkit.runs import train as runs_train
from fusionkit.runs.folder import cohort_of, open_run

GRAPH = """\
fusionkit: 1
name: three
inputs:
  table: {vector: [3]}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 5, dropout: 0.2}}
  kind: {use: head.classify, from: told, with: {classes: [no, yes]}}
  size: {use: head.regress, from: told, with: {values: [length]}}
uncertainty: {use: uncertainty.mc_ensemble, with: {members: 3, samples: 4}}
training: {epochs: 2, hold_out: 0, batch_size: 8, learning_rate: 0.01}
"""
DATA = description({"table": "{read: columns, numeric: [a, b, c]}"}, {"kind": "kind", "size": "size"})
CASES = 40


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_files(tmp_path_factory.mktemp("study"), cases(), GRAPH, DATA)
    (folder / "untested.yaml").write_text(DATA.replace("{column: split}", "{column: untested}"))
    (folder / "folds.yaml").write_text(DATA.replace("{column: split}", "{folds: 2}"))
    return folder


def cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(5)
    for case in range(CASES):
        values = rng.normal(case % 2, 1, 3)
        part = ["train", "train", "validation", "test"][case % 8 // 2]
        yield {"id": f"c{case}", **dict(zip("abc", values.round(3), strict=True)), "kind": ["no", "yes"][case % 2],
               "size": values.sum().round(3), "split": part, "untested": part.replace("test", "train")}


def train(study: Path, run: Path, *arguments: str, data: str = "untested.yaml") -> int:
    """Without test cases, whose plots would take most of the time."""
    return main(["train", str(study / "graph.yaml"), str(study / data), "-o", str(run), *arguments])


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    assert train(study, study / "run", data="data.yaml") == 0
    return study / "run"


@pytest.fixture(scope="module")
def untested(study: Path) -> Path:
    assert train(study, study / "untested") == 0
    return study / "untested"


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_member_is_to_the_bit_a_training_of_its_own(study: Path, untested: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in (untested / "members").iterdir()) == ["1", "2"]
    for member, folder in enumerate((untested, untested / "members" / "1", untested / "members" / "2")):
        alone = tmp_path / str(member)
        assert train(study, alone, "--seed", str(member), "--set", "uncertainty.with.members=1") == 0
        assert weights(folder) == weights(alone), member
        assert not (alone / "members").exists()
    told = json.loads((untested / "run.json").read_text())["members"]
    assert [member["seed"] for member in told] == [0, 1, 2]
    assert all(member["epochs"] == 2 for member in told)


def test_predictions_come_from_all_members(study: Path, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert main(["predict", str(run), str(study / "data.yaml"), "-o", str(file),
                 "--uncertainty", "uncertainty.deep_ensemble"]) == 0
    rows = table(file)
    opened = open_run(run)
    dataset = cohort_of(opened, require_targets=False).dataset(range(CASES), opened.preprocessing)
    inputs = {"table": torch.stack([dataset[row]["inputs"]["table"] for row in range(CASES)])}
    with torch.no_grad():
        each = torch.stack([network.head("kind").decode(network(inputs)["kind"]) for network in opened.networks(3)])
    found = np.array([[float(row["kind:no"]), float(row["kind:yes"])] for row in rows])
    np.testing.assert_allclose(found, each.mean(0).numpy(), atol=2e-6)
    between = np.array([float(row["kind:variance_between"]) for row in rows])
    np.testing.assert_allclose(between, each.var(0, correction=0).mean(1).numpy(), atol=1e-6)
    assert {row["kind:variance_within"] for row in rows} == {"0"}
    assert between.min() > 0


def test_every_measure_of_every_head_is_a_column(run: Path) -> None:
    columns = set(table(run / "predictions.csv")[0])
    for measure in ("variance", "variance_within", "variance_between"):
        assert {f"kind:{measure}", f"size:{measure}"} <= columns
    assert {"kind:mutual_information_within", "kind:mutual_information_between", "kind:normalised_entropy",
            "kind:confidence"} <= columns


def test_evaluate_gives_the_figures_of_the_run(run: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run), "-o", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "predictions.csv").read_text() == (run / "predictions.csv").read_text()


def test_a_run_of_several_goes_on_where_it_was_stopped(
    study: Path, untested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, calls = runs_train.fit, []

    def stopping(model: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(arguments[3])
        if len(calls) == 2:
            options["progress"] = stop
        return fit(model, *arguments, **options)

    def stop(epoch: int, step: int, steps: int, loss: float) -> None:
        if epoch == 2:
            raise RunError("stopped")

    monkeypatch.setattr(runs_train, "fit", stopping)
    folder = tmp_path / "run"
    assert train(study, folder) == 1
    assert calls == [folder, folder / "members" / "1"]
    assert not (folder / "run.json").exists()
    monkeypatch.setattr(runs_train, "fit", fit)
    assert train(study, folder, "--resume") == 0
    for name in (".", "members/1", "members/2"):
        assert weights(untested / name) == weights(folder / name), name


def test_a_finished_run_is_given_more_networks(
    study: Path, untested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    one = ["--set", "uncertainty.with.members=1"]
    assert train(study, folder, *one) == 0
    assert train(study, folder, "--resume", "--set", "nodes.told.with.width=7") == 2
    assert train(study, folder, "--resume", "--learning-rate", "0.5") == 2
    told = capsys.readouterr().err
    assert "its graph" in told and "nodes.told" in told
    assert "'learning_rate' was 0.01 and is 0.5" in told
    assert "members: 1" in (folder / "graph.yaml").read_text(), "a run that was refused is as it was"
    assert train(study, folder, "--resume") == 0
    for name in (".", "members/1", "members/2"):
        assert weights(folder / name) == weights(untested / name)


def test_folds_have_members_each(study: Path, tmp_path: Path) -> None:
    assert train(study, tmp_path / "run", "--set", "uncertainty.with.members=2", "--epochs", "1",
                 data="folds.yaml") == 0
    for fold in range(2):
        assert (tmp_path / "run" / f"fold-{fold}" / "members" / "1" / "model.safetensors").is_file()
    assert len(table(tmp_path / "run" / "predictions.csv")) == CASES


def test_an_ensemble_of_a_run_with_one_network_is_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert train(study, folder, "--set", "uncertainty.use=uncertainty.none", "--set", "uncertainty.with={}") == 0
    assert main(["predict", str(folder), str(study / "data.yaml"), "--uncertainty", "uncertainty.deep_ensemble"]) == 2
    told = capsys.readouterr().err
    assert "needs several networks, and the run in" in told
    assert "--set uncertainty.with.members=5" in told


def test_a_network_that_is_gone_is_told(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert train(study, folder, "--set", "uncertainty.with.members=2", "--epochs", "1") == 0
    (folder / "members" / "1" / "model.safetensors").unlink()
    predict = ["predict", str(folder), str(study / "data.yaml")]
    assert main(predict) == 2
    assert "[unreadable-weights]" in capsys.readouterr().err
    assert main([*predict, "--uncertainty", "uncertainty.mc_dropout"]) == 0


def test_no_memory_is_one_after_the_other(study: Path, run: Path, tmp_path: Path) -> None:
    arguments = ["predict", str(run), str(study / "data.yaml"), "-o"]
    for name, flags in {"looped": ["--looped"], "again": ["--looped"], "zero": ["--memory", "0"], "wide": []}.items():
        assert main([*arguments, str(tmp_path / name), *flags]) == 0
    looped = (tmp_path / "looped").read_text()
    assert looped == (tmp_path / "again").read_text() == (tmp_path / "zero").read_text()
    assert looped != (tmp_path / "wide").read_text(), "side by side other numbers are drawn"
    assert main([*arguments, str(tmp_path / "less"), "--memory", "-1"]) == 2


def test_samples_of_a_member_are_whole_passes_of_its_network(run: Path) -> None:
    networks = open_run(run).networks(3)
    samplers = [Sampler(network) for network in networks]
    inputs = {"table": torch.randn(7, 3, generator=torch.Generator().manual_seed(1))}
    with torch.no_grad():
        both = EnsembleRun(samplers, inputs, seed=11, batch=2)
        found = [[result["kind"] for result in both.samples(3, member)] for member in (0, 2)]
        again = [result["kind"] for result in both.samples(3, 2)]
        for member, passes in zip((0, 2), found, strict=True):
            torch.manual_seed(seed_of(11, f"batch 2, member {member}, call 0"))
            network = networks[member]
            with sampling(network, samplers[member].parts):
                wanted = [network.head("kind").decode(network(inputs)["kind"]) for _ in range(3)]
            assert all(torch.equal(one, other) for one, other in zip(passes, wanted, strict=True))
        other = EnsembleRun(samplers, inputs, seed=11, batch=2)
        assert all(torch.equal(one, two["kind"]) for one, two in zip(found[1], other.samples(3, 2), strict=True))
        assert not torch.equal(found[1][0], again[0]), "a second call draws anew"
        assert torch.equal(both.once(1)["kind"], networks[1].head("kind").decode(networks[1](inputs)["kind"]))


def test_a_calibration_stays_until_the_networks_change(study: Path, untested: Path) -> None:
    file = untested / "calibration.json"
    assert set(json.loads(file.read_text())["heads"]) == {"kind", "size"}
    assert main(["calibrate", str(untested), "--alpha", "0.3"]) == 0
    assert train(study, untested, "--resume") == 0
    assert json.loads(file.read_text())["choices"]["alpha"] == 0.3
    first = table_of(study, untested)
    assert {"size:length:low", "size:length:high", "kind:yes:calibrated", "kind:set"} <= set(first)
    assert float(first["size:length:low"]) < float(first["size:length"]) < float(first["size:length:high"])


def table_of(study: Path, run: Path) -> dict[str, str]:
    """The first row of the run's predictions."""
    assert main(["predict", str(run), str(study / "data.yaml"), "-o", str(run / "out.csv")]) == 0
    return table(run / "out.csv")[0]
