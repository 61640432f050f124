"""Readers of all cases at once: what they are given, what they give, and how a data file names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fusionkit.components.config import Config
from fusionkit.components.reader import Reader
from fusionkit.data.readers.advice import Advice
from fusionkit.data.readers.facts import Facts
from fusionkit.data.readers.reader import ReadError, Sizes


class CohortOptions(Config):
    """The options of every reader of all cases: derive a reader's own from it.

    `named` are the options whose value is a column of the table of cases, `placed` those that name a file below the
    data file. An option `path`, if there is one, leads to a file of each case, and `missing_ok` says that some lack it.
    """

    filled: ClassVar[tuple[str, ...]] = ()
    named: ClassVar[tuple[str, ...]] = ()
    placed: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(strict=False)


@dataclass(frozen=True)
class Cases:
    """All cases of a study as a reader sees them, by row.

    `cells` are those of the columns that options name, by column; `files` are what `path` leads to, None for a case
    without; `placed` are the files that options name, by option. `train` are the rows that may be learnt from.
    """

    ids: tuple[str, ...]
    cells: Mapping[str, tuple[str, ...]]
    files: tuple[Path | None, ...]
    placed: Mapping[str, Path]
    train: tuple[int, ...]


@dataclass(frozen=True)
class SequenceFault:
    """What is wrong with one case, and the column that it stands in; or with an option, where `row` is None."""

    error: ReadError
    row: int | None = None
    column: str | None = None
    option: str | None = None


@dataclass(frozen=True)
class Sequences:
    """What a reader of all cases gives.

    `arrays` has one for each row, None for a case without the input: int64 (n,), ids below `kinds`. `record` is kept
    with a run and must be the same for later cases: a hash of each file that decides what an id means.
    """

    arrays: tuple[NDArray[Any] | None, ...]
    kinds: int
    record: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[SequenceFault, ...] = ()
    advice: tuple[Advice, ...] = ()

    @property
    def faulty(self) -> frozenset[int]:
        """The rows with a fault."""
        return frozenset(fault.row for fault in self.faults if fault.row is not None)


@dataclass(frozen=True, slots=True)
class CohortReader:
    """A reader of all cases, by its declaration."""

    declared: Reader
    files: bool = False
    folders: bool = False

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

    def examine(self, path: Path, options: Any) -> tuple[NDArray[np.float32], Facts]:
        """Not for one case."""
        raise AssertionError("a case alone is not read; please report")

    def gather(self, cases: Cases, options: Any) -> Sequences:
        """The input of all cases. Raises: what the reader raises."""
        found: Sequences = self.declared.module(cases, options)
        return found

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """Nothing: advice comes with the input."""
        return []
