"""Readers of all cases at once: their options, what they are given, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import ConfigDict

from fusionkit.components.config import Config
from fusionkit.data.readers.advice import Advice
from fusionkit.data.readers.reader import ReadError


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
class CohortCases:
    """All cases of a study as a reader sees them, by row.

    `cells` are those of the columns that options name, by column; `files` are what `path` leads to, None for a case
    without; `placed` are the files that options name, by option. `train` are the rows that may be learnt from; for a
    run that is trained, `names` are those that it was trained with, in its order.
    """

    ids: tuple[str, ...]
    cells: Mapping[str, tuple[str, ...]]
    files: tuple[Path | None, ...]
    placed: Mapping[str, Path]
    train: tuple[int, ...]
    names: tuple[str, ...] = ()


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

    `arrays` has one for each row, None for a case without the input: of `text` int64 (n,), ids below `kinds`; of
    `events` floating (n, 3), hours, variable below `kinds` and value; of `series` floating (n, 2 kinds + 1), values, 1
    or 0 for observed or not, and the time; of `tokens` floating (n, kinds), NaN for what is not known. `names` are
    those of the variables from 2, of the channels or of the columns, and are kept with a run. With `scaled` values are
    standardised by the training cases, except those of the kinds that are `fixed`. `record` must be the same for later
    cases: a hash of each file that decides what an id means. So must `units`, by variable, where both have one.
    `counts` is what `run.json` keeps of the reading: how much was read, and how much was left out, by reason.
    """

    arrays: tuple[NDArray[Any] | None, ...]
    kinds: int
    record: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[SequenceFault, ...] = ()
    advice: tuple[Advice, ...] = ()
    names: tuple[str, ...] = ()
    scaled: bool = False
    fixed: tuple[int, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def faulty(self) -> frozenset[int]:
        """The rows with a fault."""
        return frozenset(fault.row for fault in self.faults if fault.row is not None)
