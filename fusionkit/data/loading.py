"""From a data file to a checked cohort: everything that is wrong is found here, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from fusionkit.data import case_files, checks, targets
from fusionkit.data.batch import Batch, Case, collate
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset
from fusionkit.data.description import DataDescription, InputSpec, TargetSpec
from fusionkit.data.findings import Findings
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.readers import columns
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.data.split import Division, divide
from fusionkit.data.table import Table, read_table
from fusionkit.errors import Span
from fusionkit.progress import Progress

__all__ = ["Batch", "Case", "CaseDataset", "Cohort", "HeadTarget", "InputNeed", "collate", "load_cohort"]


def load_cohort(
    description: DataDescription,
    heads: Mapping[str, HeadTarget],
    inputs: Mapping[str, InputNeed],
    require_targets: bool = True,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
    preprocessing: Preprocessing | None = None,
) -> Cohort:
    """The cohort of a data file, after every check; each file is read once, in `workers` threads.

    `heads` and `inputs` are what the network asks for, by name. `require_targets` is False where cases may lack a
    target: a split is then used when the table allows it and is not checked. `progress(done, total)` is called after
    each file, in the calling thread. With `cache`, what is read is kept in that folder. `preprocessing` is that of a
    trained run: it fixes the categories and thereby the sizes.

    Raises: `DataError` with everything that is wrong, each with its row and column; the codes are in docs/data.md.
    """
    loading = _Loading(description, read_table(
        description.cases, description.blank, description.span("cases")), Findings())
    checks.check_described(description, heads, inputs, require_targets, loading.findings)
    if preprocessing is not None:
        loading.findings.extend(("", found) for found in preprocessing.differences(description))
    loading.learn(heads, require_targets)
    for name, need in inputs.items():
        loading.take(name, need, preprocessing)
    loading.read(workers, progress, cache)
    for name, need in inputs.items():
        loading.settle(name, need)
    loading.compare(heads, inputs, require_targets)
    loading.findings.raise_errors()
    return Cohort(
        description, loading.table, loading.ids, loading.patients, dict(heads), loading.sizes,
        loading.findings.of("warning"), loading.division, loading.columns, loading.layouts, loading.paths,
        loading.targets)


class _Loading:
    """The parts of a cohort as they come together, each step noting its faults and going on."""

    def __init__(self, description: DataDescription, table: Table, findings: Findings) -> None:
        self.description = description
        self.table = table
        self.findings = findings
        self.missing: set[str] = set()
        self.faulty: set[str] = set()
        self.divided = False
        self.learnt: dict[str, TargetSpec] = {}
        self.named = self._has(description.id, description.span("id"), "'id'")
        self.ids = checks.check_ids(table, description.id, findings) if self.named else tuple(
            f"row {row + 1}" for row in range(len(table)))
        patient = description.patient
        known = patient is not None and self._has(patient, description.span("patient"), "'patient'")
        self.patients = table.cells(patient) if patient is not None and known else self.ids
        self.division = Division()
        self.targets: dict[str, targets.TargetValues] = {}
        self.columns: dict[str, columns.ColumnValues] = {}
        self.layouts: dict[str, columns.Categories] = {}
        self.paths: dict[str, list[Path | None]] = {}
        self.shapes: dict[str, dict[int, tuple[int, ...]]] = {}
        self.sizes: dict[str, tuple[int, ...]] = {}

    def _has(self, column: str, span: Span, use: str) -> bool:
        """Whether a column is there; one that is missing is told once, where it is first asked for."""
        if column in self.missing:
            return False
        found = checks.check_column(self.table, column, span, use, self.findings)
        if not found:
            self.missing.add(column)
        return found

    def _has_all(self, wanted: Iterable[tuple[str, Span]], use: str) -> bool:
        found = [self._has(column, span, use) for column, span in wanted]
        return all(found)

    def _target_columns(self, spec: TargetSpec) -> list[tuple[str, Span]]:
        """The columns of a target, each beside the place that names it."""
        if spec.column is not None:
            return [(spec.column, self.description.span("targets", spec.name, "column"))]
        return [(column, self.description.span("targets", spec.name, "columns", position))
                for position, column in enumerate(spec.columns)]

    def _named_columns(self, spec: InputSpec) -> list[tuple[str, Span]]:
        """The columns that an input reads, each beside the place that names it."""
        if spec.source.files:
            return [(column, spec.template_span or spec.span) for column in checks.input_columns(spec)]
        return [(column, self.description.span("inputs", spec.name, key, position))
                for key in ("numeric", "categorical") for position, column in enumerate(getattr(spec.options, key))]

    def learn(self, heads: Mapping[str, HeadTarget], required: bool) -> None:
        """The split, and the target of every head."""
        for name, head in heads.items():
            spec = self.description.targets.get(name)
            self.targets[name] = targets.absent(head, len(self.table))
            if spec is None or (not required and not all(column in self.table for column in spec.all_columns)):
                continue
            if self._has_all(self._target_columns(spec), f"target {name!r}"):
                before = self.findings.count
                self.targets[name] = targets.parse(self.table, name, spec, head, ids=self.ids, findings=self.findings)
                # What follows from a fault is not told beside it.
                if self.findings.count == before:
                    self.learnt[name] = spec
        if self._splittable(required):
            found = self.findings if required else Findings()
            before = found.count
            self.division = divide(self.description, self.table, self.ids, found)
            self.divided = found.count == before
            if not required and not self.divided:
                self.division = Division()

    def _splittable(self, required: bool) -> bool:
        spec = self.description.split
        if spec is None:
            return False
        stratify = self.description.targets[spec.stratify].all_columns if spec.stratify else ()
        wanted = [("column", spec.column), ("group", spec.group), *(("stratify", column) for column in stratify)]
        named = [(key, column) for key, column in wanted if column is not None]
        if not required:
            return all(column in self.table for _, column in named)
        spans = [(column, self.description.span("split", key)) for key, column in named]
        return self._has_all(spans, "the split") and self.named

    def take(self, name: str, need: InputNeed, preprocessing: Preprocessing | None) -> None:
        """The cells of an input of columns, or the places of the files of another."""
        spec = self.description.inputs.get(name)
        if spec is None:
            return
        usable = self._has_all(self._named_columns(spec), f"input {name!r}")
        if spec.source.files and case_files.check_package(spec, self.findings) and usable:
            self.paths[name], wrong = case_files.locate(spec, self.table, self.ids, self.findings)
            present = [path is not None for path in self.paths[name]]
            checks.check_present(name, need, present, spec=spec, table=self.table, ids=self.ids, skip=wrong,
                                 findings=self.findings)
        elif not spec.source.files and usable:
            self._take_columns(name, spec, need, preprocessing)

    def _take_columns(self, name: str, spec: InputSpec, need: InputNeed, preprocessing: Preprocessing | None) -> None:
        values, faults = columns.parse(self.table, name, spec.options, self.ids)
        self.findings.extend(faults)
        self.faulty |= {column for column, _ in faults}
        self.columns[name] = values
        train = self.division.rows("train") if self.division.parts else range(len(self.table))
        known = preprocessing is not None and name in preprocessing.columns
        self.layouts[name] = preprocessing.layout(name) if preprocessing is not None and known else columns.categories(
            values, train)
        checks.check_categories(spec, values, self.layouts[name], self.table, ids=self.ids, findings=self.findings)
        checks.check_present(name, need, values.present.tolist(), spec=spec, table=self.table, ids=self.ids,
                             skip=frozenset(),
                             findings=self.findings)

    def read(self, workers: int | None, progress: Progress | None, cache: Path | None) -> None:
        """Reads every file of every input once."""
        wanted = [case_files.File(self.description.inputs[name], row, path)
                  for name, paths in self.paths.items() for row, path in enumerate(paths) if path is not None]
        shapes = case_files.check_files(wanted, self.table, self.ids, self.findings,
                                   cache=cache, workers=workers, progress=progress)
        for (name, row), shape in shapes.items():
            self.shapes.setdefault(name, {})[row] = shape
        checks.check_shared(wanted, self.division, self.table, self.ids, self.findings)

    def settle(self, name: str, need: InputNeed) -> None:
        """The size of an input."""
        spec = self.description.inputs.get(name)
        if spec is None or (name not in self.columns and name not in self.paths):
            return
        promised = spec.source.shape(spec.options)
        if name in self.columns:
            promised = (columns.width(spec.options, self.layouts[name]),)
        size = checks.resolve_sizes(spec, need, promised, self.shapes.get(name, {}), table=self.table, ids=self.ids,
                                    findings=self.findings)
        if size is not None:
            self.sizes[name] = size
        checks.check_size_known(spec, need, size, self._present(name), self.findings)

    def _present(self, name: str) -> list[bool]:
        if name in self.columns:
            return [bool(there) for there in self.columns[name].present]
        return [path is not None for path in self.paths[name]]

    def compare(self, heads: Mapping[str, HeadTarget], inputs: Mapping[str, InputNeed], required: bool) -> None:
        """What is wrong with the cohort as a whole."""
        present = {name: self._present(name) for name in (*self.columns, *self.paths)}
        if len(present) == len(inputs) and all(need.optional for need in inputs.values()):
            checks.check_some_input(present, self.table, self.ids, self.findings)
        if not required:
            return
        named = [self.description.targets[name].all_columns for name in heads if name in self.description.targets]
        known = [column for columns in named for column in columns if column not in self.missing]
        if len(known) == sum(map(len, named)):
            checks.check_targets_present(known, self.table, self.ids, self.findings)
        if self.divided:
            self._compare_parts(heads)

    def _compare_parts(self, heads: Mapping[str, HeadTarget]) -> None:
        train = self.division.rows("train") if self.division.parts else tuple(range(len(self.table)))
        for name, spec in self.learnt.items():
            checks.check_classes(name, heads[name], self.targets[name], spec, division=self.division, table=self.table,
                                 findings=self.findings)
            if heads[name].task == "regression":
                checks.check_target_varies(name, spec, self.targets[name], train, table=self.table,
                                           findings=self.findings)
        for name, values in self.columns.items():
            checks.check_varied(self.description.inputs[name], values, train, self.faulty, table=self.table,
                                findings=self.findings)
