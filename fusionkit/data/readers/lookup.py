"""Readers by the name that a data file gives: the columns of the table, and every installed reader of files."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fusionkit.components.reader import Reader
from fusionkit.data.readers.bag import BAG, POSITIONS
from fusionkit.data.readers.reader import FileReader, InputReader, Sizes
from fusionkit.data.readers.whole_reader import CohortReader
from fusionkit.registry.lookup import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from fusionkit.data.readers.advice import Advice
    from fusionkit.data.readers.facts import Facts
    from fusionkit.errors import Span

KIND = "reader"


@dataclass(frozen=True, slots=True)
class ColumnsReader:
    """The columns of the table as an input; its module is imported when it is first used."""

    name: str = "columns"
    gives: str = "array"
    files: bool = False
    folders: bool = False
    drawn: bool = False

    @property
    def _module(self) -> Any:
        return import_module("fusionkit.data.readers.columns")

    @property
    def options(self) -> type[BaseModel]:
        """The class of its options."""
        found: type[BaseModel] = self._module.ColumnsOptions
        return found

    def shape(self, options: Any) -> Sizes | None:
        """The number of values of a case, None where categories decide it."""
        found: Sizes | None = self._module.shape(options)
        return found

    def size_fix(self, name: str, options: Any, expected: Sizes, met: Sizes) -> str:
        """What to do if input `name` has unexpected sizes."""
        found: str = self._module.size_fix(name, options, expected, met)
        return found

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """The columns that it reads, by the option that names them."""
        found: dict[str, tuple[str, ...]] = self._module.columns(options)
        return found

    def examine(self, path: Path, options: Any, image: Facts | None = None) -> tuple[NDArray[np.float32], Facts]:
        """Not for columns."""
        raise AssertionError("columns are not read from files; please report")

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """Nothing: there are no files."""
        return []


@dataclass(frozen=True, slots=True)
class MeasuredReader(ColumnsReader):
    """What is measured inside masks: an input of it becomes one of columns as soon as the data file is read."""

    name: str = "mask_statistics"

    @property
    def options(self) -> type[BaseModel]:
        """The class of its options."""
        found: type[BaseModel] = import_module("fusionkit.data.readers.mask_statistics").MaskStatisticsOptions
        return found

    def shape(self, options: Any) -> Sizes | None:
        """Nothing: the columns tell."""
        return None

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """No columns of the table."""
        return {}


COLUMNS = ColumnsReader()
MEASURED = MeasuredReader()
_OWN: dict[str, InputReader] = {reader.name: reader for reader in (COLUMNS, MEASURED, BAG, POSITIONS)}


def reader_names(registry: Registry) -> list[str]:
    """The names of all readers that can be used here."""
    return [*_OWN, *(entry.id.partition(".")[2] for entry in registry.entries if entry.kind == KIND)]


def reader_of(name: str, registry: Registry, span: Span | None = None) -> InputReader | None:
    """The reader of a name, None if no package is known to have it.

    Raises: GraphError as `Registry.load` does: its package or one that it needs is missing or broken.
    """
    if name in _OWN:
        return _OWN[name]
    id = f"{KIND}.{name}"
    if registry.provider(id) is None and registry.known_for(id) is None:
        return None
    declared = registry.load(id, span, of=Reader)
    return CohortReader(declared) if declared.whole else FileReader(declared)
