"""The demonstrations, small: they run to their figures, and no figure passes what is possible."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionkit.cli import demonstration
from fusionkit.cli.demonstration import Figure
from fusionkit.cli.parser import main


def figures(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, float]]:
    assert main(["demo", *arguments, "--json"]) == 0
    return {figure["name"]: figure for figure in json.loads(capsys.readouterr().out)["figures"]}


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are trained for a quarter of the time that a reader waits for them."""
    command = demonstration._Command
    monkeypatch.setattr(demonstration, "_Command", lambda arguments: command([*arguments, "--epochs", "10"]))


def test_organs_small(tmp_path: Path, capsys: pytest.CaptureFixture[str], shorter: None) -> None:
    """Takes over ten seconds: three networks of images are trained."""
    found = figures([str(tmp_path / "demo"), "--cases", "150"], capsys)
    assert set(found) == {"image", "table", "both"}
    assert found["both"]["accuracy"] > 0.3
    assert found["both"]["cases"] == 150
    kept = tmp_path / "demo"
    assert (kept / "organs" / "cases.csv").is_file()
    assert (kept / "run-both" / "predictions.csv").is_file()
    assert (kept / "run-both" / "fold-0" / "model.safetensors").is_file()


def test_phantom_small_stays_under_its_ceilings(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                shorter: None) -> None:
    """Takes half a minute and more: three networks of volumes are trained, and a leak shows in a trained one only."""
    found = figures([str(tmp_path / "demo"), "--phantom", "missing_informative", "--cases", "120"], capsys)
    for figure in found.values():
        error = (figure["accuracy"] * (1 - figure["accuracy"]) / figure["cases"]) ** 0.5
        assert figure["accuracy"] <= figure["ceiling"] + 3 * error, f"{figure['name']} passes its ceiling: a leak"


def test_a_leak_is_noticed() -> None:
    assert Figure("both", 0.99, None, None, 400, ceiling=0.885).passes
    assert not Figure("both", 0.90, None, None, 400, ceiling=0.885).passes


def test_unknown_scenario_offers_the_near_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "demo"), "--phantom", "aditive"]) == 2
    assert "did you mean 'additive'" in capsys.readouterr().err


def test_a_used_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["demo", str(tmp_path)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err


def test_tables_beside_logistic_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str], shorter: None) -> None:
    """Takes over ten seconds: networks are trained until they may stand beside a logistic regression."""
    found = figures([str(tmp_path / "demo"), "--tables"], capsys)
    assert found["logistic regression"]["accuracy"] > 0.95
    assert found["fused"]["accuracy"] > found["logistic regression"]["accuracy"] - 0.04
