"""A drawn graph: plain data, its text, and a form in which a counterexample can be run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from fusionkit.network.build import plan
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import Registry
from fusionkit.syntax.writer import write


class DrawnGraph:
    """A graph as plain data; `repr` is its file, with the command that runs it.

    `compact` says whether its text has short values on one line.
    """

    def __init__(self, data: dict[str, Any], registry: Registry, compact: bool = True) -> None:
        self.data = data
        self.registry = registry
        self.compact = compact

    @cached_property
    def text(self) -> str:
        """The graph file."""
        return write(self.data, one_line=self.compact)

    @cached_property
    def plan(self) -> Plan:
        """The plan, without costs."""
        return plan(self.data, registry=self.registry, measured=False)

    @property
    def uses(self) -> set[str]:
        """The ids of its components, with those that stand in options."""
        steps = [step for node in self.data["nodes"].values() for step in node.get("chain", [node])]
        steps += [self.data["uncertainty"]] if "uncertainty" in self.data else []
        return {name for step in steps for name in _ids(step)}

    @property
    def size(self) -> int:
        """The number of its nodes."""
        return len(self.data["nodes"])

    def __repr__(self) -> str:
        return f"\n# fusionkit build graph.yaml\n{self.text}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Printed line by line by Hypothesis, which would otherwise print the drawing steps."""
        printer.text(repr(self))


def _ids(step: Any) -> Iterator[str]:
    """The id of a step, and those of the components in its options."""
    if isinstance(step, str):
        yield step
        return
    yield step["use"]
    for value in step.get("with", {}).values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and "use" in each:
                yield from _ids(each)
