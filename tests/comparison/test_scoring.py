"""Metrics, intervals and differences of networks that never were: what they say is made up here."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusionkit.comparison.baselines import fit_baselines
from fusionkit.comparison.claim import Claim
from fusionkit.comparison.equivalence import equivalence
from fusionkit.comparison.outcomes import HeadOutputs, RepeatOutputs
from fusionkit.comparison.scoring import metrics_of, rank_candidates
from fusionkit.comparison.significance import corrected_t
from fusionkit.comparison.spread import spread_of
from fusionkit.comparison.train import Unit
from fusionkit.data.readers.columns import ColumnValues, categories, fit
from fusionkit.data.readers.columns_options import ColumnsOptions
from fusionkit.data.targets import TargetValues
from fusionkit.errors import UserError
from fusionkit.evaluation.chosen_metrics import ChosenMetric, default_metrics
from fusionkit.evaluation.delong import auroc_difference
from fusionkit.evaluation.differences import holm
from fusionkit.registry.lookup import discover
from fusionkit.registry.tasks import task_named

CASES = 90
KINDS = {"own": "reference", "twin": "candidate", "good": "candidate", "bad": "candidate", "half": "single"}


class _Cohort(SimpleNamespace):
    """As much of a cohort as is asked for: ninety cases of forty-five patients."""

    def __len__(self) -> int:
        return CASES


def cohort(values: NDArray[Any], **more: Any) -> Any:
    present = np.ones(CASES, dtype=bool)
    return _Cohort(targets={"result": TargetValues(values, present)}, ids=[f"c{row}" for row in range(CASES)],
                   patients=[f"p{row // 2}" for row in range(CASES)], **{
                       "description": SimpleNamespace(patient="patient"), **more})


def head(task: str = "multiclass", names: tuple[str, ...] = ("no", "yes")) -> Any:
    return SimpleNamespace(name="result", task=task, declared_task=task_named(task), names=names)


def named(metric: str) -> ChosenMetric:
    return next(known for known in default_metrics() if known.key == metric)


def units(folds: int, repeats: int = 1) -> list[Unit]:
    if not folds:
        return [Unit(repeat, None, tuple(range(40)), tuple(range(40, CASES))) for repeat in range(repeats)]
    parts = [{row for row in range(CASES) if row // 2 % folds == fold} for fold in range(folds)]
    return [Unit(repeat, fold, tuple(sorted(set(range(CASES)) - part)), tuple(sorted(part)))
            for repeat in range(repeats) for fold, part in enumerate(parts)]


def said(truth: NDArray[np.int64], skill: float, seed: int, rows: NDArray[np.int64]) -> HeadOutputs:
    noise = np.random.default_rng(seed).normal(size=CASES)
    yes = 1 / (1 + np.exp(-(skill * (2 * truth - 1) + noise)))
    return HeadOutputs(rows, truth[rows].astype(float), np.stack([1 - yes, yes], axis=1)[rows])


def outcomes(skills: Mapping[str, float], folds: int, repeats: int = 1
             ) -> tuple[dict[str, tuple[RepeatOutputs, ...]], Any]:
    truth = np.random.default_rng(1).integers(0, 2, CASES)
    rows = np.array(sorted({row for unit in units(folds) for row in unit.test}))
    made = {}
    for name, skill in skills.items():
        chosen = rows[rows % 3 > 0] if name == "half" else rows
        made[name] = tuple(RepeatOutputs({"result": said(truth, skill, repeat + 10 * (name == "bad"), chosen)}, 1.0)
                           for repeat in range(repeats))
    return made, cohort(truth)


SKILLS = {"own": 0.6, "twin": 0.6, "good": 3.0, "bad": -0.5, "half": 0.6}


@pytest.mark.parametrize(("folds", "repeats"), [(5, 1), (3, 2), (0, 1), (0, 3)])
def test_equal_networks_are_equal_and_better_ones_better(folds: int, repeats: int) -> None:
    made, whole = outcomes(SKILLS, folds, repeats)
    found = rank_candidates(head(), named("auroc"), made, KINDS, units(folds, repeats), cohort=whole, resamples=400)
    rows = {row.name: row for row in found.rows}
    assert found.rows[0].name == "good"
    assert found.test == ("corrected resampled t" if folds else "paired bootstrap")
    twin = rows["twin"].difference
    assert twin is not None
    assert (twin.value, twin.low, twin.high, twin.p, twin.clear) == (0.0, 0.0, 0.0, 1.0, False)
    good = rows["good"].difference
    assert good is not None and good.value is not None and good.low is not None
    assert good.clear
    assert 0 < good.low < good.value
    for row in rows.values():
        assert len(row.values) == max(folds, 1) * repeats
        assert row.metric.value == pytest.approx(np.mean([value for value in row.values if value is not None]))
        assert row.metric.low is not None and row.metric.high is not None
        assert row.metric.low - 1e-9 <= row.metric.value <= row.metric.high + 1e-9


def test_candidates_and_baselines_are_corrected_apart() -> None:
    made, whole = outcomes(SKILLS, 5)
    rows = {row.name: row.difference for row in rank_candidates(head(), named("auroc"), made, KINDS, units(5),
                                                                cohort=whole, resamples=50).rows}
    assert rows["own"] is None
    names = ["twin", "good", "bad"]
    assert [rows[name].holm for name in names] == holm([rows[name].p for name in names])
    assert rows["half"].holm == rows["half"].p


def test_seeds_on_one_division_are_averaged_within_folds_and_their_spread_is_told() -> None:
    made, whole = outcomes({"own": 0.6, "bad": -0.5}, 5, 2)
    found = rank_candidates(head(), named("brier"), made, KINDS, units(5, 2), cohort=whole, resamples=50, seeds=2,
                            claim=Claim("noninferiority", 0.5))
    bad, own = (next(row for row in found.rows if row.name == name) for name in ("bad", "own"))
    assert bad.paired is not None and bad.paired.equivalence is not None and bad.paired.outlook is not None
    apart = np.array(bad.values, dtype=float) - np.array(own.values, dtype=float)
    folds = apart.reshape(2, 5).mean(axis=0)
    share = 18 / 72
    assert bad.paired.difference.p == pytest.approx(corrected_t(folds.tolist(), share).p)
    assert bad.spread == spread_of(np.reshape(np.array(bad.values, dtype=float), (2, 5)).T.tolist())
    assert bad.paired.spread == spread_of((-apart).reshape(2, 5).T.tolist())
    turned = equivalence((-folds).tolist(), share, 0.5)
    assert bad.paired.equivalence == turned
    assert turned is not None and turned.smallest_margin > bad.paired.difference.value > 0, "a worse Brier score"
    assert bad.paired.claim_holm == pytest.approx(turned.p_noninferior)
    assert bad.paired.outlook.half_width == pytest.approx(bad.paired.difference.high - bad.paired.difference.value)
    assert bad.paired.outlook.repeats == 1


def test_on_one_split_claims_are_tested_by_resamples_and_auroc_by_delong_too() -> None:
    made, whole = outcomes({"own": 0.6, "good": 3.0, "bad": -0.5}, 0)
    patients = whole.description.patient
    apart: dict[str, Any] = {}
    for name in (patients, None):
        whole.description.patient = name
        rows = rank_candidates(head(), named("auroc"), made, KINDS, units(0), cohort=whole, resamples=400,
                               claim=Claim("superiority", 0.0)).rows
        apart = {row.name: row.paired for row in rows}
        assert (apart["good"].delong is None) == (name is not None), "patients with two cases"
    tested = {name: made[name][0].heads["result"] for name in made}
    wanted = auroc_difference(tested["good"].values[:, 1], tested["own"].values[:, 1], tested["own"].targets == 1)
    assert (apart["good"].delong.value, apart["good"].delong.p) == (wanted.value, wanted.p)
    assert apart["good"].delong.holm == holm([wanted.p, apart["bad"].delong.p])[0]
    assert apart["good"].claim_holm < 0.05 < apart["bad"].claim_holm
    assert apart["good"].equivalence.smallest_margin == 0 < apart["bad"].equivalence.smallest_margin


def test_a_difference_is_over_the_cases_that_both_have() -> None:
    made, whole = outcomes({"own": 0.6, "half": 0.6}, 5)
    found = rank_candidates(head(), named("accuracy"), made, KINDS, units(5), cohort=whole, resamples=50)
    half = next(row for row in found.rows if row.name == "half")
    assert half.difference is not None
    assert half.difference.value == 0.0
    assert (half.cases, found.cases, found.patients) == (60, 90, 45)
    assert half.difference.cases == 60
    own = half.metric.value
    assert half.note == ("results for 60 of 90 cases; difference over the 60 of 90 cases that both have: "
                         f"{own:.3f} against {own:.3f}")


@pytest.mark.parametrize("folds", [5, 0])
def test_a_reference_that_lacks_cases_is_compared_on_those_that_it_has(folds: int) -> None:
    """Both have the same skill where both have a result: the case that only one has must not count."""
    made, whole = outcomes({"half": 0.6, "own": 0.6}, folds)
    easy = made["own"][0].heads["result"]
    alone = easy.rows % 3 == 0
    easy.values[alone] = np.stack([1 - easy.targets[alone], easy.targets[alone]], axis=1)
    found = rank_candidates(head(), named("accuracy"), made, {"half": "reference", "own": "candidate"}, units(folds),
                            cohort=whole, resamples=50)
    rows = {row.name: row for row in found.rows}
    assert rows["own"].metric.value > rows["half"].metric.value
    assert rows["own"].difference.value == 0
    tested, common = (90, 60) if folds else (50, 34)
    assert (rows["own"].cases, rows["own"].difference.cases) == (tested, common)
    assert rows["own"].note.startswith(f"difference over the {common} of {tested} cases that both have: ")
    assert rows["half"].note == f"results for {common} of {tested} cases"


def test_without_a_common_case_there_is_no_difference() -> None:
    made, whole = outcomes({"own": 0.6, "twin": 0.6}, 5)
    for name, keep in (("own", 0), ("twin", 1)):
        told = made[name][0].heads["result"]
        made[name] = (RepeatOutputs({"result": told.of(told.rows[told.rows % 2 == keep])}, 1.0),)
    row = next(row for row in rank_candidates(head(), named("accuracy"), made, KINDS, units(5), cohort=whole,
                                              resamples=50).rows if row.name == "twin")
    assert (row.difference.value, row.difference.p, row.difference.cases) == (None, None, 0)
    assert row.note == "results for 45 of 90 cases; difference over the 0 of 90 cases that both have"


def test_small_values_of_an_error_come_first() -> None:
    made, whole = outcomes(SKILLS, 5)
    found = rank_candidates(head(), named("brier"), made, KINDS, units(5), cohort=whole, resamples=50)
    assert found.lower_is_better
    assert found.rows[0].name == "good"


def test_folds_in_which_a_metric_is_undefined_are_left_out_and_counted() -> None:
    made, whole = outcomes({"own": 0.6, "bad": -0.5}, 5)
    last = np.array(units(5)[4].test)
    for outcome in (*made["own"], *made["bad"]):
        outcome.heads["result"].targets[last] = 1.0
    rows = {row.name: row for row in rank_candidates(head(), named("auroc"), made, KINDS, units(5), cohort=whole,
                                                     resamples=50).rows}
    assert rows["bad"].values[4] is None
    assert rows["bad"].difference.note == "undefined in 1 of 5 folds"


def test_a_metric_that_no_head_has_is_refused() -> None:
    both = [head(), SimpleNamespace(name="size", task="regression", declared_task=task_named("regression"))]
    chosen = metrics_of(both, None, discover())
    assert {name: metric.key for name, metric in chosen.items()} == {"result": "auroc", "size": "mae"}
    assert [*metrics_of(both, "metric.rmse", discover())] == ["size"]
    for typed, says in (("acuracy", "did you mean 'metric.accuracy'"),
                        ("mae", r"has the metric 'mae' \[unknown-metric\]"),
                        ("auroc,f1", r"names 2 metrics \[bad-metric\]"), ("auroc{bins: 3}", "has no option 'bins'")):
        with pytest.raises(UserError, match=says):
            metrics_of([head()], typed, discover())


def tabled(values: NDArray[Any], signal: NDArray[Any]) -> Any:
    """A cohort with one table: a number that tells the target, a category, and some rows without either."""
    numeric = signal[:, None] + np.random.default_rng(4).normal(0, 0.1, (CASES, 1))
    present = np.arange(CASES) % 7 > 0
    letters = tuple(("a" if row % 2 else "b",) if present[row] else ("",) for row in range(CASES))
    columns = ColumnValues(np.where(present[:, None], numeric, np.nan), letters, present)
    options = ColumnsOptions(numeric=("x",), categorical=("k",), fill="mean")

    def fitted(rows: Any) -> Any:
        return SimpleNamespace(columns={"table": fit(columns, options, rows, categories(columns, rows))})

    return cohort(values, sizes={"table": (2,)}, columns={"table": columns}, fit=fitted, description=SimpleNamespace(
        patient="patient", inputs={"table": SimpleNamespace(options=options)}))


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_scikit_learn_finds_what_a_table_tells(task: str) -> None:
    pytest.importorskip("sklearn")
    truth = np.random.default_rng(1).integers(0, 2, CASES)
    values = {"multiclass": truth, "multilabel": np.stack([truth, 1 - truth], 1).astype(np.float32),
              "regression": truth[:, None].astype(np.float32)}[task]
    names = ("a",) if task == "regression" else ("no", "yes")
    found = fit_baselines([tabled(values, truth)], units(3), [head(task, names)], 0)
    assert list(found) == ["linear regression" if task == "regression" else "logistic regression", "gradient boosting"]
    for outcomes_of in found.values():
        told = outcomes_of[0].heads["result"]
        assert sorted(told.rows.tolist()) == list(range(CASES))
        there = told.rows % 7 > 0
        right = (told.values[:, 0] if task != "multiclass" else told.values[:, 1])[there]
        assert np.corrcoef(right, truth[told.rows[there]])[0, 1] > 0.9


def test_a_class_without_training_cases_gets_no_probability() -> None:
    pytest.importorskip("sklearn")
    truth = np.where(np.arange(CASES) < 40, np.arange(CASES) % 2, 2)
    found = fit_baselines([tabled(truth, truth)], units(0), [head(names=("a", "b", "c"))], 0)
    for outcomes_of in found.values():
        values = outcomes_of[0].heads["result"].values
        assert np.all(values[:, 2] == 0)
        assert values.sum(axis=1) == pytest.approx(1)
    lone = fit_baselines([tabled(np.zeros(CASES, dtype=np.int64), truth)], units(0), [head()], 0)
    assert np.all(lone["gradient boosting"][0].heads["result"].values == [1, 0])
