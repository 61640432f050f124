"""How an input of all cases is read, by the declaration of its reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionkit.components.reader import Reader, Sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from fusionkit.data.readers.advice import Advice
    from fusionkit.data.readers.cohort_reader import CohortCases, Sequences
    from fusionkit.data.readers.facts import Facts


@dataclass(frozen=True, slots=True)
class CohortReader:
    """A reader of all cases, by its declaration."""

    declared: Reader
    files: bool = False
    folders: bool = False
    drawn: bool = False

    @property
    def name(self) -> str:
        """The name under `read` in a data file."""
        return self.declared.name

    @property
    def gives(self) -> str:
        """What a case is."""
        return self.declared.gives

    @property
    def options(self) -> type[BaseModel]:
        """The class of its options."""
        return self.declared.config

    def shape(self, options: Any) -> Sizes | None:
        """Nothing: the cases tell."""
        return None

    def size_fix(self, name: str, options: Any, expected: Sizes, met: Sizes) -> str:
        """What to do if input `name` has unexpected sizes."""
        return "correct the sizes in the graph"

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """The columns of the table that it reads, by the option that names them."""
        found = {name: getattr(options, name) for name in type(options).named}
        return {name: (value,) if isinstance(value, str) else tuple(value) for name, value in found.items()
                if value is not None}

    def examine(self, path: Path, options: Any, image: Facts | None = None) -> tuple[NDArray[np.float32], Facts]:
        """Not for one case."""
        raise AssertionError("a case alone is not read; please report")

    def gather(self, cases: CohortCases, options: Any) -> Sequences:
        """The input of all cases. Raises: what the reader raises."""
        found: Sequences = self.declared.module(cases, options)
        return found

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """Nothing: advice comes with the input."""
        return []
