"""The check of tasks: what is made of targets and results has the shapes that the core expects of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.components.config import Config
from fusionkit.components.metric import Metric
from fusionkit.components.task import TargetPart, Task, TaskMethod
from fusionkit.errors import GraphError, RunError
from fusionkit.evaluation.predictions import collect
from fusionkit.registry.lookup import discover
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import one_line

# Axes: N cases, K names.

_CASES = 12
_SIZES = {"classes": 3, "labels": 2, "values": 2}


def task(component: Task, config: Config) -> Fault | None:
    """Made-up cases pass through everything that a run does with a task."""
    method = component.module(config)
    if not isinstance(method, TaskMethod):
        return Fault("its module gives no TaskMethod", "derive the class from fusionkit.api.TaskMethod")
    generator = np.random.default_rng(0)
    names = method.example_names(_SIZES[component.results])
    try:
        targets = np.asarray(method.example(names, _CASES, generator))
        values = method.guess(targets, names, 0.6, generator)
        return _made(component, method, names, targets, values) or _cells(component, method, targets)
    except NotImplementedError:
        return Fault("it makes no example of targets and results", "write example(...) and guess(...)")
    except Exception as error:  # a plugin may raise anything
        return Fault(f"it fails for made-up cases: {one_line(error)}", "see fusionkit.api.TaskMethod")


def _made(component: Task, method: TaskMethod, names: tuple[str, ...], targets: Any, values: Floats) -> Fault | None:
    width = len(component.keys) or len(names)
    wanted = (_CASES,) if component.cells == "class" else (_CASES, width)
    if targets.shape != wanted or np.shape(values) != (_CASES, len(names)):
        return Fault(f"example gives {list(targets.shape)} and guess {list(np.shape(values))}",
                     f"give targets of shape {list(wanted)}, and a column for each name")
    try:
        collect(component, names, targets, values)
    except RunError as error:
        return Fault(f"the results of guess are refused: {error}", "give results as the head decodes them")
    told = {"predicted": method.predicted(values, names), **method.told(targets.astype(np.float64), names)}
    short = [key for key, cells in told.items() if cells is not None and len(cells) != _CASES]
    short += [key for key, numbers in method.details(values, names).items() if np.shape(numbers) != (_CASES,)]
    if short:
        return Fault(f"{short[0]!r} does not have one cell for each case", "give as many cells as there are cases")
    if len(method.columns(names)) != len(names):
        return Fault("columns does not give a name for each decoded value", "give as many as the head has names")
    counts = method.counts(targets, np.ones(_CASES), names)
    twice = method.counts(targets, np.full(_CASES, 2.0), names)
    if any(abs(twice[key] - 2 * count) > 1e-9 for key, count in counts.items()):
        return Fault("counts does not follow the weights of the cases", "count each case as often as its weight says")
    return _metric(component)


def _metric(component: Task) -> Fault | None:
    """The metrics that it names exist; one that is not installed is the business of its package."""
    registry = discover()
    for name in (component.main, *component.shown):
        try:
            declared = registry.load(f"metric.{name}", of=Metric)
        except GraphError:
            continue
        if not component.is_measured_by(declared.tasks):
            return Fault(f"metric.{name} is not for task {component.name!r}", "name one that measures it")
    return None


def _cells(component: Task, method: TaskMethod, targets: Any) -> Fault | None:
    if not component.keys:
        return None
    blank = np.zeros(targets.shape, dtype=bool)
    blank[0] = True
    given = np.where(blank, np.nan, targets.astype(np.float64))
    present, _ = method.judge(given, blank)
    if np.shape(present) != (_CASES,) or present[0]:
        return Fault("judge takes a case whose cells are all blank", "leave out cases without a target")
    method.judge_parts([TargetPart("train", targets)], [TargetPart("test", targets[:3])], ())
    strata = method.strata(given, present, [str(row) for row in range(_CASES)], 2)
    if len(strata) != _CASES:
        return Fault("strata does not give a stratum for each row", "give as many as there are rows")
    return None
