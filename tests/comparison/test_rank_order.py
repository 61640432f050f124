"""Ranks of all networks over the folds, who is not shown to differ from whom, and how they learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionkit.comparison.learning import Learned, draw_learning, learning_table, learning_texts
from fusionkit.comparison.order_plot import order_figure
from fusionkit.comparison.rank_order import (
    RankOrder,
    critical_difference,
    order_table,
    order_texts,
    range_quantile,
    rank_order,
)
from fusionkit.comparison.scoring import HeadRanking, ScoreRow
from fusionkit.comparison.train import Unit
from fusionkit.evaluation.chosen_metrics import metrics_named
from fusionkit.evaluation.formatting import MetricResult
from fusionkit.evaluation.student import t_quantile
from fusionkit.registry.lookup import discover
from fusionkit.runs.training_mark import Curve

UNITS = [Unit(0, fold, tuple(range(40)), tuple(range(10))) for fold in range(5)]


def ranking_of(metric: str, values: dict[str, tuple[float | None, ...]], cases: dict[str, int] | None = None
               ) -> HeadRanking:
    rows = [ScoreRow(name, "candidate", MetricResult(0.5), own, (cases or {}).get(name, 50), None)
            for name, own in values.items()]
    return HeadRanking(None, metrics_named(metric, discover(), "--metric")[0], tuple(rows), 50, 50,  # type: ignore[arg-type]
                       "corrected resampled t")


@pytest.mark.parametrize(("count", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_range_of_normal_numbers_is_that_of_demsars_table(count: int, q: float) -> None:
    assert range_quantile(count) / np.sqrt(2) == pytest.approx(q, abs=1e-3)


def test_the_critical_difference_is_that_of_demsars_example() -> None:
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_networks_are_ranked_within_each_fold() -> None:
    order = rank_order(ranking_of("auroc", {"a": (0.6, 0.7, 0.8, 0.6, 0.7), "b": (0.9, 0.9, 0.9, 0.9, 0.9),
                                            "c": (0.6, 0.5, 0.9, 0.5, 0.5)}), UNITS)
    assert order is not None
    assert order.names == ("b", "a", "c")
    assert order.ranks == pytest.approx((1.1, 2.3, 2.6)), "ties have their mean rank"
    turned = rank_order(ranking_of("mae", {"a": (1.0, 2.0, 3.0, 1.0, 2.0), "b": (4.0, 4.0, 4.0, 4.0, 4.0)}), UNITS)
    assert turned is not None and turned.names == ("a", "b") and turned.ranks == (1.0, 2.0)


def test_networks_are_grouped_by_the_corrected_test() -> None:
    noise = np.array([0.01, -0.012, 0.004, 0.007, -0.009])
    share, bound = 10 / 40, t_quantile(0.975, 4)
    error = np.sqrt((1 / 5 + share) * noise.var(ddof=1))
    near, far = 0.7 * bound * error, 2.5 * bound * error
    base = np.full(5, 0.7)
    values = {"first": base + noise, "near": base - near, "far": base - far}
    order = rank_order(ranking_of("auroc", {name: tuple(own.tolist()) for name, own in values.items()}), UNITS)
    assert order is not None and order.names == ("first", "near", "far")
    assert order.groups == ((0, 1), (2, 2)), "equal differences in every fold are as clear as can be"
    assert [order.letters(place) for place in range(3)] == ["a", "a", "b"]
    names, rows = order_table(order)
    assert rows[1] == ["near", rows[1][1], "a"] and len(names) == 3


def test_groups_overlap_where_only_the_ends_differ() -> None:
    rng = np.random.default_rng(11)
    shared = rng.normal(0, 0.02, (3, 5))
    values = {name: tuple((0.8 - 0.03 * place + shared[place]).tolist()) for place, name in enumerate("abc")}
    order = rank_order(ranking_of("auroc", values), UNITS)
    assert order is not None
    clear = rank_order(ranking_of("auroc", {"a": values["a"], "c": tuple(v - 0.3 for v in values["c"])}), UNITS)
    assert clear is not None and clear.groups == ((0, 0), (1, 1))


def test_rows_that_lack_cases_or_folds_are_not_ranked() -> None:
    good = (0.6, 0.7, 0.8, 0.6, 0.7)
    found = ranking_of("auroc", {"a": good, "b": good[::-1], "alone": good, "failed": (*good[:4], None)}, {"alone": 41})
    order = rank_order(found, UNITS)
    assert order is not None and set(order.names) == {"a", "b"} and order.left_out == ("alone", "failed")
    assert "Not ranked" in order_texts(order)[-1]
    assert rank_order(found, UNITS[:1]) is None
    assert rank_order(ranking_of("auroc", {"a": good}), UNITS) is None


def test_seeds_of_a_fold_are_averaged() -> None:
    units = [Unit(seed, fold, tuple(range(40)), tuple(range(10))) for seed in range(2) for fold in range(2)]
    found = ranking_of("auroc", {"a": (0.9, 0.1, 0.5, 0.5), "b": (0.6, 0.6, 0.6, 0.6)})
    order = rank_order(found, units, seeds=2)
    assert order is not None and order.count == 2 and order.ranks == (1.5, 1.5)


def test_the_picture_names_every_network_and_group() -> None:
    order = RankOrder(("b", "a<1>"), (1.2, 1.8), ((0, 1),), 0.9, 5)
    texts = [text.get_text() for axes in order_figure(order).axes for text in axes.get_yticklabels()]
    assert {"b", "a<1>"} <= set(texts)


def test_learning_curves_tell_who_was_not_trained_out(tmp_path: Path) -> None:
    done = Curve([1.0, 0.5, 0.4, 0.4, 0.4], {1: 1.0, 3: 0.6, 5: 0.9}, 3)
    longer = Curve([1.0, 0.8, 0.6], {}, 3)
    found = {"a": Learned((done, Curve([3.0], {1: 2.0}, 1)), ""),
             "b": Learned((longer,), "training loss still falling")}
    assert [epochs for epochs, _ in (found["a"].losses(False), found["a"].losses(True))] == [[1, 2, 3, 4, 5], [1, 3, 5]]
    assert found["a"].losses(False)[1].tolist() == [2.0, 0.5, 0.4, 0.4, 0.4]
    assert found["a"].losses(True)[1].tolist() == [1.5, 0.6, 0.9]
    assert learning_table(found)[1] == [["a", "2", "5", "2", "1", "yes"],
                                        ["b", "1", "3", "3", "not watched", "training loss still falling"]]
    assert found["b"].to_json()["trained_out"] is False
    draw_learning(tmp_path, found)
    assert (tmp_path / "learning-curves.svg").stat().st_size > 1000
    assert len(learning_texts(dict.fromkeys(map(str, range(30)), found["a"]))) == 3
