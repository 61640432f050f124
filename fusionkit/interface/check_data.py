"""A data file by itself: every mistake in it, in its table and in its files, without a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionkit.data.description import DataDescription, describe, described
from fusionkit.data.header_tables import read_cases
from fusionkit.data.labels import named
from fusionkit.data.loading import Cohort, HeadTarget, InputNeed, check_cells, first_look, load_cohort
from fusionkit.data.partial_cohort import PartialCohort
from fusionkit.data.table import Table
from fusionkit.data.target_spec import TargetSpec
from fusionkit.errors import DataError, Diagnostic, UserError
from fusionkit.progress import Progress
from fusionkit.registry.lookup import Registry
from fusionkit.runs.setup import cache_for
from fusionkit.syntax.reader import read, read_file
from fusionkit.syntax.tree import Mapping

_MEASURED = 10  # more different numbers than this are values to be predicted, not classes


@dataclass(frozen=True)
class CheckedData:
    """A data file without a mistake, and what was found in it that does not stop a training."""

    file: str
    cohort: Cohort

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What may be meant otherwise than it is read."""
        return self.cohort.warnings

    def __str__(self) -> str:
        cohort = self.cohort
        people = f" of {len(set(cohort.patients))} patients" if cohort.description.patient is not None else ""
        sides = Counter(cohort.division.sides(len(cohort)))
        split = ", ".join(f"{count} in {side}" for side, count in sorted(sides.items()) if side)
        inputs = ", ".join(f"{name} {_sizes(cohort, name)} ({int(cohort.present(name).sum())} cases)"
                           for name in cohort.sizes)
        targets = ", ".join(f"{name} ({head.task}{': ' + ', '.join(head.classes[:8]) if head.classes else ''})"
                            for name, head in cohort.heads.items())
        parts = [f"{len(cohort)} cases{people}", split or "no split", f"inputs {inputs}",
                 f"targets {targets}" if targets else "no targets"]
        return f"{self.file}: good: {'; '.join(parts)}"


def _sizes(cohort: Cohort, name: str) -> str:
    size = cohort.sizes[name]
    if name not in cohort.masked:
        return str(list(size))
    what = "tokens" if len(size) == 2 else "items"
    return f"[null, {', '.join(map(str, size[1:]))}] with at most {size[0]} {what}"


def is_data_file(source: str) -> bool:
    """Whether a file says that it is a data description."""
    if not Path(source).is_file():
        return False
    try:
        tree = read_file(Path(source), DataError)
    except UserError:
        return False  # a graph that cannot be read is told as such
    return isinstance(tree, Mapping) and "fusionkit-data" in tree.entries


def check_data(
    data: str | Path, *, sets: Sequence[str] = (), data_roots: Sequence[str | Path] = (),
    registry: Registry | None = None, progress: Progress | None = None
) -> CheckedData:
    """Check a data file, its table and every file that it names; classes are those that its targets have.

    `registry` replaces the installed components.

    Raises: DataError with every mistake.
    """
    description = describe(data, sets, roots=data_roots, registry=registry)
    table, _ = read_cases(description)
    heads = {name: _head(table, spec, description) for name, spec in description.targets.items()}
    inputs = {name: InputNeed(None, optional=True) for name in description.inputs}
    cohort = load_cohort(description, heads, inputs, progress=progress, cache=cache_for(data))
    return CheckedData(str(data), cohort)


def data_findings(text: str, path: Path, registry: Registry, *, cells: bool) -> tuple[Diagnostic, ...]:
    """The mistakes and warnings of a data file's text while somebody writes it; `path` is where it is to lie.

    With `cells` those of the table of cases, too, where the text has no mistake: its ids, targets, split and columns.
    Other files of the cases are not read. Raises nothing that text or table can cause.
    """
    try:
        description = described(read(text, str(path), DataError), path, path.parent, registry=registry)
        if not cells:
            return ()
        table, faults = read_cases(description)
        heads = {name: _head(table, spec, description) for name, spec in description.targets.items()}
        if any(fault.severity == "error" for fault in faults):
            return tuple(faults)
        found = check_cells(description, heads, table)
        return (*faults, *found.of("error"), *found.of("warning"))
    except UserError as error:
        return tuple(error.diagnostics)


def at_first(description: DataDescription, inputs: AbstractMapping[str, InputNeed]) -> PartialCohort:
    """Sizes and categories of inputs, from the table and the files of the first case that has them.

    Those that a fault of the data hides are left out.
    Raises: DataError where the table cannot be read.
    """
    table, _ = read_cases(description)
    heads = {name: _head(table, spec, description) for name, spec in description.targets.items()}
    return first_look(description, heads, inputs, table)


def _head(table: Table, spec: TargetSpec, description: DataDescription) -> HeadTarget:
    """The head that a target seems to be for: labels for several columns, values for many numbers, else classes."""
    if not all(column in table for column in spec.all_columns):
        return HeadTarget("multiclass", (), spec.span)  # the lack of its columns is reported
    if spec.task is not None:
        return HeadTarget(spec.task.name, (), spec.span, found=spec.task)
    if spec.column is None:
        return HeadTarget("multilabel", spec.columns, spec.span, len(spec.columns), partial=True)
    cells = {named(cell, spec.values) for cell in table.cells(spec.column)} - {""}
    form = description.numbers.of(spec.column)
    numbers = [cell for cell in cells if form.read(cell) is not None]
    if len(numbers) > _MEASURED and len(numbers) > len(cells) / 2:
        return HeadTarget("regression", (), spec.span)
    classes = tuple(sorted(set(spec.values.values()) - {""} if set(cells) <= set(spec.values.values()) else cells))
    return HeadTarget("multiclass", classes, spec.span, len(classes))
