"""The runs that are explained: which network explains which cases, and the view of it that explanations are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic, GraphError
from fusionkit.explanation.cases import Cases
from fusionkit.explanation.class_prior import TrainingPrior
from fusionkit.explanation.methods import ChosenExplanation
from fusionkit.explanation.network_view import NetworkView
from fusionkit.explanation.selection import ExplainedHead, explained_heads, rows_for
from fusionkit.explanation.views import RunPart
from fusionkit.inference.ensemble import Committee
from fusionkit.inference.predict import Settings, predict
from fusionkit.planning.plan import Value
from fusionkit.registry.lookup import Registry
from fusionkit.runs.folder import Run, cohort_of
from fusionkit.runs.results import calibrated, joined


@dataclass(frozen=True)
class Request:
    """The request as typed; None and () leave the choice to the command."""

    head: str | None = None
    class_name: str | None = None
    cases: tuple[str, ...] = ()


def resolve_request(network: NetworkView, request: Request, methods: Sequence[ChosenExplanation]
                    ) -> tuple[ExplainedHead, ...]:
    """The heads to explain; the request and the options of the methods are checked against the network.

    Raises: GraphError with every name that is wrong (`unknown-head`, `unknown-class`, and what the methods report).
    """
    explained, faults = explained_heads(network.plan, request.head, request.class_name)
    for method in methods:
        faults.extend(method.faults(network))
    if faults:
        raise GraphError(faults)
    return tuple(explained)


def networks_of(run: Run, registry: Registry, settings: Settings) -> tuple[NetworkView, ...]:
    """The networks of a run whose mean predicts; of others the first."""
    return tuple(NetworkView(model, registry, settings) for model in run.networks(1))


def requested_of_folds(named: Sequence[str], runs: Sequence[Run], cohort: Cohort) -> dict[int, tuple[str, ...]]:
    """For each fold with cases to explain, those of the named ones that it tested.

    A case that no fold has met is left to the first.
    """
    tested = [set(run.about.get("test") or ()) for run in runs]
    everywhere = set().union(*tested)
    there = set(cohort.ids)
    found = {}
    for fold, names in enumerate(tested):
        mine = tuple(name for name in named if name in names or (not fold and name not in everywhere))
        if names & there or mine:
            found[fold] = mine
    return found or {0: tuple(named)}


def part_of(run: Run, networks: tuple[NetworkView, ...], cohort: Cohort, named: Sequence[str], *, own: bool,
            cache: Path | None, targets: Callable[[], Cohort] | None = None) -> RunPart:
    """The run's test cases, or all cases of other data, and those requested by name; each is run once.

    `targets` opens the run's own data, where `cohort` is of other data.

    Raises: DataError with `unknown-case`, or `no-cases`.
    """
    requested = rows_for(cohort.ids, named)
    test = set(run.about.get("test") or ()) if own else set(cohort.ids)
    tested = [row for row, name in enumerate(cohort.ids) if name in test]
    rows = [*tested, *(row for row in dict.fromkeys(requested) if row not in set(tested))]
    if not rows:
        raise DataError(Diagnostic("no-cases", f"the run in {str(run.folder)!r} has no test cases to explain",
                                   fix="name cases with --case, or give data with --data"))
    dataset = cohort.dataset(rows, run.preprocessing, cache)
    known = cohort.description.patient is not None
    models = Committee(network.model for network in networks)
    calibration = run.calibration()
    fits = calibration is not None and calibration.uncertainty is None
    results = calibrated(predict(models, dataset, None, networks[0].settings), calibration if fits else None)
    cases = Cases(tuple(cohort.ids[row] for row in rows), dataset, np.arange(len(rows)) < len(tested),
                  tuple(cohort.patients[row] for row in rows) if known else None, results,
                  {value.name: _columns(run, value) for value in networks[0].plan.inputs
                   if value.shape.layout == "vector"})
    prior = TrainingPrior(run.preprocessing.class_counts, run.about.get("train") or (), targets or (lambda: cohort))
    return RunPart(networks, cases, prior)


def _columns(run: Run, value: Value) -> tuple[str, ...]:
    """The names of the values of a vector."""
    fitted = run.preprocessing.columns.get(value.name)
    return fitted.entries if fitted else tuple(map(str, range(value.shape.width)))


def own_targets(run: Run) -> Callable[[], Cohort]:
    """Opens the run's own data when they are first needed, once."""
    return cache(lambda: cohort_of(run, require_targets=False))


def placed(parts: Mapping[int, RunPart], folds: bool) -> tuple[tuple[RunPart, ...], Cases]:
    """The parts one after the other, each with its fold if there are folds, and the cases of all."""
    made: list[RunPart] = []
    for fold, part in parts.items():
        made.append(replace(part, start=sum(len(before.cases.ids) for before in made), fold=fold if folds else None))
    if len(made) == 1:
        return tuple(made), made[0].cases
    every = [part.cases for part in made]
    return tuple(made), Cases.joined(every, joined([part.results for part in every]))
