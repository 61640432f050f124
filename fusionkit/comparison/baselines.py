"""Scikit-learn's logistic regression and gradient boosting on the tables of a cohort, on the same splits."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fusionkit.arrays import Floats
from fusionkit.comparison.outcomes import HeadOutputs, RepeatOutputs, joined
from fusionkit.comparison.train import Unit
from fusionkit.data.loading import Cohort
from fusionkit.data.readers import columns
from fusionkit.planning.plan import PlannedHead

# With more training cases boosting uses histograms, which is as good there and much faster.
_MANY = 5_000


def missing_reason(tables: Sequence[str], heads: Sequence[PlannedHead]) -> str | None:
    """Why such baselines are not possible; None if they are."""
    other = next((head for head in heads if head.declared_task.keys), None)
    if other is not None:
        return f"there is none for the task {other.task!r} of the head {other.name!r}"
    if not tables:
        return "the graph has no input of table columns"
    if find_spec("sklearn") is None:
        return 'scikit-learn is not installed: pip install "fusionkit[explain]"'
    return None


def tables_of(cohort: Cohort) -> list[str]:
    """The inputs of a cohort that are columns of its table."""
    return [name for name in cohort.sizes if name in cohort.columns]


def names_of(heads: Sequence[PlannedHead]) -> list[str]:
    """The baselines for heads of some tasks."""
    values = all(head.declared_task.results == "values" for head in heads)
    linear = "linear regression" if values else "logistic regression"
    return [linear, "gradient boosting"]


class ModelOf(Protocol):
    """Makes a model with scikit-learn's methods."""

    def __call__(self, name: str, task: str, cases: int, seed: int, /) -> Any:
        """The model of a baseline for `classes` or `regression`, not yet fitted; `cases` will be its training cases."""


def width_of(cohort: Cohort, rows: Sequence[int]) -> int:
    """How many columns the tables have for baselines that learn from these rows."""
    count: int = table_of(cohort, rows).shape[1]
    return count


def fit_baselines(
    cohorts: Sequence[Cohort], units: Sequence[Unit], heads: Sequence[PlannedHead], seed: int, *,
    names: Sequence[str] = (), model: ModelOf | None = None,
    chosen: Callable[[str, Cohort, Unit, int], Mapping[str, Any]] | None = None,
) -> dict[str, tuple[RepeatOutputs, ...]]:
    """Each baseline in the form of a trained candidate: outputs for every repeat.

    They learn from the training cases of the networks whose target is known, not from validation cases. `names` are
    those of baselines that `model` makes, in place of scikit-learn's. `chosen` gives the settings of each for a split
    and a seed.
    """
    made: dict[str, list[RepeatOutputs]] = {name: [] for name in names or names_of(heads)}
    for repeat, cohort in enumerate(cohorts):
        own = [unit for unit in units if unit.repeat == repeat]
        tables = [table_of(cohort, unit.train) for unit in own]
        for name in made:
            begin = time.perf_counter()
            models = [with_settings(chosen(name, cohort, unit, seed + repeat)) if chosen else model or with_settings({})
                      for unit in own]
            outputs = {head.name: joined([fitted(name, cohort, head, table, unit, seed=seed + repeat, model=each)
                                          for table, unit, each in zip(tables, own, models, strict=True)])
                       for head in heads}
            made[name].append(RepeatOutputs(outputs, time.perf_counter() - begin))
    return {name: tuple(outcomes) for name, outcomes in made.items()}


def table_of(cohort: Cohort, rows: Sequence[int]) -> Floats:
    """All columns of all rows as one matrix, preprocessed by the training rows; categories are always 0/1 columns.

    An input that some cases lack has an indicator column. *Shape*: (rows of the cohort, width).
    """
    fitted = cohort.fit(rows)
    blocks = []
    for name in tables_of(cohort):
        options = cohort.description.inputs[name].options.model_copy(update={"encode": "onehot"})
        blocks.append(columns.encode(cohort.columns[name], options, fitted.columns[name]).astype(np.float64))
        if not cohort.columns[name].present.all():
            blocks.append(cohort.columns[name].present[:, None].astype(np.float64))
    return np.concatenate(blocks, axis=1)


def fitted(name: str, cohort: Cohort, head: PlannedHead, table: Floats, unit: Unit, *, seed: int, model: ModelOf
           ) -> HeadOutputs:
    """What a baseline that learned from the training cases of a split gives for its test cases; `table` is of all."""
    target = cohort.targets[head.name]
    learned = np.array([row for row in unit.train if target.present[row]], dtype=np.int64)
    tested = np.array([row for row in unit.test if target.present[row]], dtype=np.int64)
    values = np.zeros((len(tested), len(head.names)))
    if head.declared_task.cells == "class":
        made = model(name, "classes", len(learned), seed)
        values = _shares(made, table[learned], target.values[learned], table[tested], len(head.names))
    else:
        for column in range(len(head.names)):
            known = learned[~np.isnan(target.values[learned, column])]
            wanted = target.values[known, column]
            if head.declared_task.cells == "label":
                made = model(name, "classes", len(known), seed)
                values[:, column] = _shares(made, table[known], wanted.astype(np.int64), table[tested], 2)[:, 1]
            else:
                made = model(name, "regression", len(known), seed)
                values[:, column] = made.fit(table[known], wanted).predict(table[tested])
    return HeadOutputs(tested, target.values[tested].astype(np.float64), values)


def _shares(model: Any, table: Floats, wanted: NDArray[Any], asked: Floats, classes: int) -> Floats:
    """Probabilities of every class, 0 for one that no training case has. *Shape*: (cases to predict, classes)."""
    shares = np.zeros((len(asked), classes))
    present = np.unique(wanted)
    if len(present) < 2:
        shares[:, present] = 1.0
        return shares
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # incomplete convergence in the last digits does not matter here
        shares[:, present] = model.fit(table, wanted).predict_proba(asked)
    return shares


def with_settings(values: Mapping[str, Any]) -> ModelOf:
    """Makes scikit-learn's models with some settings in place of the library's own."""
    return partial(_model, values)


def _model(values: Mapping[str, Any], name: str, task: str, cases: int, seed: int) -> Any:
    """A model of scikit-learn; the linear ones on standardised columns."""
    from sklearn import ensemble, linear_model
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "gradient boosting":
        kind = "HistGradientBoosting" if cases > _MANY else "GradientBoosting"
        made = getattr(ensemble, kind + ("Regressor" if task == "regression" else "Classifier"))
        return made(random_state=seed, **values)
    model = linear_model.Ridge(**values) if task == "regression" else \
        linear_model.LogisticRegression(max_iter=2000, **values)
    return make_pipeline(StandardScaler(), model)
