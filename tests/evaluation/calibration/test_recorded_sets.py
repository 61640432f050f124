"""Prediction sets and intervals: as recorded from libraries, one score a patient, runs of grades, and coverage."""

from __future__ import annotations

import json
from math import inf
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.errors import UserError
from fusionkit.evaluation.calibration import Choices, apply_head, fit_head
from fusionkit.evaluation.calibration.class_sets import scores_of, sets_of
from fusionkit.evaluation.calibration.conformal import one_of_each, rank
from fusionkit.evaluation.calibration.spread import coverage_spread

with np.load(GOLDEN / "outcomes" / "conformal.npz") as file:
    CASE = {key: file[key] for key in file.files}
WANTED = json.loads(str(CASE["out"]))
RANKS = json.loads((GOLDEN / "outcomes" / "conformal_rank.json").read_text(encoding="utf-8"))["rows"]
CLASSES = ("a", "b", "c", "d")
COLUMNS = ("q05", "q95", "middle", "sd")
ALPHAS = (0.1, 0.2)


def sets(alpha: float, task: str = "multiclass", **choices: Any) -> tuple[Any, Any]:
    chosen = Choices(alpha=alpha, **choices)
    fitted = fit_head(task, CLASSES, CASE["cls_p_cal"], CASE["cls_y_cal"], chosen)
    return fitted, apply_head(fitted, CASE["cls_p_test"], chosen).sets


def covered(inside: Any) -> float:
    return float(inside[np.arange(len(inside)), CASE["cls_y_test"]].mean())


@pytest.mark.parametrize("row", RANKS)
def test_ranks_are_as_recorded(row: dict[str, Any]) -> None:
    assert rank(row["n"], float(row["alpha"])) == row["k"]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_sets_are_as_recorded(alpha: float) -> None:
    fitted, inside = sets(alpha)
    assert fitted.thresholds[0] == pytest.approx([WANTED[f"lac_threshold_{alpha}"]] * 4, abs=1e-12)
    assert np.array_equal(inside, CASE[f"out_lac_{alpha}"])
    assert covered(inside) == pytest.approx(WANTED[f"coverage_{alpha}"]["lac"])
    fitted, inside = sets(alpha, class_conditional=True)
    wanted = [inf if value == "inf" else value for value in WANTED[f"class_conditional_thresholds_{alpha}"]]
    assert [inf if value is None else value for value in fitted.thresholds[0]] == pytest.approx(wanted, abs=1e-12)
    assert np.array_equal(inside, CASE[f"out_class_conditional_{alpha}"])
    assert fitted.counts == (tuple(np.bincount(CASE["cls_y_cal"], minlength=4).tolist()),)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_adaptive_sets_are_as_recorded_and_never_empty(alpha: float) -> None:
    fitted, inside = sets(alpha, sets="aps")
    limit = WANTED[f"aps_threshold_{alpha}"]
    assert fitted.thresholds[0] == pytest.approx([limit] * 4, abs=1e-12)
    assert np.array_equal(inside, CASE[f"out_aps_never_empty_{alpha}"]) and inside.any(axis=1).all()
    plain = scores_of(CASE["cls_p_test"], "aps") <= fitted.thresholds[0][0]
    assert np.array_equal(plain, CASE[f"out_aps_{alpha}"])
    assert covered(plain) == pytest.approx(WANTED[f"coverage_{alpha}"]["aps"])


def test_equal_probabilities_of_adaptive_sets_come_in_the_order_of_the_classes() -> None:
    assert scores_of(np.array([[0.3, 0.4, 0.3]]), "aps")[0] == pytest.approx([0.7, 0.4, 1.0])


def test_many_classes_may_have_sets_with_a_penalty_for_length() -> None:
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(23, 0.2), 1400)
    truth = np.array([rng.choice(23, p=row) for row in shares])
    names, sizes = tuple(map(str, range(23))), {}
    for kind in ("aps", "raps"):
        choices = Choices.model_validate({"alpha": 0.05, "sets": kind})
        fitted = fit_head("multiclass", names, shares[:700], truth[:700], choices)
        inside = apply_head(fitted, shares[700:], choices).sets
        assert fitted.sets == kind and inside[np.arange(700), truth[700:]].mean() > 0.93 and inside.any(axis=1).all()
        sizes[kind] = inside.sum(axis=1)
    assert sizes["raps"].max() < sizes["aps"].max()
    by_hand = scores_of(np.array([[0.3, *[0.7 / 22] * 22]]), "raps")[0]
    assert by_hand[:8] == pytest.approx([0.3 + 0.7 / 22 * place + 0.01 * max(0, place - 4) for place in range(8)])
    for task, few in (("multiclass", shares[:, :4] / shares[:, :4].sum(axis=1, keepdims=True)),
                      ("multilabel", np.full((1400, 4), 0.3))):
        with pytest.raises(UserError, match="'raps' are for more than 20 classes"):
            fit_head(task, CLASSES, few, truth % 4 if task == "multiclass" else np.eye(4)[truth % 4],
                     Choices(sets="raps"))


def intervals(kind: str, alpha: float, cases: int = 60, drop: tuple[str, ...] = ()) -> tuple[Any, Any]:
    choices = Choices.model_validate({"alpha": alpha, "intervals": kind})
    told = [{name: CASE[part][:, place] for place, name in enumerate(COLUMNS) if name not in ("middle", *drop)}
            for part in ("reg_cal", "reg_test")]
    fitted = fit_head("regression", ("age",), CASE["reg_cal"][:cases, 2:3], CASE["reg_y_cal"][:cases, None], choices,
                      details={name: values[:cases] for name, values in told[0].items()})
    return fitted, apply_head(fitted, CASE["reg_test"][:, 2:3], choices, details=told[1])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("kind,recorded", [("absolute", "split"), ("normalised", "normalised"), ("cqr", "cqr"),
                                           ("cqr-asymmetric", "cqr_asymmetric")])
def test_intervals_are_as_recorded(kind: str, recorded: str, alpha: float) -> None:
    fitted, found = intervals(kind, alpha)
    np.testing.assert_allclose(found.bounds[:, 0], CASE[f"out_{recorded}_{alpha}"], rtol=0, atol=1e-12)
    if kind.startswith("cqr"):
        told = WANTED[f"cqr_{alpha}"]
        wanted = [told["q"]] if kind == "cqr" else [told["q_low"], told["q_high"]]
        assert fitted.thresholds[0] == pytest.approx(wanted, abs=1e-12)


def test_a_head_has_the_intervals_that_it_tells_enough_for() -> None:
    assert intervals("auto", 0.1)[0].intervals == ("cqr",)
    assert intervals("auto", 0.1, drop=("q05",))[0].intervals == ("normalised",)
    assert intervals("auto", 0.1, drop=("q05", "sd"))[0].intervals == ("absolute",)
    for kind, words in (("cqr", "the head tells no quantiles"), ("normalised", "the head tells no standard dev")):
        with pytest.raises(UserError) as caught:
            intervals(kind, 0.1, drop=("q05", "sd"))
        found = caught.value.diagnostics[0]
        assert found.code == "interval-not-told" and words in str(found.why) and found.fix


def test_each_side_needs_cases_for_half_of_alpha() -> None:
    fitted, found = intervals("cqr-asymmetric", 0.1, cases=15)
    assert fitted.thresholds == ((None, None),) and np.isinf(found.bounds).all()
    assert fitted.notes == ("age: too few cases for alpha 0.1, which needs 19: the interval contains every value",)
    assert np.isfinite(intervals("cqr", 0.1, cases=15)[1].bounds).all()


def test_quantiles_moved_past_each_other_are_an_empty_interval_at_their_middle() -> None:
    truth = np.zeros((30, 1))
    wide = {"q05": np.full(30, -5.0), "q95": np.full(30, 5.0)}
    choices = Choices()
    fitted = fit_head("regression", ("age",), truth, truth, choices, details=wide)
    assert fitted.thresholds == ((-5.0,),)
    found = apply_head(fitted, np.zeros((2, 1)), choices,
                       details={"q05": np.array([-5.0, 1.0]), "q95": np.array([6.0, 3.0])})
    assert found.bounds[:, 0].tolist() == [[0, 1], [2, 2]] and found.empty[:, 0].tolist() == [False, True]
    assert found.at([1]).empty.all() and found.joined([found]).empty.sum() == 2


def test_grades_have_runs_that_grow_from_the_median_to_the_likelier_neighbour() -> None:
    p = np.array([[0.1, 0.15, 0.4, 0.05, 0.3]])
    assert scores_of(p, "runs")[0] == pytest.approx([0.65, 0.55, 0.4, 0.7, 1.0])
    for limit, wanted in ((0.0, [2]), (0.3, [2]), (0.41, [1, 2]), (0.6, [0, 1, 2]), (inf, [0, 1, 2, 3, 4])):
        assert np.flatnonzero(sets_of(p, np.full(5, limit), "runs")[0]).tolist() == wanted


@pytest.mark.parametrize("by_class", [False, True])
def test_sets_of_grades_have_no_gaps_and_keep_their_promise(by_class: bool) -> None:
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.full(5, 0.6), 6000)
    truth = np.array([rng.choice(5, p=row) for row in shares])
    choices = Choices(alpha=0.2, class_conditional=by_class, sets="lac")
    fitted = fit_head("ordinal", tuple("abcde"), shares[:1000], truth[:1000], choices)
    inside = apply_head(fitted, shares[1000:], choices).sets
    assert fitted.sets == "runs" and inside.any(axis=1).all()
    assert ((inside[:, 1:] & ~inside[:, :-1]).sum(axis=1) + inside[:, 0] == 1).all()
    right = inside[np.arange(5000), truth[1000:]]
    assert right.mean() > 0.8 - 0.03 and (not by_class or min(
        right[truth[1000:] == grade].mean() for grade in range(5)) > 0.8 - 0.06)


def test_a_patient_has_one_score() -> None:
    owners = [row // 3 for row in range(60)]
    assert one_of_each(owners).sum() == 20 and one_of_each(list(range(60))).all()
    truth = np.arange(60.0)[:, None]
    fitted = fit_head("regression", ("age",), np.zeros((60, 1)), truth, Choices(alpha=0.2), patients=owners)
    assert (fitted.cases, fitted.patients, fitted.counts) == (60, 20, ((20,),))
    chosen = np.sort(truth[one_of_each(owners), 0])
    assert fitted.thresholds == ((chosen[rank(20, 0.2) - 1],),)
    alone = fit_head("regression", ("age",), np.zeros((60, 1)), truth, Choices(alpha=0.2), patients=list(range(60)))
    assert alone.patients is None and alone.thresholds == ((48.0,),)


def test_a_patient_has_one_score_of_each_class_where_classes_have_their_own() -> None:
    shares, truth = np.tile([0.7, 0.3], (40, 1)), np.array([0, 1] * 20)
    fitted = fit_head("multiclass", ("a", "b"), shares, truth, Choices(class_conditional=True),
                      patients=[row // 4 for row in range(40)])
    assert fitted.counts == ((10, 10),) and fitted.patients == 10


def test_the_spread_of_the_coverage_is_a_beta_distribution() -> None:
    found = coverage_spread(60, 0.1)
    assert str(found) == "0.902 (0.816 to 0.962)"
    from scipy.stats import beta

    for cases, alpha in ((60, 0.1), (9, 0.1), (500, 0.05), (3000, 0.3)):
        place = rank(cases, alpha)
        assert coverage_spread(cases, alpha)[1:] == pytest.approx(
            beta.ppf([0.025, 0.975], place, cases + 1 - place), abs=1e-9)
    assert coverage_spread(5, 0.1) == (1, 1, 1)
