"""Claims within a margin, the split of the spread into folds and seeds, and how many repeats are enough."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.comparison.claim import Claim, claim_of
from fusionkit.comparison.equivalence import equivalence, equivalence_of_resamples
from fusionkit.comparison.significance import corrected_t
from fusionkit.comparison.spread import floor_of, outlook_of, repeats_needed, spread_of
from fusionkit.errors import UserError


@pytest.fixture(scope="module")
def recorded() -> Any:
    return json.loads((GOLDEN / "outcomes" / "comparing.json").read_text(encoding="utf-8"))


def test_claims_agree_with_recorded_ones(recorded: Any) -> None:
    share, margin = recorded["test_over_train"], recorded["margin"]
    found = equivalence(recorded["differences"], share, margin)
    assert found is not None and found.noninferior and found.equivalent
    np.testing.assert_allclose(
        [found.value, found.error, found.low, found.high, found.p_noninferior, found.p_equivalent],
        [recorded["mean"], recorded["se_corrected"], *recorded["interval_90"], recorded["p_non_inferior"],
         recorded["p_tost"]], atol=1e-9)
    both = corrected_t(recorded["differences"], share)
    np.testing.assert_allclose([both.low, both.high, both.p], [*recorded["interval_95"], recorded["p_two_sided"]],
                               atol=1e-9)
    plain = equivalence(recorded["differences"], 0.0, margin)
    assert plain is not None and plain.p_equivalent == pytest.approx(recorded["uncorrected"]["p_tost"], abs=1e-9)


def test_the_smallest_margin_is_where_the_claim_turns(recorded: Any) -> None:
    least = equivalence(recorded["differences"], 0.25)
    assert least is not None and least.p_noninferior is None and not least.noninferior and not least.equivalent
    for change, shown in ((1e-6, True), (-1e-6, False)):
        found = equivalence(recorded["differences"], 0.25, least.smallest_margin + change)
        assert found is not None and found.p_noninferior is not None
        assert found.noninferior is shown and (found.p_noninferior < 0.05) is shown
    assert equivalence([0.1], 0.25, 0.02) is None
    same = equivalence([0.0, 0.0], 0.25, 0.02)
    assert same is not None and same.equivalent and same.p_equivalent == 0


def test_superiority_without_a_margin_is_the_two_sided_test(recorded: Any) -> None:
    found = equivalence(recorded["differences"], recorded["test_over_train"], 0.0)
    assert found is not None
    assert found.p_superior == pytest.approx(recorded["p_two_sided"], abs=1e-9)
    worse = equivalence([-each for each in recorded["differences"]], recorded["test_over_train"], 0.0)
    assert worse is not None and worse.p_superior == 1.0


def test_claims_from_resamples_are_shares_beyond_the_bounds() -> None:
    samples = np.linspace(-0.03, 0.069, 100)
    found = equivalence_of_resamples(0.02, samples, 0.0205)
    assert found is not None
    assert (found.p_noninferior, found.p_equivalent) == pytest.approx(((10 + 1) / 101, (49 + 1) / 101))
    better = equivalence_of_resamples(0.02, samples, 0.0005)
    assert better is not None and better.p_superior == pytest.approx(2 * (31 + 1) / 101)
    np.testing.assert_allclose([found.low, found.high], np.quantile(samples, [0.05, 0.95]))
    assert equivalence_of_resamples(0.02, np.full(10, np.nan), 0.1) is None
    assert equivalence_of_resamples(np.nan, samples, 0.1) is None


def test_the_outlook_is_that_of_the_corrected_interval(recorded: Any) -> None:
    share = recorded["test_over_train"]
    found = outlook_of(recorded["differences"], 5, share, None)
    assert found is not None and found.repeats is None
    assert found.half_width == pytest.approx((recorded["interval_95"][1] - recorded["interval_95"][0]) / 2, abs=1e-9)
    wider = outlook_of(recorded["differences"], 5, share, found.half_width + 1e-9)
    assert wider is not None and wider.repeats == 2
    assert outlook_of([0.1], 5, share, 0.1) is None


@pytest.mark.parametrize(("margin", "kind", "wanted"), [
    (None, None, None), (0.02, None, Claim("noninferiority", 0.02)), (0.02, "equivalent", Claim("equivalence", 0.02)),
    (None, "superiority", Claim("superiority", 0.0))])
def test_what_is_asked_to_be_shown(margin: float | None, kind: str | None, wanted: Claim | None) -> None:
    assert claim_of(margin, kind) == wanted


@pytest.mark.parametrize(("margin", "kind", "says"), [
    (None, "equivalence", "needs --margin"), (-0.1, None, "--margin cannot be -0.1"),
    (float("nan"), "superiority", "--margin cannot be nan"), (0.0, None, "--margin cannot be 0"),
    (0.1, "betterness", "--claim cannot be 'betterness'")])
def test_claims_that_cannot_be_are_told(margin: float | None, kind: str | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        claim_of(margin, kind)


def test_the_spread_splits_into_folds_and_seeds_as_recorded(recorded: Any) -> None:
    for case in recorded["variance_split"]:
        found = spread_of(case["values"])
        np.testing.assert_allclose(
            [found.ms_fold, found.ms_seed, found.var_fold, found.var_seed, found.share, found.low, found.high,
             found.error_of_mean],
            [case["ms_fold"], case["ms_seed"], case["var_fold"], case["var_seed"], case["share_fold"],
             *case["share_interval_95"], case["se_of_mean"]], atol=1e-9)
    assert np.isnan(spread_of([[1.0, 1.0], [1.0, 1.0]]).share)


def test_repeats_that_are_enough(recorded: Any) -> None:
    for case in recorded["repeats"]:
        assert repeats_needed(case["sd"], case["half_width"], case["folds"], case["rho"]) == case["repeats"]
        assert floor_of(case["sd"], case["rho"]) == pytest.approx(case["floor"], abs=1e-12)
