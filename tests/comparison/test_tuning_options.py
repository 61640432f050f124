"""What `--space`, `--choose`, `--prune` change, and how scikit-learn's rows are tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import write_study

from fusionkit.comparison import baselines, tuned_tables
from fusionkit.comparison.candidates import plan_comparison
from fusionkit.comparison.search_space import misfits, space_of
from fusionkit.comparison.space_file import read_space
from fusionkit.comparison.train import units_of
from fusionkit.comparison.trial_choice import MedianRule, chosen_trial, standard_error
from fusionkit.comparison.tuned_tables import TableSearch
from fusionkit.comparison.tuning import Tuning, tuning_of
from fusionkit.components.search import Search
from fusionkit.errors import UserError
from fusionkit.registry.lookup import discover


def test_a_file_overrides_what_is_tried(tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    plan = plan_comparison(graph, data, (), "both", "fusion.sum", registry=discover(), flags={},
                           singles=False).reference.plan
    (tmp_path / "space.yaml").write_text("""\
training.weight_decay: keep
training.learning_rate: {low: 0.002, high: 0.02, log: true}
training.batch_size: [7, 11]
nodes.*.dropout: [0.2, 0.4]
nodes.result.dropout: keep
nodes.told.width: [5]
""")
    found = read_space(tmp_path / "space.yaml")
    assert misfits([plan], found.overrides) == {}
    assert space_of(plan, found.overrides) == {
        "training.learning_rate": Search(low=0.002, high=0.02, log=True), "training.batch_size": Search((7, 11)),
        "nodes.told.dropout": Search((0.2, 0.4)), "nodes.seen.dropout": Search((0.2, 0.4)),
        "nodes.told.width": Search((5,))}
    found.check(["training.learning_rate", "training.weight_decay", "training.batch_size", "nodes.result.dropout",
                 "nodes.told.width"], {})
    with pytest.raises(UserError) as caught:
        found.check(["training.learning_rate", "training.weight_decays", "training.batch_size", "nodes.a.dropout"], {})
    told = str(caught.value)
    assert "space.yaml:1:1" in told and "did you mean 'training.weight_decays'" in told and "'nodes.told.width'" in told
    assert misfits([plan], {"nodes.told.width": {"low": 2, "high": 5}, "nodes.told.dropout": ["high"],
                            "training.batch_size": [5, "many"]}).keys() == {"nodes.told.width", "nodes.told.dropout"}


@pytest.mark.parametrize(("text", "says"), [
    ("training.learning_rate: 0.1", "it is a single value"), ("training.learning_rate: []", "one choice or more"),
    ("training.learning_rate: {low: 1}", "a range has low and high"),
    ("training.learning_rate: {low: 2, high: 1}", "a low and a high number"),
    ("training.learning_rate: {low: 0, high: 1, log: true}", "above 0"), ("[1]", "the file names no settings")])
def test_a_wrong_space_is_told_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        read_space(tmp_path / "space.yaml")
    assert says in str(caught.value) and "space.yaml:1:" in str(caught.value)


def told(trial: int, scores: list[float], weights: int) -> dict[str, Any]:
    return {"trial": trial, "scores": scores, "score": sum(scores) / len(scores) if scores else None,
            "weights": weights}


def test_one_standard_error_takes_the_smallest_that_is_not_shown_to_be_worse() -> None:
    # The best has the mean 0.8 and the standard error 0.1 / sqrt(3).
    trials = [told(0, [0.73, 0.75, 0.77], 300), told(1, [0.7, 0.8, 0.9], 500), told(2, [0.74, 0.74, 0.74], 300),
              told(3, [0.742, 0.742, 0.742], 100), told(4, [], 10)]
    assert standard_error(trials[1]["scores"]) == pytest.approx(0.057735, abs=1e-6)
    assert [chosen_trial(trials, rule)["trial"] for rule in ("best", "one-se")] == [1, 0]  # type: ignore[index]
    trials[3] = told(3, [0.743, 0.743, 0.743], 100)
    assert chosen_trial(trials, "one-se")["trial"] == 3  # type: ignore[index]
    assert chosen_trial([told(0, [], 1)], "one-se") is None


def test_the_median_rule_ends_what_is_below_the_middle() -> None:
    before = [told(trial, [trial / 10, 0.5, 0.5], 1) for trial in range(5)]
    assert not MedianRule(before[:4]).ends([-1.0]), "the first five trials are finished"
    assert MedianRule(before).ends([0.15]) and not MedianRule(before).ends([0.25])
    rule = MedianRule(before)
    # The means of the earlier ones over two folds are 0.25 to 0.45, their median is 0.35.
    assert not rule.ends([0.25]) and rule.ends([0.25, 0.4])


def test_options_of_the_search_are_refused_where_they_mean_nothing() -> None:
    for given, says in (({"trials": None, "prune": True}, "belong to --tune"),
                        ({"trials": 3, "prune": True}, "--prune needs inner folds"),
                        ({"trials": 3, "rule": "one-se"}, "--choose one-se needs inner folds")):
        with pytest.raises(UserError, match=says):
            tuning_of(inner="holdout", **given)
    with pytest.raises(UserError, match=r"--inner, .* belong to --tune"):
        tuning_of(None, "3")
    assert tuning_of(3, "2", rule="one-se", prune=True, space={}) == Tuning(3, 2, "one-se", True, {})


def test_scikit_learn_is_tuned_like_the_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, data = write_study(tmp_path)
    made = plan_comparison(graph, data, (), "both", "fusion.sum", registry=discover(), flags={}, singles=False, folds=2)
    cohorts, heads = [made.cohort], made.reference.plan.heads
    units = units_of(made, cohorts)
    tuning = Tuning(2, 2, space={"tables.max_depth": [1, 2], "nodes.*": "keep"})
    fitted: list[tuple[str, Any]] = []
    fit = baselines.fitted

    def watched(name: str, cohort: Any, head: Any, table: Any, unit: Any, **more: Any) -> Any:
        fitted.append((name, unit))
        return fit(name, cohort, head, table, unit, **more)

    monkeypatch.setattr(tuned_tables.baselines, "fitted", watched)
    names = ("logistic regression", "gradient boosting")
    search = TableSearch(tuning, [0], heads, tmp_path)
    first = baselines.fit_baselines(cohorts, units, heads, 0, names=names, chosen=search.on("lab"))
    assert len(fitted) == 2 * 2 * (2 * 2 + 1), "two models, two folds: two trials on two inner folds, and the last fit"
    divisions = [tuning.divisions(made.cohort, unit.train, (0, 0, unit.fold or 0)) for unit in units]
    assert [(unit.train, unit.test) for _, unit in fitted[:4]] == divisions[0] * 2
    assert not any(set(unit.test) & set(units[0].test) for _, unit in fitted[:4])
    found = search.records()
    assert list(found) == ["logistic regression on lab", "gradient boosting on lab"]
    for records in found.values():
        assert [(each["fold"], each["trials"], each["failed"]) for each in records] == [(0, 2, []), (1, 2, [])]
        assert all(each["score"] >= each["default_score"] for each in records)
    assert {each["values"].get("tables.max_depth", 1) for each in found["gradient boosting on lab"]} <= {1, 2}
    fitted.clear()
    again = TableSearch(tuning, [0], heads, tmp_path)
    second = baselines.fit_baselines(cohorts, units, heads, 0, names=names, chosen=again.on("lab"))
    assert len(fitted) == 2 * 2 and again.records() == found, "what was chosen is kept"
    for name in names:
        assert np.array_equal(first[name][0].heads["result"].values, second[name][0].heads["result"].values)
    assert TableSearch(Tuning(4, 2), [0], heads, tmp_path).records() == {}, "another search chooses anew"
