"""Metrics of third parties: shown with their intervals, with options as typed; one that fails costs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from fusionkit.api import ClassColumn, Config, Floats, Metric, Outcomes, ratio
from fusionkit.components.config import ContractError
from fusionkit.errors import UserError
from fusionkit.evaluation import evaluate_predictions, table, write_report
from fusionkit.evaluation.chosen_metrics import installed_metrics, metrics_named, with_asked
from fusionkit.registry.lookup import Registry, discover

from .cohorts import classified, names


class BenefitConfig(Config):
    threshold: float = Field(0.5, gt=0, lt=1, description="From which a case is treated.")


class Benefit:
    """True positives less false ones at the odds of the threshold, per case: Vickers and Elkin 2006."""

    def __init__(self, config: BenefitConfig) -> None:
        self.threshold = config.threshold

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        treated = column.score >= self.threshold
        odds = self.threshold / (1 - self.threshold)
        gained = (treated & column.truth) - odds * (treated & ~column.truth)
        return ratio(gained @ weights, weights.sum(axis=0))


class Broken:
    def __init__(self, config: Config) -> None: ...

    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        raise ZeroDivisionError("of no use")


class Flat(Broken):
    def of_column(self, column: ClassColumn, weights: Floats) -> Floats:
        return np.zeros(3)


def metric(name: str = "benefit", config: type = BenefitConfig, module: Any = Benefit, **changed: Any) -> Metric:
    given = {"label": "net benefit", "tasks": ("multiclass", "multilabel"), "better": "higher", **changed}
    return Metric(name, config, module, **given)


def registry(*metrics: Metric) -> Registry:
    return discover(components=metrics)


def test_a_metric_is_shown_with_its_interval_and_its_unit() -> None:
    known = registry(metric(unit="per case"))
    chosen = with_asked(installed_metrics(known), metrics_named("benefit{threshold: 0.2}, auroc", known, "--metric"))
    report = evaluate_predictions("h", "multiclass", names(2), *classified(3, 97, 2), resamples=200, metrics=chosen)
    assert [*report.metrics][-2:] == ["benefit", "benefit{threshold: 0.2}"]
    found = report.metrics["benefit{threshold: 0.2}"]
    assert found.low < found.value < found.high and found.note is None
    assert found.value != report.metrics["benefit"].value
    rows = {row[2]: row for row in table([report])}
    assert rows["net benefit, per case {threshold: 0.2}"][4] == found.interval
    assert len([name for name in rows if name == "AUROC"]) == 1


def test_the_plots_do_without_the_metrics_that_were_not_asked_for(tmp_path: Path) -> None:
    for count in (2, 3):
        report = evaluate_predictions("h", "multiclass", names(count), *classified(3, 31, count), resamples=0,
                                      metrics=metrics_named("f1", discover(), "--metric"))
        assert [*report.metrics] == ["f1"]
        assert tmp_path / "h-roc.png" in write_report([report], tmp_path)


def test_over_several_classes_it_is_a_mean() -> None:
    report = evaluate_predictions("h", "multiclass", names(3), *classified(3, 97, 3), resamples=20,
                                  metrics=installed_metrics(registry(metric())))
    each = [scores["benefit"].value for scores in report.per_class.values()]
    assert report.metrics["benefit"].value == pytest.approx(np.mean(each))


@pytest.mark.parametrize(("module", "why"), [
    (Broken, "metric.benefit fails: ZeroDivisionError: of no use"),
    (Flat, "metric.benefit fails: it gives shape (3,) for weights of shape (97, 1)"),
])
def test_one_that_fails_is_a_note_and_the_others_are_there(module: type, why: str) -> None:
    known = installed_metrics(registry(metric(config=Config, module=module)))
    for count in (2, 3):
        report = evaluate_predictions("h", "multiclass", names(count), *classified(3, 97, count), resamples=20,
                                      metrics=known)
        assert report.metrics["benefit"].value is None and why in report.metrics["benefit"].note
        assert report.metrics["auroc"].low is not None


def test_one_of_another_task_or_with_needed_options_is_not_shown_by_itself() -> None:
    class Needs(Config):
        threshold: float = Field(description="No default.")

    known = registry(metric(config=Needs), metric("size", Config, Broken, tasks=("regression",)))
    assert "benefit" not in [each.key for each in installed_metrics(known)]
    report = evaluate_predictions("h", "multiclass", names(2), *classified(3, 31, 2), resamples=0,
                                  metrics=installed_metrics(known))
    assert "size" not in report.metrics
    assert metrics_named("benefit{threshold: 0.5}", known, "--metric")[0].key == "benefit{threshold: 0.5}"


def test_one_that_sets_a_limit_has_its_interval_of_the_first_resamples() -> None:
    known = registry(metric(), metric("few", resamples=50))
    chosen = metrics_named("benefit, few", known, "--metric")
    case = "multiclass", names(2), *classified(3, 97, 2)
    both = evaluate_predictions("h", *case, resamples=120, metrics=chosen).metrics
    first = evaluate_predictions("h", *case, resamples=50, metrics=chosen).metrics
    assert both["few"].value == both["benefit"].value
    assert (both["few"].low, both["few"].high) == pytest.approx((first["benefit"].low, first["benefit"].high))
    assert both["benefit"].low != both["few"].low
    assert both["few"].to_json()["resamples"] == 50 and "resamples" not in both["benefit"].to_json()
    assert "resamples" not in first["few"].to_json()


def test_one_that_is_not_measured_by_default_is_measured_if_it_is_named() -> None:
    known = registry(metric(default=False))
    assert "benefit" not in [each.key for each in installed_metrics(known)]
    assert "benefit" in [each.key for each in installed_metrics(known, every=True)]
    asked = with_asked(installed_metrics(known), metrics_named("benefit", known, "--metric"))
    assert asked[-1].key == "benefit"


@pytest.mark.parametrize(("typed", "says"), [
    ("benfit", r"--metric:1:1: there is no component 'metric.benfit' \[unknown-component\]"),
    ("auroc, benefit{threshold: 2}", r"--metric:1:27: option 'threshold' of metric.benefit cannot be 2"),
    ("benefit{treshold: 0.2}", r"metric.benefit has no option 'treshold' \[unknown-option\]"),
    ("benefit{0.2}", r"option|mapping"),
    ("fusion.sum", r"fusion.sum (cannot be used here|is not)|no component 'fusion.sum'"),
    ("", r"there is an empty metric \[bad-metric\]"),
])
def test_what_is_typed_wrong_is_told_at_its_place(typed: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        metrics_named(typed, registry(metric()), "--metric")


@pytest.mark.parametrize(("changed", "says"), [
    ({"label": " "}, "label is empty"), ({"tasks": ()}, "name tasks, such as"),
    ({"tasks": ("two words",)}, "name tasks, such as"), ({"better": "up"}, "better='up'; choose one of higher"),
    ({"resamples": -1}, "resamples=-1; write 0 for a metric without an interval"),
])
def test_declarations_that_are_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        metric(**changed)


def test_counts_are_kept_for_the_weights_they_were_made_of() -> None:
    truth = np.array([0.0, 1.0, 1.0])
    column = Outcomes("multiclass", ("a", "b"), truth, np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])).column(1)
    once, twice = np.ones((3, 1)), np.full((3, 1), 2.0)
    assert column.counts(once).ravel().tolist() == [1, 1, 0, 1]
    assert column.counts(twice).ravel().tolist() == [2, 2, 0, 2]
    assert column.counts(once) is column.counts(once)
