"""Networks of a comparison without some inputs of the test cases: what is drawn, what is predicted, what is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_study import without_plots as without_plots
from small_study import write_study

from fusionkit.cli.parser import main
from fusionkit.comparison import missing_rates
from fusionkit.comparison.missing_rates import kept_inputs, rates_of
from fusionkit.errors import Diagnostic, GraphError, UserError
from fusionkit.interface import compare
from fusionkit.network.model import FusionModel
from fusionkit.network.optional_inputs import all_optional
from fusionkit.registry.lookup import Registry


@pytest.fixture(scope="module", autouse=True)
def without_ranks() -> Iterator[None]:
    """Pictures of the ranks are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "draw_ranks", lambda folder, _: (folder / "result-rank.svg").write_text("<svg/>"))
        yield


def test_rates_are_probabilities() -> None:
    assert rates_of("0.5,0,0.2,0.5") == (0.0, 0.2, 0.5) and rates_of(None) == ()
    for text in ("", "1", "-0.1", "half", "0,nan", ",".join(str(n / 100) for n in range(21))):
        with pytest.raises(UserError, match="--missing-rates cannot be"):
            rates_of(text)


def test_what_is_absent_at_a_rate_is_absent_at_every_higher_one() -> None:
    rng = np.random.default_rng(3)
    present = rng.random((4001, 3)) < 0.9
    few, many = kept_inputs(present, 0.2, 5), kept_inputs(present, 0.7, 5)
    assert not (few & ~present).any() and not (many & ~few).any()
    assert (kept_inputs(present, 0.0, 5) == present).all()
    assert (few.any(axis=1) == present.any(axis=1)).all() and (many.any(axis=1) == present.any(axis=1)).all()
    whole = np.ones((4001, 3), dtype=bool)
    share = kept_inputs(whole, 0.2, 5).mean()
    assert share == pytest.approx(0.8 + 0.2**3 / 3, abs=0.01), "0.008 of the cases would have lost all three"
    assert (kept_inputs(whole, 0.2, 6) != kept_inputs(whole, 0.2, 5)).any()


def test_every_network_is_measured_at_every_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    command = ["compare", str(tmp_path / "graph.yaml"), str(tmp_path / "data.yaml"), "--node", "both", "--with",
               "fusion.sum", "--folds", "2", "--epochs", "1", "--hold-out", "0",
               "--no-baselines", "-o", str(tmp_path / "found"), "--missing-rates", "0,0.6"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "60% absent" in said.out and "Training hid no inputs" in said.out
    told = json.loads((tmp_path / "found" / "compare.json").read_text())
    plain, absent = told["missing"]["heads"]["result"]
    assert (plain["rate"], absent["rate"], plain["metric"]) == (0.0, 0.6, "auroc")
    values = {row["name"]: row["value"] for row in told["heads"]["result"]["rows"]}
    assert {row["name"]: row["value"] for row in plain["rows"]} == values
    assert {row["name"] for row in absent["rows"]} == set(values)
    assert all(row["low"] <= row["value"] <= row["high"] and row["cases"] == 66 for row in absent["rows"])
    assert {row["name"] for row in absent["rows"] if row["difference"]} == {"fusion.sum"}

    run = tmp_path / "found" / "runs" / "fusion.sum" / "repeat-1"
    before, after = np.load(run / "outcome.npz"), np.load(run / "outcome-missing-0.6-of-folds-0-1.npz")
    assert (before["0-rows"] == after["0-rows"]).all() and (before["0-targets"] == after["0-targets"]).all()
    present = np.array([[True, case % 6 != 5] for case in range(66)])
    same = (kept_inputs(present, 0.6, 0) == present).all(axis=1)[before["0-rows"]]
    apart = np.abs(before["0-values"] - after["0-values"]).max(axis=1)
    assert 5 < same.sum() < 40 and apart[same].max() < 1e-6 < 1e-4 < apart[~same].min()

    page = (tmp_path / "found" / "report.html").read_text()
    assert "Without some of the inputs" in page and page.count("data:image/svg") == 4
    outcomes = {path: path.stat().st_mtime_ns for path in (tmp_path / "found").rglob("outcome-missing-0.6*")}

    def refused(model: FusionModel, registry: Registry) -> FusionModel:
        if model.plan.node("both").uses == "fusion.concat":
            raise GraphError(Diagnostic("absent-input", "fusion.concat requires its input"))
        return all_optional(model, registry)

    monkeypatch.setattr(missing_rates, "all_optional", refused)
    monkeypatch.setattr(compare, "draw_missing", lambda folder, _: (folder / "result-absent.svg").write_text("<svg/>"))
    assert main([*command[:-1], "0.3,0.6"]) == 0
    assert "fusion.concat cannot be measured without an input: fusion.concat requires its input" in (
        capsys.readouterr().out)
    told = json.loads((tmp_path / "found" / "compare.json").read_text())["missing"]
    assert list(told["left_out"]) == ["fusion.concat"]
    assert [[(row["name"], row["difference"]) for row in at["rows"]] for at in told["heads"]["result"]] == [
        [("fusion.sum", None)]] * 2
    assert {path: path.stat().st_mtime_ns for path in outcomes} == outcomes, "what was predicted is kept"
