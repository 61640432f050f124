"""Tasks: what a declaration refuses, and what the core asks of the bundled ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fusionkit.api import Config, Head, Task, TaskMethod
from fusionkit.components.config import ContractError
from fusionkit.components.outcomes import Outcomes
from fusionkit.errors import GraphError
from fusionkit.evaluation.predictions import collect
from fusionkit.registry.lookup import discover
from fusionkit.registry.tasks import task_named
from fusionkit.testing.conformance import check_component


def declared(**more: Any) -> Task:
    options = {"results": "values", "cells": "number", "main": "mae", **more}
    return Task("made", Config, options.pop("module", TaskMethod), **options)


@pytest.mark.parametrize(("changed", "says"), [
    ({"results": "numbers"}, "results='numbers'; choose one of classes, labels, values"),
    ({"cells": "word"}, "choose from class, label, number"), ({"cells": {}}, "choose from class"),
    ({"cells": {"grade": "class"}}, "is read as 'label' or 'number'"), ({"main": " "}, "main is empty"),
])
def test_declarations_that_are_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError, match=says):
        declared(**changed)


def test_a_head_and_a_registry_know_a_task_by_its_word_and_its_id() -> None:
    head = Head("made", _Values, object, rule="features: B _ -> B {values}", task="task.regression", names="values")
    assert head.task == "regression"
    assert task_named("task.regression") is task_named("regression") is task_named(task_named("regression"))
    with pytest.raises(GraphError, match=r"no component 'task\.recurrence'"):
        task_named("recurrence", discover())
    with pytest.raises(ContractError, match="is not the name of a task"):
        Head("made", _Values, object, rule="features: B _ -> B {values}", task="two words", names="values")


class _Values(Config):
    values: tuple[str, ...] = ("v",)


def test_a_metric_measures_tasks_of_the_same_form_and_no_targets_of_other_columns() -> None:
    grades = declared(results="classes", cells="class", main="auroc")
    assert grades.is_measured_by(("multiclass",)) and not grades.is_measured_by(("multilabel", "regression"))
    times = declared(cells={"time": "number"})
    assert times.is_measured_by(("made",)) and not times.is_measured_by(("regression",))
    assert times.keys == ("time",) and times.alike == "regression"


def test_counts_are_those_of_the_weights() -> None:
    counts = task_named("multiclass").method.counts(np.array([0, 2, 2]), np.array([1.0, 2.0, 0.5]), ("a", "b", "c"))
    assert counts == {"a": 1.0, "b": 0.0, "c": 2.5}
    labels = np.array([[1.0, np.nan], [1.0, 0.0]])
    assert task_named("multilabel").method.counts(labels, np.array([2.0, 1.0]), ("x", "y")) == {"x": 3.0, "y": 0.0}
    assert task_named("regression").method.counts(labels, np.ones(2), ("x", "y")) == {}


def test_outcomes_made_by_a_word_of_the_oldest_tasks_need_no_more() -> None:
    by_hand = Outcomes("multilabel", ("x",), np.array([[1.0]]), np.array([[0.7]]))
    assert by_hand.form == collect("multilabel", ("x",), [[1.0]], [[0.7]]).form == "labels"


class Short(TaskMethod):
    """A task whose tables have one cell too few."""

    def told(self, targets: Any, names: Any) -> dict[str, list[str]]:
        return {"target": [str(target) for target in targets[1:]]}

    def example(self, names: Any, cases: int, generator: Any) -> Any:
        return generator.normal(size=(cases, len(names)))

    def guess(self, targets: Any, names: Any, skill: float, generator: Any) -> Any:
        return targets + 1 - skill


class Light(Short):
    """A task that counts cases without their weights."""

    told = TaskMethod.told

    def counts(self, targets: Any, weights: Any, names: Any) -> dict[str, float]:
        return {"all": float(len(targets))}


class Refusing(Short):
    """A task that takes nothing."""

    told = TaskMethod.told

    def check(self, values: Any) -> str | None:
        return "it gave numbers"


@pytest.mark.parametrize(("module", "more", "says"), [
    (TaskMethod, {}, "it makes no example"), (Short, {}, "'target' does not have one cell for each case"),
    (Light, {}, "counts does not follow the weights"), (Refusing, {}, "the results of guess are refused"),
    (Short, {"results": "classes", "cells": "class", "main": "auroc"}, "example gives"),
    (type("Fine", (Short,), {"told": TaskMethod.told}), {"main": "auroc"}, "metric.auroc is not for task 'made'"),
    (lambda config: object(), {}, "its module gives no TaskMethod"),
])
def test_the_kit_finds_what_is_wrong(module: Any, more: dict[str, Any], says: str) -> None:
    finding, = check_component(declared(module=module, **more), ["task"])
    assert finding.result == "failed" and says in str(finding)


@pytest.mark.parametrize("name", [entry.id for entry in discover().entries if entry.kind == "task"])
def test_bundled_tasks_hold_to_the_contract(name: str) -> None:
    assert [str(found) for found in check_component(discover().load(name, of=Task)) if found.result != "ok"] == []
