"""The table that `test_contract.py` walks: bundled components, each with the options and inputs it is tried on.

A row is (component id, options, sizes of each input without the batch axis), and where a check cannot hold
by design, a fourth entry {name of the check: reason}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import rows_attention
import rows_baselines
import rows_drifa
import rows_e3d
import rows_early
import rows_encoders
import rows_fusions
import rows_heads
import rows_kan
import rows_late
import rows_losses
import rows_penet
import rows_tier3

from fusionkit.components.component import Component
from fusionkit.shapes.layouts import TensorShape, shape_of

FOLDERS = {"encoder": "encoders", "fusion": "fusions", "head": "heads", "uncertainty": "uncertainty"}


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
        return import_module(f"fusionkit_plugins.{FOLDERS[kind]}.{name.replace('.', '_')}").component

    @property
    def shapes(self) -> list[TensorShape]:
        """The input shapes."""
        return [shape_of(tuple(sizes)) for sizes in self.inputs]


TABLES = (rows_attention, rows_fusions, rows_baselines, rows_drifa, rows_encoders, rows_e3d, rows_early,
          rows_heads, rows_kan, rows_late, rows_losses, rows_penet, rows_tier3)
ROWS = [Row(*row) for table in TABLES for row in table.ROWS]
