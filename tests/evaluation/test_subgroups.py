"""Groups of cases: recorded numbers, groups that are too small, patients in two groups."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.evaluation.differences import holm
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.subgroups import Subgroups, subgroups
from fusionkit.registry.tasks import task_named

FOUND = json.loads((GOLDEN / "outcomes" / "subgroups.json").read_text())
# The recorded draws number patients by size, ours by their first case.
ORDER = np.argsort(FOUND["patient"], kind="stable")
FOUND |= {key: [FOUND[key][place] for place in ORDER] for key in ("site", "sex", "patient", "y", "p")}
PEOPLE = ("sex", "site")


def grouped(column: str, reference: str | None = None, resamples: int = 200, **other: Any) -> Subgroups:
    p, said = np.array(FOUND["p"]), {"y": FOUND["y"], "patient": FOUND["patient"], column: FOUND[column], **other}
    outcomes = collect("multiclass", ["no", "yes"], said["y"], np.stack([1 - p, p], 1), patients=said["patient"])
    return subgroups("ill", task_named("multiclass"), outcomes, said[column], column=column, reference=reference,
                     resamples=resamples)


@pytest.mark.parametrize("column", PEOPLE)
def test_values_counts_and_gaps_are_as_recorded(column: str) -> None:
    wanted, found = FOUND["out"][column], grouped(column)
    assert [group.name for group in found.groups] == wanted["groups"]
    assert [group.cases for group in found.groups] == wanted["n"]
    assert [group.counts["yes"] for group in found.groups] == wanted["positives"]
    for key in ("auroc", "sensitivity"):
        assert [group.metrics[key].value for group in found.groups] == pytest.approx(wanted[key], abs=1e-9)
    alarms = [1 - group.metrics["specificity"].value for group in found.groups]
    assert alarms == pytest.approx(wanted["false_positive_rate"], abs=1e-9)
    differences = [group.differences["auroc"].plain.value for group in found.groups]
    assert differences == pytest.approx(wanted["rest_difference"], abs=1e-9)
    gaps = found.gaps["yes"]
    assert gaps["equal_opportunity"].value == pytest.approx(wanted["equal_opportunity_gap"], abs=1e-9)
    assert gaps["equalised_odds"].value == pytest.approx(wanted["equalized_odds_gap"], abs=1e-9)
    rates = wanted["selection_rate"]
    assert gaps["parity"].value == pytest.approx(max(rates) - min(rates), abs=1e-9)


def test_intervals_are_as_recorded() -> None:
    wanted = FOUND["out"]["bootstrap_c_minus_a"]
    found = grouped("site", reference="a", resamples=wanted["resamples"]).groups[2].differences["auroc"].plain
    assert (found.value, found.low, found.high) == pytest.approx(
        (wanted["value"], wanted["low"], wanted["high"]), abs=1e-9)
    together = [group.differences["auroc"] for group in grouped("site").groups]
    for key in ("low", "high"):
        assert [getattr(each, key) for each in together] == pytest.approx(FOUND["out"]["max_t"][key], abs=1e-9)


def test_holm_is_as_recorded() -> None:
    assert holm(FOUND["out"]["holm"]["p"]) == pytest.approx(FOUND["out"]["holm"]["holm"], abs=1e-12)


def test_a_reference_is_compared_with_nothing() -> None:
    found = grouped("site", reference="b", resamples=11)
    assert found.against == "b"
    assert [bool(group.differences) for group in found.groups] == [True, False, True]


def test_a_group_of_few_cases_has_figures_and_no_difference_and_of_few_patients_counts_only() -> None:
    sites = ["tiny" if place < 3 else "small" if place < 20 else "large" for place in range(160)]
    large, small, tiny = grouped("site", resamples=11, site=sites).groups
    assert large.differences and small.metrics and not small.differences and "too few" in small.note
    assert not tiny.metrics and tiny.cases == 3 and "counts only" in tiny.note
    assert grouped("site", resamples=11, site=sites).gaps == {}


def test_a_patient_in_two_groups_is_drawn_once_for_both() -> None:
    """Each patient has one case in each group with one prediction: every resample has equal groups."""
    y, p = [0, 1] * 30, np.linspace(0.05, 0.95, 60)
    outcomes = collect("multiclass", ["no", "yes"], [*y, *y], np.tile(np.stack([1 - p, p], 1), (2, 1)),
                       patients=[*range(60), *range(60)])
    found = subgroups("ill", task_named("multiclass"), outcomes, ["one"] * 60 + ["two"] * 60, column="scanner",
                      resamples=19)
    assert all(group.differences["auroc"].plain.note == "equal for every case" for group in found.groups)
    assert found.groups[0].patients == found.groups[1].patients == 60


def test_gaps_by_chance_keep_the_outcomes_and_are_seeded() -> None:
    one, two = grouped("site", resamples=3).gaps["yes"], grouped("site", resamples=3).gaps["yes"]
    assert one == two
    assert 0 < one["equal_opportunity"].by_chance < 0.3
