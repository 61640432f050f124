import dataclasses

import numpy as np
import pytest

from fusionkit.evaluation.bootstrap import bootstrap, draw, sample_metrics
from fusionkit.evaluation.chosen_metrics import default_metrics
from fusionkit.evaluation.metrics import Measured, measure
from fusionkit.evaluation.predictions import collect

from .cohorts import classified, labelled, names, valued

COHORTS = {
    "two classes": ("multiclass", 2, classified(17, 97, 2)),
    "two classes, ties": ("multiclass", 2, classified(17, 97, 2, rounded=True)),
    "five classes": ("multiclass", 5, classified(19, 211, 5)),
    "five classes, ties": ("multiclass", 5, classified(19, 211, 5, rounded=True)),
    "labels": ("multilabel", 3, labelled(23, 101, 3)),
    "labels, some unknown": ("multilabel", 3, labelled(23, 101, 3, unknown=0.3)),
    "one output": ("regression", 1, valued(29, 83)),
    "two outputs": ("regression", 2, valued(29, 83, 2)),
}


@pytest.fixture(params=COHORTS)
def outcomes(request):
    task, count, (targets, predictions) = COHORTS[request.param]
    return collect(task, names(count), targets, predictions)


def assert_same(samples, measured):
    """One column of samples against point values; both undefined in the same places."""
    for of, scores in {None: measured.overall, **measured.per_class}.items():
        found = {name: samples[of][name][0] for name in scores}
        assert found == pytest.approx({name: score.value for name, score in scores.items()}, abs=1e-12, nan_ok=True), of


def test_weights_of_one_give_the_point_values(outcomes):
    measured = measure(outcomes)
    assert_same(sample_metrics(outcomes, measured, np.ones((outcomes.cases, 1))), measured)


def test_a_resample_equals_its_cases_written_out(outcomes):
    counts = np.random.default_rng(31).multinomial(outcomes.cases, np.full(outcomes.cases, 1 / outcomes.cases))
    chosen = np.repeat(np.arange(outcomes.cases), counts)
    drawn = dataclasses.replace(outcomes, targets=outcomes.targets[chosen], predictions=outcomes.predictions[chosen])
    # A fit may fail for one class of the resample alone, of which a mean over classes then knows nothing.
    metrics = [metric for metric in default_metrics() if metric.declared.resamples is None]
    measured = measure(outcomes, metrics)
    assert_same(sample_metrics(outcomes, measured, counts[:, None].astype(float)), measure(drawn, metrics))


def test_undefined_resamples_are_where_the_cases_written_out_have_no_value():
    targets, probabilities = classified(37, 11, 2)
    outcomes = collect("multiclass", names(2), targets, probabilities)
    only_first = (targets == 0).astype(float)[:, None]
    chosen = targets == 0
    drawn = dataclasses.replace(outcomes, targets=outcomes.targets[chosen], predictions=outcomes.predictions[chosen])
    assert_same(sample_metrics(outcomes, measure(outcomes), only_first), measure(drawn))


def test_the_seed_alone_decides_and_the_parts_do_not(monkeypatch):
    outcomes = collect("multiclass", names(3), *classified(41, 61, 3))
    measured = measure(outcomes)
    first = bootstrap(outcomes, measured, seed=5, resamples=50)
    monkeypatch.setattr("fusionkit.evaluation.bootstrap._WEIGHTS_AT_ONCE", 61 * 7)
    assert len(list(draw(outcomes, 61, seed=5, resamples=50))) == 8
    again, other = (bootstrap(outcomes, measured, seed=seed, resamples=50) for seed in (5, 6))
    for name, interval in first.overall.items():
        # Products of other widths may round differently.
        assert again.overall[name].low == pytest.approx(interval.low, rel=1e-12)
        assert again.overall[name].high == pytest.approx(interval.high, rel=1e-12)
    assert other != first


def test_cases_of_one_patient_are_drawn_together():
    patients = np.repeat(np.arange(13), 3)
    outcomes = collect("multiclass", names(2), *classified(43, 39, 2), patients=patients.tolist())
    (weights,) = draw(outcomes, 13, seed=0, resamples=20)
    assert weights.shape == (39, 20)
    assert (weights.sum(axis=0) == 39).all()
    assert (weights.reshape(13, 3, 20) == weights.reshape(13, 3, 20)[:, :1]).all()


def test_copies_of_a_case_do_not_narrow_an_interval_over_patients():
    targets, probabilities = classified(47, 60, 2)
    copied = [np.repeat(part, 9, axis=0) for part in (targets, probabilities)]

    def width(*cohort, patients=None):
        outcomes = collect("multiclass", names(2), *cohort, patients=patients)
        interval = bootstrap(outcomes, measure(outcomes), resamples=400).overall["auroc"]
        return interval.high - interval.low

    alone = width(targets, probabilities)
    assert width(*copied, patients=np.repeat(np.arange(60), 9).tolist()) == pytest.approx(alone)
    assert width(*copied) < 0.5 * alone


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(53)
    held = {"accuracy": 0, "sensitivity": 0, "auroc": 0}
    # Scores of the sick are those of the healthy, one standard deviation up: AUROC and sensitivity follow from that.
    truth = {"accuracy": 0.6915, "sensitivity": 0.6915, "auroc": 0.7602}
    known = tuple(metric for metric in default_metrics() if metric.key in held)
    for _ in range(200):
        sick = generator.random(120) < 0.5
        score = 1 / (1 + np.exp(-(generator.normal(size=120) + sick - 0.5)))
        outcomes = collect("multiclass", names(2), sick, np.stack([1 - score, score], axis=1))
        weights = next(draw(outcomes, 120, seed=0, resamples=200))
        samples = sample_metrics(outcomes, Measured({}, metrics=known), weights)[None]
        for name, true in truth.items():
            low, high = np.quantile(samples[name], [0.025, 0.975])
            held[name] += low <= true <= high
    assert all(0.88 <= count / 200 <= 0.99 for count in held.values()), held


def test_intervals_lie_around_their_values(outcomes):
    measured = measure(outcomes)
    intervals = bootstrap(outcomes, measured, resamples=300)
    for name in set(measured.overall) - {"ece", "ici"}:
        interval = intervals.overall[name]
        assert interval.low < measured.overall[name].value < interval.high, name


def of(targets, probabilities, patients=None, resamples=200):
    outcomes = collect("multiclass", ["no", "yes"], targets, probabilities, patients=patients)
    return bootstrap(outcomes, measure(outcomes), resamples=resamples).overall


def test_one_patient_has_no_interval():
    found = of([0, 1], [[0.9, 0.1], [0.2, 0.8]], ["p", "p"])["auroc"]
    assert np.isnan(found.low)
    assert found.note == "no interval from one patient"
    assert of([0], [[0.9, 0.1]])["accuracy"].note == "no interval from one case"


def test_no_resamples_no_intervals_no_cases_no_fault():
    assert np.isnan(of([0, 1], [[0.9, 0.1], [0.2, 0.8]], resamples=0)["accuracy"].high)
    assert np.isnan(of([], np.zeros((0, 2)))["accuracy"].high)


def test_what_is_undefined_has_no_interval():
    found = of([0, 0, 0], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert np.isnan(found["sensitivity"].low)
    assert not np.isnan(found["specificity"].low)


def test_notes_tell_of_undefined_resamples_and_of_intervals_without_width():
    certain = [[0.9, 0.1]] * 9 + [[0.2, 0.8]]
    found = of([0] * 9 + [1], certain)
    assert "resamples in which it is defined" in found["sensitivity"].note
    assert found["accuracy"].note == "all resamples agree, so the interval does not reflect the uncertainty"


def test_an_interval_from_few_resamples_is_not_given():
    # One sick patient is in 63 % of the resamples; two classes of one case each are both in 40 % of them.
    found = of([1] + [0] * 29, [[0.1, 0.9]] + [[0.9, 0.1]] * 29, ["sick"] + [f"p{i}" for i in range(29)])
    assert not np.isnan(found["sensitivity"].low)
    targets, probabilities = classified(59, 40, 4)
    targets[:] = np.repeat([0, 1], 20)
    targets[:2] = 2, 3
    outcomes = collect("multiclass", names(4), targets, probabilities)
    macro = bootstrap(outcomes, measure(outcomes), resamples=500).overall["sensitivity"]
    assert np.isnan(macro.low)
    assert macro.note.startswith("no interval: defined in ")


def test_of_very_many_cases_and_classes_fewer_are_drawn_and_it_is_said(monkeypatch):
    task, count, (targets, predictions) = COHORTS["five classes"]
    outcomes = collect(task, names(count), targets, predictions)
    measured = measure(outcomes)
    whole = bootstrap(outcomes, measured, resamples=300).overall["auroc"]
    monkeypatch.setattr("fusionkit.evaluation.bootstrap._WORK", 137 * outcomes.cases * count)
    fewer = bootstrap(outcomes, measured, resamples=300).overall["auroc"]
    assert (whole.resamples, fewer.resamples) == (None, 137) and (whole.low, whole.high) != (fewer.low, fewer.high)
    monkeypatch.setattr("fusionkit.evaluation.bootstrap._WORK", 1)
    assert bootstrap(outcomes, measured, resamples=300).overall["auroc"].resamples == 100
