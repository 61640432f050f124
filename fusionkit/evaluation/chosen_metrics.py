"""The metrics in use: all that are installed, and those that a user names, each with its checked options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.components.failures import raised
from fusionkit.components.metric import Metric
from fusionkit.components.outcomes import ClassColumn, Outcomes, ValueColumn
from fusionkit.components.task import Task
from fusionkit.errors import Diagnostic, GraphError, Span, UserError, did_you_mean
from fusionkit.registry.lookup import Registry, discover
from fusionkit.registry.named import component_named
from fusionkit.syntax.options import check_options
from fusionkit.syntax.typed_components import TypedList, parse_components

if TYPE_CHECKING:
    from fusionkit.components.config import Config

Column = ClassColumn | ValueColumn


@dataclass(frozen=True, eq=False)
class ChosenMetric:
    """A metric with its options. `written` are the options as text, '' for the defaults.

    What a plugin raises is a missing value with the reason as a note: one broken metric must not cost a run its others.
    """

    declared: Metric
    config: Config
    written: str = ""

    @property
    def key(self) -> str:
        """Its name in tables and files: the id without the kind, with options where they are given."""
        return self.declared.name + self.written

    @property
    def label(self) -> str:
        """Its name for readers."""
        return f"{self.declared.heading} {self.written}".rstrip()

    @property
    def lower_is_better(self) -> bool:
        """Whether smaller values are better."""
        return self.declared.better == "lower"

    @property
    def measures_all(self) -> bool:
        """Whether it measures all classes at once, rather than as a mean over them."""
        return hasattr(self._method, "of_all")

    @property
    def measures_columns(self) -> bool:
        """Whether it measures one class, label, output or horizon; else it needs a whole head."""
        return hasattr(self._method, "of_column") or not self.measures_all

    @cached_property
    def _method(self) -> Any:
        return self.declared.module(self.config)

    def of_column(self, column: Column, weights: Floats) -> tuple[Floats, str | None]:
        """The values for a class, label or output, (M, R) to (R,), and why it failed."""
        return self._measured("of_column", column, weights)

    def of_all(self, outcomes: Outcomes, weights: Floats) -> tuple[Floats, str | None]:
        """The values for all classes, (N, R) to (R,), and why it failed."""
        return self._measured("of_all", outcomes, weights)

    def _measured(self, way: str, cases: Column | Outcomes, weights: Floats) -> tuple[Floats, str | None]:
        try:
            found = np.asarray(getattr(self._method, way)(cases, weights), dtype=np.float64)
            if found.shape == weights.shape[1:]:
                return found, None
            why = f"it gives shape {found.shape} for weights of shape {weights.shape}"
        except Exception as error:  # a plugin may raise anything
            why = raised(error)
        return np.full(weights.shape[1], np.nan), f"{self.declared.id} fails: {why}"

    def why_undefined(self, column: Column) -> str | None:
        """The reason why it has no value for a column, None if it has one or does not say."""
        return self._note("why_undefined", column)

    def remark(self, column: Column) -> str | None:
        """What it says beside a value for a column, None for nothing."""
        return self._note("remark", column)

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """A note to its value for all classes."""
        return self._note("note_of_all", outcomes)

    def _note(self, way: str, cases: Column | Outcomes) -> str | None:
        told = getattr(self._method, way, None)
        try:
            note = told(cases) if told else None
        except Exception as error:  # a plugin may raise anything
            return f"{self.declared.id} fails: {raised(error)}"
        return None if note is None else str(note)


def installed_metrics(registry: Registry, *, every: bool = False) -> tuple[ChosenMetric, ...]:
    """Every installed metric that needs no options, with its defaults, in the order of tables.

    Those that are only measured if they are named are left out, unless `every` is True.
    One that cannot be used is left out; `fusionkit plugins list` and `fusionkit doctor` say why.
    """
    found = []
    for entry in registry.entries:
        if entry.kind == Metric.kind:
            try:
                declared = registry.load(entry.id, of=Metric)
            except GraphError:
                continue
            if not (every or declared.default):
                continue
            config, _ = check_options(declared.config, None, entry.id, Span("metrics", 1, 1))
            if config is not None:
                found.append(ChosenMetric(declared, config))
    return tuple(sorted(found, key=lambda metric: (metric.declared.place, metric.declared.id)))


@lru_cache(maxsize=1)
def default_metrics() -> tuple[ChosenMetric, ...]:
    """The installed metrics, looked up once for the process; a command that knows its registry passes its own."""
    return installed_metrics(discover())


def with_asked(metrics: Sequence[ChosenMetric], asked: Sequence[ChosenMetric]) -> tuple[ChosenMetric, ...]:
    """Metrics, and those asked for that are not among them."""
    keys = {metric.key for metric in metrics}
    return (*metrics, *{metric.key: metric for metric in asked if metric.key not in keys}.values())


def metrics_named(typed: str, registry: Registry, flag: str) -> tuple[ChosenMetric, ...]:
    """The metrics in a text such as `auroc,metric.net_benefit{threshold: 0.1}`; `flag` is where it is typed.

    Raises: UserError with `bad-metric`, or the errors of ids, options and packages, each with its place.
    """
    listed = TypedList(flag, "bad-metric", "metric", "auroc,metric.auroc", "metric")
    specs, found = parse_components(typed, listed)
    chosen = []
    for spec in specs:
        try:
            named = component_named(spec.use, spec.options, registry, spec.span, Metric)
            chosen.append(ChosenMetric(named.declared, named.config, named.written))
        except UserError as error:
            found.extend(error.diagnostics)
    if found:
        raise UserError(found)
    return tuple(chosen)


def unmeasured(metric: ChosenMetric, tasks: Sequence[Task], registry: Registry, what: str) -> Diagnostic | None:
    """The refusal of a metric that measures none of some tasks, as `what` such as "no head" has it; else None."""
    if any(task.is_measured_by(metric.declared.tasks) for task in tasks):
        return None
    offered = [each.key for each in installed_metrics(registry, every=True)
               if any(task.is_measured_by(each.declared.tasks) for task in tasks)]
    return Diagnostic("unknown-metric", f"{what} has the metric {metric.key!r}",
                      fix=did_you_mean(metric.key, offered, "choose one that measures its task: "
                                       "`fusionkit plugins list --kind metric` shows them"))
