"""What a graph leaves to a data file, while somebody writes the graph: told by the table and the files of one case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.errors import UserError

if TYPE_CHECKING:
    from fusionkit.data.partial_cohort import PartialCohort
    from fusionkit.graph.nodes import Input
    from fusionkit.registry.lookup import Registry


class DataSizes:
    """Looks at data files, and remembers what the last one told until it or its table is changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._asked: Any = None
        self._cases: Path | None = None
        self._found: PartialCohort | None = None

    def of(self, inputs: Sequence[Input], data: str) -> PartialCohort | None:
        """Sizes and categories of the inputs as far as the data file tells them, None where it has a mistake."""
        asked = (data, tuple((item.name, item.layout, item.sizes, item.optional, item.masked, item.most)
                             for item in inputs))
        if self._asked is None or self._asked != (asked, self._changed(Path(data))):
            self._cases, self._found = None, None
            self._found = self._looked(inputs, Path(data))
            self._asked = asked, self._changed(Path(data))
        return self._found

    def _looked(self, inputs: Sequence[Input], data: Path) -> PartialCohort | None:
        from fusionkit.data.description import describe
        from fusionkit.data.signature import InputNeed
        from fusionkit.interface.check_data import at_first

        try:
            description = describe(data, registry=self._registry)
            self._cases = description.cases
            return at_first(description, {item.name: InputNeed(
                item.sizes, item.optional, item.span, item.masked, item.most, layout=item.layout) for item in inputs})
        except UserError:
            return None  # what is wrong with it, its own page says

    def _changed(self, data: Path) -> tuple[int, ...]:
        """When the data file and its table were changed."""
        return tuple(_time(path) for path in (data, self._cases) if path is not None)


def _time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
