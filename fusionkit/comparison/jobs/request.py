"""What is compared, as plain data that another process reads, and the plan that both make of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fusionkit.comparison.candidates import ComparisonPlan, plan_comparison
from fusionkit.comparison.shared_training import Reuse
from fusionkit.comparison.splits import repeated
from fusionkit.comparison.tuning import Tuning
from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, UserError
from fusionkit.planning.open_graph import Source
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry


@dataclass(frozen=True)
class ComparisonRequest:
    """The arguments of a comparison that decide what is trained; `candidates` as typed, `settings` those given."""

    graph: Source
    data: str
    node: str
    candidates: str
    folds: int | None = None
    repeats: int = 1
    seeds: int = 1
    tuning: Tuning | None = None
    reuse: Reuse = "auto"
    baselines: bool = True
    dropout_rows: float = 0.0
    sets: Sequence[str] = ()
    plugins: Sequence[str] = ()
    data_roots: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def plan(self, registry: Registry, progress: Progress | None = None,
             before_reading: Callable[[], object] | None = None) -> ComparisonPlan:
        """The networks, checked against the data; `before_reading` is called before these are read.

        Raises: GraphError or DataError as `plan_comparison` does.
        """
        return plan_comparison(
            self.graph, self.data, self.sets, self.node, self.candidates, singles=self.baselines, folds=self.folds,
            flags=self.settings, progress=progress, data_roots=self.data_roots, registry=registry,
            before_reading=before_reading, dropout_rows=self.dropout_rows)

    def cohorts(self, comparison: ComparisonPlan) -> list[Cohort]:
        """The cohort of every repeat or seed."""
        return repeated(comparison.cohort, self.repeats, self.seeds)

    def to_text(self) -> str:
        """The request as one line of JSON.

        Raises: UserError with `bad-argument` where a graph from Python has values that JSON does not.
        """
        graph = dict(self.graph) if isinstance(self.graph, Mapping) else str(self.graph)
        try:
            return json.dumps({**asdict(self), "graph": graph})
        except (TypeError, ValueError) as problem:
            raise UserError(Diagnostic("bad-argument", "the graph cannot be given to jobs", why=str(problem),
                                       fix="write it to a file, or leave --jobs out")) from None

    @classmethod
    def read(cls, text: str) -> ComparisonRequest:
        """The request of such a line."""
        plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
                                 for key, value in json.loads(text).items()}
        tuning = plain.pop("tuning")
        return cls(**plain, tuning=Tuning(**tuning) if tuning else None)


