import csv
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.text import Text
from PIL import Image

from fusionkit.evaluation import evaluate_predictions, table, write_report
from fusionkit.evaluation.calibration import Calibrated, Choices
from fusionkit.evaluation.plots import style
from fusionkit.evaluation.plots.confusion import confusion_figure
from fusionkit.evaluation.report import TABLE_COLUMNS, MetricResult

from .cohorts import classified, labelled, names, valued


@pytest.fixture(scope="module")
def reports():
    patients = [f"patient {index // 2}" for index in range(62)]
    return [
        evaluate_predictions("subtype", "multiclass", ["adeno", "squamous"], *classified(89, 62, 2), patients=patients),
        evaluate_predictions("organ", "multiclass", names(3), *classified(97, 67, 3), resamples=100),
        evaluate_predictions("findings", "multilabel", names(2), *labelled(101, 71, 2, unknown=0.2), resamples=100),
        evaluate_predictions("age", "regression", [], *valued(103, 73), resamples=100),
    ]


def strictly(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_everything_is_written_and_nothing_else_is_left(reports, tmp_path):
    written = write_report([reports[0], *reports[2:]], tmp_path / "run", about={"split": "test"})
    drawn = {
        f"{head}-{kind}.{suffix}"
        for head, kinds in {
            "subtype": ("roc", "precision-recall", "calibration", "decision", "risk", "confusion"),
            "findings": ("roc", "precision-recall", "calibration", "decision", "risk", "confusion"),
            "age": ("values", "bland-altman"),
        }.items()
        for kind in kinds
        for suffix in ("png", "svg", "csv")
    }
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"metrics.json"} | drawn
    assert {path.name for path in written} == {"metrics.json"} | drawn
    for path in written[1:]:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert min(picture.size) > 500
        elif path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
    content = strictly((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert content["split"] == "test"
    assert list(content["heads"]) == ["subtype", "findings", "age"]


def test_the_json_says_what_it_rests_on(reports):
    found = reports[0].to_json()
    targets, _ = classified(89, 62, 2)
    assert found["counts"] == {
        "cases": 62,
        "without_target": 0,
        "patients": 31,
        "per_class": {"adeno": int((targets == 0).sum()), "squamous": int(targets.sum())},
    }
    assert found["interval"] == {
        "method": "percentile bootstrap",
        "level": 0.95,
        "resamples": 1000,
        "resampled": "patient",
        "seed": 0,
    }
    auroc = found["metrics"]["auroc"]
    assert auroc["low"] < auroc["value"] < auroc["high"]
    assert auroc["value"] == pytest.approx(reports[0].metrics["auroc"].value, rel=1e-5)
    assert np.sum(found["confusion"][0]["rows_true_columns_predicted"]) == 62
    assert reports[1].to_json()["interval"]["resampled"] == "case"


def test_equal_seeds_give_equal_files(reports, tmp_path):
    again = evaluate_predictions("age", "regression", [], *valued(103, 73), resamples=100)
    assert again == reports[3]
    for folder, report in (("first", reports[3]), ("second", again)):
        write_report([report], tmp_path / folder)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_undefined_values_are_null_with_a_reason(tmp_path):
    report = evaluate_predictions("h", "multiclass", ["no", "yes"], [0, 0, -1], [[0.9, 0.1]] * 3)
    write_report([report], tmp_path)
    found = strictly((tmp_path / "metrics.json").read_text(encoding="utf-8"))["heads"]["h"]
    assert found["metrics"]["auroc"] == {"value": None, "low": None, "high": None, "note": "no case is 'yes'"}
    assert found["counts"]["without_target"] == 1
    assert not (tmp_path / "h-roc.svg").exists()
    assert (tmp_path / "h-confusion.svg").exists()


@pytest.mark.parametrize(
    ("task", "classes", "targets", "predictions"),
    [
        ("multiclass", ["a", "b", "c"], [-1], [[0.2, 0.3, 0.5]]),
        ("multiclass", ["a"], [0], [[1.0]]),
        ("multilabel", ["a", "b"], [[1, -1]], [[0.2, 0.3]]),
        ("regression", [], [np.nan], [3.0]),
        ("regression", [], [5.0], [3.0]),
    ],
)
def test_hardly_any_cases_are_reported_all_the_same(task, classes, targets, predictions, tmp_path):
    report = evaluate_predictions("h", task, classes, targets, predictions)
    write_report([report], tmp_path)
    assert strictly((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert all(len(row) == len(TABLE_COLUMNS) for row in table([report], per_class=True))


def test_names_are_text_in_every_place(tmp_path):
    classes = ["$x_{2$", "<b>&amp;", "\u80ba\u817a\u764c", "w" * 90]
    report = evaluate_predictions("../../out of\nhere", "multiclass", classes, *classified(107, 41, 4), resamples=20)
    written = write_report([report], tmp_path / "run")
    assert {path.parent for path in written} == {tmp_path / "run"}
    assert "_out_of_here-roc.svg" in {path.name for path in written}
    for path in written:
        if path.suffix == ".svg":
            ElementTree.parse(path)
    assert strictly(written[0].read_text(encoding="utf-8"))["heads"][report.head]["classes"] == classes


def test_very_many_classes_are_still_a_picture(tmp_path):
    report = evaluate_predictions("h", "multiclass", names(45), *classified(109, 450, 45), resamples=5)
    for path in write_report([report], tmp_path):
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert max(picture.size) < 3000


def test_panels_that_find_no_room_are_named_in_the_title(monkeypatch):
    monkeypatch.setattr(style, "_MOST_PANELS", 2)
    curves = evaluate_predictions("h", "multilabel", names(5), *labelled(109, 31, 5), resamples=5).curves
    with style.applied():
        figure = confusion_figure(curves.confusion, "Confusion")
    assert figure.get_suptitle() == "Confusion (the first 2 of 5)"
    assert len(figure.axes) == 2


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws reports; gives the figures by what they show."""
    figures = {}

    def keep(figure, stem, kinds=()):
        figures[stem.name] = figure
        return []

    monkeypatch.setattr(style, "save", keep)

    def draw(*reports):
        write_report(reports, tmp_path)
        return figures

    return draw


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_pictures_say_quantity_scale_and_cases(reports, drawn):
    figures = {name: words(figure) for name, figure in drawn(reports[0], reports[3]).items()}
    assert all(f"head {name.partition('-')[0]}, " in text for name, text in figures.items())
    assert "Risk-coverage curve\nhead subtype, 62 cases of 31 patients" in figures["subtype-risk"]
    assert "coverage: fraction of cases kept, most confident first" in figures["subtype-risk"]
    assert re.search(r"ranked by entropy: area under curve 0\.\d+ \(95 % interval 0\.\d+ to", figures["subtype-risk"])
    assert "observed frequency" in figures["subtype-calibration"]
    assert "% of the true class" in figures["subtype-confusion"]
    assert re.search(r"mean absolute error \S+ \(95 % interval", figures["age-values"])


def test_labels_of_neighbouring_panels_do_not_touch(drawn):
    targets, predictions = classified(89, 62, 3)
    calibrated = Calibrated(Choices(), predictions, predictions > 0.1, None)
    report = evaluate_predictions("h", "multiclass", names(3), targets, predictions, calibrated=calibrated)
    figure = drawn(report)["h-calibration"]
    figure.draw_without_rendering()
    labels = [text.get_window_extent() for text in figure.findobj(Text) if "calibration error" in text.get_text()]
    assert len(labels) == 2 and not labels[0].overlaps(labels[1])


def test_the_caller_keeps_his_settings_of_matplotlib(reports, tmp_path):
    before = dict(matplotlib.rcParams)
    write_report(reports[3:], tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_a_figure_written_again_replaces_the_old_one(reports, tmp_path):
    (tmp_path / "metrics.json").write_text("old", encoding="utf-8")
    assert write_report(reports[:1], tmp_path, plots=False) == [tmp_path / "metrics.json"]
    assert strictly((tmp_path / "metrics.json").read_text(encoding="utf-8"))


def test_the_table_has_a_row_for_each_metric(reports):
    rows = table(reports)
    assert [row[1:3] for row in rows[:2]] == [("squamous", "AUROC"), ("squamous", "average precision")]
    assert {row[1] for row in rows} == {"squamous", "all classes", "mean of labels", "value"}
    assert len(rows) == 3 * 16 + 13
    assert len(table(reports, per_class=True)) == len(rows) + 16 * (3 + 2)
    assert all(len(row) == len(TABLE_COLUMNS) for row in rows)


def test_a_metric_reads_as_it_is_printed():
    assert str(MetricResult(0.91234, 0.87, 0.951)) == "0.912 (0.870 to 0.951)"
    assert str(MetricResult(1234.5, 1100.04, 1300.0)) == "1234 (1100 to 1300)"
    assert str(MetricResult(None, note="no case is 'x'")) == "undefined"
    assert str(MetricResult(0.5)) == "0.500"


def test_importing_evaluation_does_not_import_matplotlib():
    code = (
        "import sys, fusionkit.evaluation, fusionkit.evaluation.plots.figures;"
        "print([name for name in ('matplotlib', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_numbers_behind_a_figure_are_beside_it(reports, tmp_path):
    write_report([reports[0], reports[3]], tmp_path)

    def rows(name):
        with (tmp_path / name).open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    assert sum(int(row["cases"]) for row in rows("subtype-confusion.csv")) == 62
    every = rows("subtype-calibration.csv")
    bins = [row for row in every if row["row"] == "bin"]
    assert len(bins) == 15
    curves = [row["row"] for row in every if row["row"] != "bin"]
    assert set(curves) <= {"spline", "loess"} and all(curves.count(name) == 101 for name in set(curves))
    assert sum(int(row["cases"]) for row in bins) == 62
    assert all((row["observed"] == "") == (row["cases"] == "0") for row in bins)
    ends = [(float(row["false_positive_rate"]), float(row["true_positive_rate"])) for row in rows("subtype-roc.csv")]
    assert (ends[0], ends[-1]) == ((0, 0), (1, 1))
    steps = rows("subtype-precision-recall.csv")
    assert float(steps[-1]["recall"]) == 1 and steps[-1]["precision"] == steps[-1]["prevalence"]
    assert [float(row["threshold"]) for row in rows("subtype-decision.csv")] == [step / 100 for step in range(1, 100)]
    pairs, values = reports[3].curves.pairs[0], rows("age-values.csv")
    assert [float(row["true"]) for row in values] == pytest.approx(pairs.true, rel=1e-5)


def test_no_figure_stays_in_pyplot(reports, tmp_path):
    write_report(reports[:1], tmp_path)
    assert pyplot.get_fignums() == []
