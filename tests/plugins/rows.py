"""The table that `test_contract.py` walks: bundled components, each with the options and inputs it is tried on.

A row is (component id, options, sizes of each input without the batch axis), and where a check cannot hold
by design, a fourth entry {name of the check: reason}. Rows are the lists `ROWS` of the files `rows_*.py` here and of
the components' own tests, `*/test_*.py`. A component without a row is tried on the example that users are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from fusionkit.components.component import Component
from fusionkit.components.kinds import GRAPH_KINDS, KIND_TABLE
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import TensorShape
from fusionkit.testing.probing.examples import example_of
from fusionkit.testing.probing.sizes import shapes_for

HERE = Path(__file__).parent


class Row(NamedTuple):
    """One component, tried with one set of options on one set of inputs."""

    id: str
    options: Mapping[str, Any]
    inputs: Sequence[tuple[int, ...]]
    exceptions: Mapping[str, str] = {}

    def __str__(self) -> str:
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        inputs = ",".join("x".join(map(str, sizes)) for sizes in self.inputs)
        return f"{self.id}({options})<{inputs}>".replace(" ", "")

    @property
    def component(self) -> Component:
        """The component, imported from its place: the id is the path."""
        kind, name = self.id.split(".", 1)
        return import_module(f"fusionkit_plugins.{KIND_TABLE[kind].folder}.{name.replace('.', '_')}").component

    @property
    def shapes(self) -> list[TensorShape]:
        """The input shapes."""
        return list(shapes_for(self.component, self.inputs))


def _written() -> Iterator[Row]:
    """The rows of every file that has a list of them, in the order of the files' names."""
    for path in (*sorted(HERE.glob("rows_*.py")), *sorted(HERE.glob("*/test_*.py"))):
        if "\nROWS" in path.read_text(encoding="utf-8"):
            spec = spec_from_file_location(f"_rows_of_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            table = module_from_spec(spec)
            spec.loader.exec_module(table)
            yield from (Row(*row) for row in table.ROWS)


def _with_defaults(rows: Sequence[Row]) -> Iterator[Row]:
    """The rows, and one for each bundled component that has none and stands in a graph."""
    yield from rows
    known = {row.id for row in rows}
    registry = discover()
    for entry in registry.entries:
        if entry.package == "fusionkit" and entry.kind in GRAPH_KINDS and entry.id not in known:
            example = example_of(registry.load(entry.id))
            yield Row(entry.id, example.options, [shape.sizes for shape in example.inputs.values()])


ROWS = list(_with_defaults(list(_written())))
