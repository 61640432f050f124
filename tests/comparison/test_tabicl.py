"""TabICL as a row of a comparison: what it learns from, what is recorded and refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_study import without_plots as without_plots
from small_study import write_study
from tabicl import TabICLClassifier
from tabicl._model.tabicl import TabICL
from test_scoring import CASES, head, tabled, units

from fusionkit.cli.parser import main
from fusionkit.comparison import baselines, tabicl
from fusionkit.comparison.baselines import width_of
from fusionkit.comparison.tabicl import check_memory, fit_tabicl, heads_of, read_weights
from fusionkit.errors import UserError
from fusionkit.registry.tasks import task_named

SIZES = {"embed_dim": 16, "col_num_blocks": 1, "col_nhead": 2, "col_num_inds": 3, "row_num_blocks": 1, "row_nhead": 2,
         "row_num_cls": 2, "icl_num_blocks": 1, "icl_nhead": 2, "zero_init": False}
SETTINGS: Any = SimpleNamespace(seed=3, device="cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights") / "small.ckpt", 3)


def checkpoint(path: Path, classes: int) -> Path:
    """Random weights of a small network, in the form of the published ones."""
    torch.manual_seed(1)
    config = {**SIZES, "max_classes": classes}
    torch.save({"config": config, "state_dict": TabICL(**config).state_dict()}, path)
    return path


def test_a_fold_is_predicted_from_its_training_cases_by_the_package(weights: Path) -> None:
    truth = np.random.default_rng(1).integers(0, 2, CASES)
    cohort, every = tabled(truth, truth), units(3)
    found, left = fit_tabicl(read_weights(weights), [cohort], every, [head()], SETTINGS)
    assert not left and list(found) == ["TabICL"]
    told = found["TabICL"][0].heads["result"]
    unit = every[1]
    table = baselines.table_of(cohort, unit.train)
    assert width_of(cohort, unit.train) == table.shape[1] == 4
    model = TabICLClassifier(n_estimators=8, random_state=3, model_path=weights, allow_auto_download=False,
                             device="cpu")
    model.fit(table[list(unit.train)], truth[list(unit.train)])
    place = {row: number for number, row in enumerate(told.rows.tolist())}
    wanted = model.predict_proba(table[list(unit.test)])
    np.testing.assert_allclose(told.values[[place[row] for row in unit.test]], wanted, atol=1e-5)
    assert wanted[:, 1].std() > 1e-4


def test_heads_that_the_weights_cannot_predict_are_named(weights: Path, tmp_path: Path) -> None:
    size = SimpleNamespace(name="size", task="regression", declared_task=task_named("regression"), names=("cm",))
    kept, left = heads_of(read_weights(weights), [head(), head(names=("a", "b", "c", "d")), size])
    assert [each.names for each in kept] == [("no", "yes")]
    assert [why for _, why in left] == ["'result' has 4 classes, and the weights know 3",
                                        "the weights predict classes, and 'size' is a head of regression"]
    numbers = read_weights(checkpoint(tmp_path / "numbers.ckpt", 0))
    kept, left = heads_of(numbers, [head(), size])
    assert kept == [size] and left == [("TabICL", "the weights predict numbers, and 'result' is a head of multiclass")]


def test_a_table_that_is_too_large_is_refused_with_the_memory_that_it_needs(weights: Path) -> None:
    truth = np.arange(CASES) % 2
    check_memory(tabled(truth, truth), units(3), 4096)
    with pytest.raises(UserError, match=r"about 11 MB, and --memory is 10[\s\S]*reads 90 cases of 4 columns[\s\S]*"
                                        r"--memory 11 if this machine has it"):
        check_memory(tabled(truth, truth), units(3), 10)


def test_it_is_a_row_of_the_comparison_and_its_file_is_recorded(weights: Path, tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    command = ["compare", graph, data, "--node", "both", "--with", "fusion.sum", "--epochs", "1", "--no-baselines",
               "--device", "cpu", "--tabicl", str(weights), "-o", str(tmp_path / "found")]
    assert main(command) == 0
    told = json.loads((tmp_path / "found" / "compare.json").read_text())
    assert told["tabicl"] == {"file": str(weights), "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    row = next(row for row in told["heads"]["result"]["rows"] if row["name"] == "TabICL")
    assert row["kind"] == "pretrained" and row["cases"] == 22 and 0 <= row["value"] <= 1 and row["difference"]
    assert "a pretrained model on the tables" in (tmp_path / "found" / "report.html").read_text()


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"no weights", "is not a checkpoint of TabICL")])
def test_what_is_no_checkpoint_is_refused_before_training(
        content: bytes | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, data = write_study(tmp_path)
    if content is not None:
        (tmp_path / "w.ckpt").write_bytes(content)
    assert main(["compare", graph, data, "--node", "both", "--with", "fusion.sum", "--tabicl", str(tmp_path / "w.ckpt"),
                 "-o", str(tmp_path / "found")]) == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "found").exists()


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"config": {}, "state_dict": {}, "more": Path("x")}, tmp_path / "w.ckpt")
    with pytest.raises(UserError, match="is not a checkpoint of TabICL"):
        read_weights(tmp_path / "w.ckpt")


def test_without_the_package_the_extra_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabicl, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r'pip install "fusionkit\[tabicl\]"'):
        read_weights(weights)
