"""`fusionkit compare` from files to report: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_study import DATA, GRAPH, without_curves, write_study

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.comparison import baselines
from fusionkit.comparison import train as comparison_train
from fusionkit.errors import RunError, UserError
from fusionkit.runs.train import train
from fusionkit.training.signals import Interrupted

WITH = "fusion.sum,fusion.gmu{width: 5}"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, and a comparison over three folds beside it."""
    folder = tmp_path_factory.mktemp("study")
    graph, data = write_study(folder)
    assert main(["compare", graph, data, "--node", "both", "--with", WITH, "--folds", "3", "-o",
                 str(folder / "found")]) == 0
    return folder


@pytest.fixture(autouse=True)
def without_most_pictures(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of the module has all of them."""
    without_curves(monkeypatch)


def arguments(study: Path, output: Path, typed: str = WITH) -> list[str]:
    return ["compare", str(study / "graph.yaml"), str(study / "data.yaml"), "--node", "both", "--with", typed, "-o",
            str(output)]


def test_the_folder_holds_table_figures_picture_and_runs(study: Path) -> None:
    found = study / "found"
    assert {path.name for path in found.iterdir()} == {
        "compare.csv", "compare.json", "comparison.json", "report.html", "result-rank.png", "result-rank.svg",
        "result-order.png", "result-order.svg", "learning-curves.png", "learning-curves.svg", "runs"}
    assert {path.name for path in (found / "runs").iterdir()} == {
        "fusion.concat", "fusion.sum", "fusion.gmu-width-5", "told-alone", "seen-alone", "fusion.late_mean"}
    run = found / "runs" / "fusion.sum" / "repeat-1"
    assert (run / "fold-2" / "model.safetensors").is_file()
    assert not list(run.rglob("*.png"))


def test_the_rows_are_ranked_with_costs_and_differences(study: Path) -> None:
    told = json.loads((study / "found" / "compare.json").read_text())
    head = told["heads"]["result"]
    rows = {row["name"]: row for row in head["rows"]}
    assert set(rows) == {"fusion.concat", "fusion.sum", "fusion.gmu{width: 5}", "told alone", "seen alone",
                         "fusion.late_mean", "logistic regression", "gradient boosting", "logistic regression on lab",
                         "logistic regression on scan", "gradient boosting on lab", "gradient boosting on scan",
                         "constant prediction"}
    assert rows["constant prediction"]["values"] == [0.5] * 3
    assert rows["gradient boosting on scan"]["cases"] == 55, "a table alone says nothing of cases that lack it"
    values = [row["value"] for row in head["rows"]]
    assert values == sorted(values, reverse=True)
    assert (head["cases"], head["patients"], head["test"]) == (66, 33, "corrected resampled t")
    assert rows["fusion.concat"]["difference"] is None
    for name, row in rows.items():
        assert row["low"] <= row["value"] <= row["high"]
        assert len(row["values"]) == 3
        if name != "fusion.concat" and row["cases"] == 66:
            assert row["difference"]["value"] == pytest.approx(row["value"] - rows["fusion.concat"]["value"], abs=1e-6)
            assert row["difference"]["holm"] >= row["difference"]["p"]
    assert rows["seen alone"]["cases"] == 55
    assert rows["seen alone"]["difference"]["cases"] == 55
    assert "difference over the 55 of 66 cases that both have: " in rows["seen alone"]["note"]
    assert rows["fusion.gmu{width: 5}"]["weights"] > 0 < rows["fusion.gmu{width: 5}"]["multiply_adds"]
    assert rows["logistic regression"]["weights"] is None


def test_the_sheet_has_the_rows_of_the_figures(study: Path) -> None:
    told = json.loads((study / "found" / "compare.json").read_text())["heads"]["result"]["rows"]
    with (study / "found" / "compare.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == [row["name"] for row in told]
    assert [float(row["value"]) for row in rows] == [row["value"] for row in told]
    assert {row["name"]: row["difference_cases"] for row in rows if row["difference_cases"] != "66"} == {
        "fusion.concat": "", "seen alone": "55", "logistic regression on scan": "55",
        "gradient boosting on scan": "55"}


def test_folds_never_divide_a_patient_and_are_the_same_for_all(study: Path) -> None:
    runs = study / "found" / "runs"
    tested = {}
    for name in ("fusion.concat", "fusion.sum", "told-alone"):
        folds = [json.loads((runs / name / "repeat-1" / f"fold-{fold}" / "run.json").read_text()) for fold in range(3)]
        tested[name] = [fold["test"] for fold in folds]
        for fold in folds:
            assert not {int(case[1:]) // 2 for case in fold["test"]} & {int(case[1:]) // 2 for case in fold["train"]}
    assert tested["fusion.concat"] == tested["fusion.sum"] == tested["told-alone"]


class _Page(HTMLParser):
    """Checks that tags close in order, and keeps what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads.extend(value or "" for name, value in attrs if name in ("src", "href"))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_stands_alone(study: Path) -> None:
    text = (study / "found" / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert not page.open
    assert [load.partition(",")[0] for load in page.loads] == ["data:image/svg+xml;base64"] * 3
    assert "://" not in re.sub(r"base64,[^\"]*", "", text)
    for wanted in ("fusion.gmu{width: 5}", "Nadeau and Bengio", "Holm", "not simultaneous", "66 cases of 33 patients",
                   "stratified by &#x27;result&#x27;", "Leaks in the files", "over the 55 of 66 cases that both have"):
        assert wanted in text


def test_names_in_the_report_are_escaped(tmp_path: Path) -> None:
    write_study(tmp_path, GRAPH.replace("name: small", 'name: "<b>&amp;"'))
    assert main([*arguments(tmp_path, tmp_path / "found", "fusion.sum"), "--epochs", "1", "--no-baselines"]) == 0
    text = (tmp_path / "found" / "report.html").read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;amp;" in text


def test_the_report_says_how_frozen_nodes_were_shared(tmp_path: Path) -> None:
    write_study(tmp_path, GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}"))
    assert main([*arguments(tmp_path, tmp_path / "found", "fusion.sum"), "--epochs", "1", "--no-baselines", "--reuse",
                 "batches"]) == 0
    assert "<li>--reuse batches: batches; as requested</li>" in (tmp_path / "found" / "report.html").read_text()


def test_a_finished_comparison_is_loaded(study: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    before = (study / "found" / "compare.json").read_text()
    monkeypatch.setattr(comparison_train, "train", lambda *_, **__: pytest.fail("it was trained again"))
    assert main([*arguments(study, study / "found"), "--folds", "3"]) == 0
    assert "fusion.sum (2 of 6): already trained" in capsys.readouterr().out
    times = re.compile(r'"seconds": [^,]*')  # scikit-learn is fitted again
    assert times.sub("", (study / "found" / "compare.json").read_text()) == times.sub("", before)


def test_an_interrupted_comparison_goes_on(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    begun: list[str] = []

    def stopping(*given, **options):  # the second network is stopped after its first fold
        begun.append(given[2].parent.name)
        if len(begun) == 2:
            train(given[0], given[1].model_copy(update={"fold": 0}), given[2] / "fold-0", **options)
            raise Interrupted("stopped by Ctrl-C in epoch 1; the state is in 'last'")
        return train(*given, **options)

    whole = [*arguments(study, tmp_path / "found"), "--folds", "3", "--no-baselines"]
    monkeypatch.setattr(comparison_train, "train", stopping)
    assert main(whole) == 1
    told = capsys.readouterr().err
    assert "stopped by Ctrl-C" in told
    assert "run the same command to continue" in told
    assert begun == ["fusion.concat", "fusion.sum"]
    assert not (tmp_path / "found" / "compare.json").exists()
    assert main(whole) == 0
    assert begun[2:] == ["fusion.sum", "fusion.gmu-width-5"], "what was finished is loaded"
    runs = Path("runs", "fusion.gmu-width-5", "repeat-1", "fold-1", "model.safetensors")
    assert (tmp_path / "found" / runs).read_bytes() == (study / "found" / runs).read_bytes()
    rows = [{row["name"]: row["values"] for row in json.loads((folder / "found" / "compare.json").read_text())[
        "heads"]["result"]["rows"]} for folder in (tmp_path, study)]
    assert rows[0]["fusion.sum"] == rows[1]["fusion.sum"]


def test_a_candidate_that_fails_is_left_out_and_named(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    def failing(*given, **options):
        if given[2].parent.name == "fusion.sum":
            raise RunError("the loss is NaN")
        return train(*given, **options)

    monkeypatch.setattr(comparison_train, "train", failing)
    assert main([*arguments(study, tmp_path / "found"), "--epochs", "1", "--no-baselines"]) == 1
    assert "fusion.sum (2 of 3): left out, since it failed" in capsys.readouterr().out
    told = json.loads((tmp_path / "found" / "compare.json").read_text())
    assert told["left_out"] == {"fusion.sum": "failed: the loss is NaN"}
    assert {row["name"] for row in told["heads"]["result"]["rows"]} == {"fusion.concat", "fusion.gmu{width: 5}"}


def test_another_comparison_is_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = study / "found"
    assert main([*arguments(study, found, "fusion.sum"), "--folds", "3", "--epochs", "1"]) == 2
    told = capsys.readouterr().err
    assert "the training settings differs" in told
    assert "it includes fusion.gmu{width: 5}, which is not requested now" in told
    assert main([*arguments(study, found), "--folds", "2"]) == 2
    assert "the data description differs" in capsys.readouterr().err


def test_a_folder_of_something_else_is_refused(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(arguments(study, tmp_path)) == 2
    assert "is not the folder of a comparison" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_repeats_on_one_split_have_seeds_of_their_own(study: Path, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(study, tmp_path / "found", "fusion.sum"), "--repeats", "2", "--no-baselines", "--seed", "4",
                 "--metric", "brier", "--json"]) == 0
    head = json.loads(capsys.readouterr().out)["heads"]["result"]
    assert head["test"] == "paired bootstrap"
    assert head["lower_is_better"]
    values = [row["value"] for row in head["rows"]]
    assert values == sorted(values)
    for row in head["rows"]:
        assert len(set(row["values"])) == 2, "another seed gives another network"
    seeds = [json.loads((tmp_path / "found" / "runs" / "fusion.sum" / f"repeat-{number}" / "run.json").read_text())[
        "members"][0]["seed"] for number in (1, 2)]
    assert seeds == [4, 5]


def test_what_is_to_be_shown_is_recorded_before_training_and_kept(
        study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tmp_path / "found"
    whole = [*arguments(study, found, "fusion.sum"), "--folds", "3", "--epochs", "1", "--no-baselines", "--seeds", "2"]
    assert main([*whole, "--margin", "0.9"]) == 0
    told = json.loads((found / "compare.json").read_text())
    first = told["declared"][0]
    assert (first["kind"], first["margin"], first["metrics"], first["trained"]) == (
        "noninferiority", 0.9, {"result": "auroc"}, 0)
    assert len(first["sha256"]) == 64
    assert [(unit["repeat"], unit["seed"], unit["fold"]) for unit in told["units"]] == [
        (1, seed, fold) for seed in (1, 2) for fold in range(3)]
    row = next(row for row in told["heads"]["result"]["rows"] if row["kind"] == "candidate")
    assert row["equivalence"]["claim"] == "noninferiority"
    assert row["spread"]["var_seed"] > 0
    assert row["outlook"]["wanted"] == 0.9
    said = capsys.readouterr().out
    assert "Noninferiority within 0.9" in said and "share of folds" in said
    assert f"Declared: noninferiority within 0.9, by auroc; {first['declared']}, before anything was trained" in said

    assert main(whole) == 0, "what was declared holds where nothing else is"
    assert json.loads((found / "compare.json").read_text())["declared"] == [first]
    assert main([*whole, "--margin", "0.5", "--claim", "equivalent"]) == 0
    declared = json.loads((found / "compare.json").read_text())["declared"]
    assert declared[0] == first
    assert (declared[1]["kind"], declared[1]["margin"], declared[1]["trained"]) == ("equivalence", 0.5, 4)
    page = (found / "report.html").read_text()
    assert "Changed to: equivalence within 0.5" in page and "after 4 trainings" in page
    assert main(["report", str(found)]) == 0
    capsys.readouterr()
    assert main([*whole[:-1], "1"]) == 2
    assert "it has 2 seeds, and now 1 is requested" in capsys.readouterr().err


def test_without_scikit_learn_it_says_what_to_install(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(baselines, "find_spec", lambda _: None)
    assert main([*arguments(study, tmp_path / "found", "fusion.sum"), "--epochs", "1"]) == 0
    assert 'pip install "fusionkit[explain]"' in capsys.readouterr().out
    assert "logistic regression" in json.loads((tmp_path / "found" / "compare.json").read_text())["left_out"]


@pytest.mark.parametrize(("more", "said"), [
    (["--folds", "1"], "--folds cannot be 1"), (["--repeats", "0"], "--repeats cannot be 0"),
    (["--seeds", "2", "--repeats", "2"], "--repeats and --seeds exclude each other"),
    (["--claim", "equivalence"], "needs --margin"),
    (["--metric", "aurok"], "did you mean 'metric.auroc'"), (["--epochs", "0"], "--epochs cannot be 0")])
def test_bad_arguments_are_told(study: Path, tmp_path: Path, more: list[str], said: str,
                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(study, tmp_path / "found"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "found").exists()


def test_data_without_test_cases_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path, data=DATA.replace("split: {column: split}\n", ""))
    assert main(arguments(tmp_path, tmp_path / "found")) == 2
    assert "--folds 5" in capsys.readouterr().err


def test_regression_is_compared_by_its_error(tmp_path: Path) -> None:
    graph = GRAPH.replace("{use: head.classify, from: both, with: {classes: [no, yes]}}",
                          "{use: head.regress, from: both, with: {values: [a]}}")
    data = DATA.replace("{column: result}", "{column: a}").replace("numeric: [a, b, c]", "numeric: [b, c]").replace(
        "split: {column: split}", "split: {fraction: {test: 0.4}, seed: 1}")
    write_study(tmp_path, graph.replace("lab: {vector: [3]}", "lab: {vector: auto}"), data)
    assert main([*arguments(tmp_path, tmp_path / "found", "fusion.sum"), "--epochs", "1"]) == 0
    head = json.loads((tmp_path / "found" / "compare.json").read_text())["heads"]["result"]
    assert (head["metric"], head["lower_is_better"]) == ("mae", True)
    assert "linear regression" in {row["name"] for row in head["rows"]}


def test_python_gives_what_the_command_wrote(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = fusionkit.compare(study / "graph.yaml", study / "data.yaml", node="both", candidates=WITH, folds=3,
                             output=study / "found", quiet=True)
    assert capsys.readouterr() == ("", "")
    told = json.loads((study / "found" / "compare.json").read_text())
    assert made.as_json() == {**{key: told[key] for key in told if key not in ("graph", "data")},
                              "folder": str(study / "found")}
    first, wanted = made.rows()[0], told["heads"]["result"]["rows"][0]
    assert (first["head"], first["metric"], first["name"], first["value"]) == (
        "result", "auroc", wanted["name"], wanted["value"])
    assert {row.get("difference_holm") for row in made.rows() if row["kind"] == "reference"} == {None}
    assert made._repr_html_().count("<tr>") == len(made.rows()) + 1
    assert made.report.is_file()


def test_in_python_errors_have_the_text_of_the_command(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(study, study / "other", "fusion.summ"), "--metric", "auroc"]) == 2
    with pytest.raises(UserError) as caught:
        fusionkit.compare(str(study / "graph.yaml"), str(study / "data.yaml"), node="both", candidates="fusion.summ",
                          quiet=True)
    assert capsys.readouterr().err == f"{caught.value}\n"
    with pytest.raises(UserError, match="--reuse cannot be 'all'"):
        fusionkit.compare(study / "graph.yaml", study / "data.yaml", node="both", candidates="fusion.sum", reuse="all")
