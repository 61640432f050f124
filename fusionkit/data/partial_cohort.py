"""What is known of a cohort while it is loaded, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusionkit.data import case_files, checks
from fusionkit.data.bag_files import Place
from fusionkit.data.companions import Companions
from fusionkit.data.dataset import MaskedCounts
from fusionkit.data.description import DataDescription
from fusionkit.data.division import Division
from fusionkit.data.fields import NamedColumn
from fusionkit.data.findings import Findings
from fusionkit.data.item_positions import Positions
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.readers.cohort_reader import Sequences
from fusionkit.data.readers.columns import Categories, ColumnValues
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.data.table import Table
from fusionkit.data.target_spec import TargetSpec
from fusionkit.data.targets import TargetValues
from fusionkit.progress import Progress


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read."""

    workers: int | None
    progress: Progress | None
    cache: Path | None


@dataclass(frozen=True)
class PartialCohort:
    """The requirements on a cohort, and what is known so far: each step returns a copy with more.

    Errors are added to `findings` and do not stop a step. `missing` are columns that the table lacks, `faulty` those
    with a bad cell, `unmeasured` rows whose mask or image was reported, by input; `learnt` are the targets without an
    error, `divided` says whether the split has none.
    """

    description: DataDescription
    heads: Mapping[str, HeadTarget]
    inputs: Mapping[str, InputNeed]
    required: bool
    table: Table
    reading: Reading
    preprocessing: Preprocessing | None
    findings: Findings = field(default_factory=Findings)
    missing: set[str] = field(default_factory=set)
    ids: tuple[str, ...] = ()
    named: bool = False
    patients: tuple[str, ...] = ()
    targets: Mapping[str, TargetValues] = field(default_factory=dict)
    learnt: Mapping[str, TargetSpec] = field(default_factory=dict)
    division: Division = field(default_factory=Division)
    divided: bool = False
    columns: Mapping[str, ColumnValues] = field(default_factory=dict)
    layouts: Mapping[str, Categories] = field(default_factory=dict)
    faulty: frozenset[str] = frozenset()
    paths: Mapping[str, Sequence[Place | None]] = field(default_factory=dict)
    beside: Mapping[str, Sequence[Companions]] = field(default_factory=dict)
    checked: Mapping[tuple[str, int], case_files.Checked] = field(default_factory=dict)
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    masked: Mapping[str, MaskedCounts] = field(default_factory=dict)
    gathered: Mapping[str, Sequences] = field(default_factory=dict)
    positions: Mapping[str, Positions] = field(default_factory=dict)
    unmeasured: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @property
    def train(self) -> tuple[int, ...]:
        """The rows that may be learnt from: all of them without a split."""
        return self.division.rows("train") if self.division.parts else tuple(range(len(self.table)))

    def has_all(self, needed: Sequence[NamedColumn], use: str) -> bool:
        """Whether all columns exist, named in the data file under these paths; a missing one is reported once."""
        missing = checks.missing_columns(
            self.table, [column for column, _ in needed], lambda number: self.description.span(*needed[number][1]), use,
            known=self.missing, findings=self.findings)
        self.missing.update(missing)
        return not missing

    def present(self, name: str) -> list[bool]:
        """Which rows have an input."""
        if name in self.columns:
            return [bool(there) for there in self.columns[name].present]
        if name in self.gathered:
            return [array is not None for array in self.gathered[name].arrays]
        if name in self.positions:
            return [there is not None for there in self.positions[name].by_row]
        return [path is not None for path in self.paths[name]]
