"""What selects the best epoch: the loss, or any installed metric, with its options checked where they are written."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import Cohort, network

from fusionkit.api import Config, Metric
from fusionkit.cli.parser import main
from fusionkit.data.batch import collate
from fusionkit.errors import UserError
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings, read_settings
from fusionkit.training.validation import UNDEFINED, Scores


def settings(**changed: object) -> TrainingSettings:
    return read_settings(None, {"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "device": "cpu", **changed},
                         discover())


def measured(model: torch.nn.Module, cases: Cohort, head: str, metric: str) -> float:
    """The metric of a head over the cases that have a target, by the way that `evaluate` takes."""
    batch = collate([cases[place] for place in range(len(cases))])
    present = {value.name: batch.present[value.name] for value in model.plan.inputs if value.present is not None}
    with torch.no_grad():
        decoded = model.head(head).decode(model(batch.inputs, present)[head])
    valid = batch.target_present[head]
    plan = next(each for each in model.plan.heads if each.name == head)
    found = measure(collect(plan.task, plan.names, batch.targets[head][valid].numpy(), decoded[valid].numpy()))
    return found.overall[metric].value


@pytest.mark.parametrize(("typed", "head", "better"), [
    ("auroc", "kind", max), ("metric.mae", "size", min), ({"use": "metric.brier"}, "kind", min)])
def test_the_best_epoch_is_that_of_the_metric(typed: object, head: str, better: object, tmp_path: Path) -> None:
    held_out = Cohort(23, 1)
    result = fit(network(), Cohort(), held_out, settings(monitor=typed, epochs=5, learning_rate=0.1), tmp_path)
    name = result.monitor
    column = [row[f"validation_{name}_{head}"] for row in result.history]
    assert result.best_value == better(column) and result.best_epoch == column.index(better(column)) + 1
    assert measured(result.model, held_out, head, name) == pytest.approx(result.best_value, abs=1e-6)
    with (tmp_path / "history.csv").open() as stream:
        assert f"validation_{name}_{head}" in next(csv.reader(stream))


def test_what_every_validation_counts_is_known_by_id_too(tmp_path: Path) -> None:
    chosen = settings(monitor="metric.balanced_accuracy")
    assert chosen.monitor == "balanced_accuracy" and chosen.metric is None
    result = fit(network(), Cohort(), Cohort(11, 1), chosen, tmp_path)
    assert result.best_value == max(row["validation_balanced_accuracy_kind"] for row in result.history)


def test_a_metric_of_another_task_is_refused(tmp_path: Path) -> None:
    model = network(kind={"use": "head.regress", "with": {"values": ["x"]}})
    with pytest.raises(UserError, match=r"no head of this network has the metric auroc, which 'monitor: auroc' needs"):
        fit(model, Cohort(), Cohort(7, 1), settings(monitor="auroc"), tmp_path)


def test_an_epoch_in_which_it_is_undefined_is_the_worst() -> None:
    metric = settings(monitor="auroc").metric
    scores = Scores(1.0, {}, {}, {}, metric, {"a": math.nan, "b": 0.25})
    assert scores.monitored("auroc") == 0.25
    assert Scores(1.0, {}, {}, {}, metric, {"a": math.nan}).monitored("auroc") == UNDEFINED < -1e300


def faulty(text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        read_settings(read(text), registry=discover())
    return [found.render().splitlines()[0].partition(": ")[2] for found in caught.value.diagnostics]


@pytest.mark.parametrize(("text", "says"), [
    ("{monitor: aurocc}", "there is no component 'metric.aurocc' [unknown-component]"),
    ("{monitor: {use: metric.auroc, with: {bins: 3}}}", "metric.auroc has no option 'bins' [unknown-option]"),
    ("{monitor: 'auroc{bins: 3}'}", "metric.auroc has no option 'bins' [unknown-option]"),
    ("{monitor: {use: metric.auroc, wiht: {}}}", "option 'monitor' of 'training' cannot be"),
    ("{monitor: 3}", "option 'monitor' of 'training' cannot be 3 [bad-option]"),
])
def test_ids_and_options_are_checked(text: str, says: str) -> None:
    assert faulty(text)[0].startswith(says)


def test_check_shows_the_place_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text("fusionkit: 1\ninputs: {x: {vector: [3]}}\nnodes:\n"
                    "  y: {use: head.classify, from: x, with: {classes: [a, b]}}\n"
                    "training: {monitor: {use: metric.auroc, with: {bins: 3}}}\n")
    assert main(["check", str(path)]) == 2
    assert f"{path}:5:48: metric.auroc has no option 'bins' [unknown-option]" in capsys.readouterr().err


@pytest.mark.parametrize(("metric", "why"), [
    ("slope", "neither larger nor smaller values of it are better"),
    ("d_calibration", "a better value of it is not a better network"),
])
def test_why_a_metric_cannot_select_an_epoch(metric: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        read_settings(None, {"monitor": metric}, discover())


@pytest.mark.parametrize(("metric", "better"), [("bias", [-0.1, 3.0]), ("line_slope", [0.9, 2.0])])
def test_a_metric_that_is_best_near_a_value_may_select_the_epoch(metric: str, better: list[float]) -> None:
    chosen = read_settings(None, {"monitor": metric}, discover()).metric
    near, far = (Scores(1.0, {}, {}, {}, chosen, {"a": value}).monitored(metric) for value in better)
    assert near > far


def test_a_metric_that_may_not_be_monitored_is_refused() -> None:
    class Share:
        """The share of positive cases, which no training changes."""

        def __init__(self, config: Config) -> None: ...

        def of_column(self, column: object, weights: np.ndarray) -> np.ndarray:
            return column.truth @ weights / weights.sum(axis=0)

    share = Metric("share", Config, Share, label="share", tasks=("multiclass",), better="higher", monitor=False)
    with pytest.raises(UserError, match=r"metric.share cannot select the best epoch \[bad-option\]"):
        read_settings(None, {"monitor": "share"}, discover(components=[share]))
