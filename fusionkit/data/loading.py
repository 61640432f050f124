"""From a data file to a checked cohort: all errors in the data are found here, before any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fusionkit.data import bag_files, checks, file_steps, leaks, masked_inputs, sequences, targets
from fusionkit.data.augmentation_checks import SeenInputs, check_augmentation
from fusionkit.data.bag_files import Place
from fusionkit.data.cohort import Cohort
from fusionkit.data.dataset import CaseDataset, MaskedCounts
from fusionkit.data.description import DataDescription
from fusionkit.data.division import Division
from fusionkit.data.doubtful_numbers import doubtful_numbers, out_of_range, target_scale
from fusionkit.data.findings import Findings
from fusionkit.data.header_tables import read_cases
from fusionkit.data.hidden_patients import check_copied_files, check_near_rows, check_patient_columns
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.item_positions import is_positions, positions_of
from fusionkit.data.left_out import check_column_read, check_left_out
from fusionkit.data.mask_measures import measure_masks
from fusionkit.data.partial_cohort import PartialCohort, Reading
from fusionkit.data.preprocessing import Preprocessing
from fusionkit.data.readers import columns
from fusionkit.data.readers.lookup import COLUMNS
from fusionkit.data.signature import HeadTarget, InputNeed
from fusionkit.data.split import divide, groups_of
from fusionkit.data.table import Table
from fusionkit.progress import Progress

__all__ = ["CaseDataset", "Cohort", "HeadTarget", "InputNeed", "load_cohort"]


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

    `heads` and `inputs` are the requirements of the network, by name. `require_targets` is False if cases may lack a
    target: a split is then used if the table allows it and is not checked. `progress(done, total)` is called after
    each file, in the calling thread. With `cache`, arrays are cached in that folder. `preprocessing` is that of a
    trained run: it determines the categories and thereby the sizes.

    Raises: `DataError` with everything that is wrong, each with its row and column; the codes are in docs/data.md.
    """
    table, faults = read_cases(description)
    loading = PartialCohort(_expanded(description, table), heads, inputs, require_targets, table,
                            preprocessing=preprocessing, reading=Reading(workers, progress, cache))
    loading.findings.extend(("", fault) for fault in faults)
    # Where rows could not be read, their absence would look like faults of the cohort.
    for step in _STEPS_OF_CELLS if any(fault.severity == "error" for fault in faults) else _STEPS:
        loading = step(loading)
    loading.findings.raise_errors()
    return Cohort(
        loading.description, loading.table, loading.ids, loading.patients, dict(heads), loading.sizes,
        loading.findings.of("warning"), loading.division, loading.columns, loading.layouts, loading.paths,
        loading.targets, loading.masked,
        frozenset(name for name, need in loading.inputs.items() if need.known), loading.beside,
        {place: found.facts for place, found in loading.checked.items()}, loading.gathered, loading.positions)


def check_cells(description: DataDescription, heads: Mapping[str, HeadTarget], table: Table) -> Findings:
    """What is wrong with the ids, targets, split and columns of a table, of which no other file is read."""
    inputs = {name: InputNeed(None, optional=True) for name, spec in description.inputs.items()
              if spec.source is COLUMNS}
    return _of_cells(description, heads, inputs, table).findings


def first_look(description: DataDescription, heads: Mapping[str, HeadTarget], inputs: Mapping[str, InputNeed],
               table: Table) -> PartialCohort:
    """Sizes and categories of inputs: of columns from all cells, of files from the first case that has one.

    Those that a fault hides are left out.
    """
    there = {name: need for name, need in inputs.items() if name in description.inputs}
    loading = _of_cells(description, heads, there, table)
    first = {name: next((row for row, path in enumerate(paths) if path is not None), None)
             for name, paths in loading.paths.items()}
    loading = replace(loading, paths={name: [path if row == first[name] else None for row, path in enumerate(paths)]
                                      for name, paths in loading.paths.items()})
    for step in (file_steps.read_files, _take_positions, _settle_sizes):
        loading = step(loading)
    return loading


def _of_cells(description: DataDescription, heads: Mapping[str, HeadTarget], inputs: Mapping[str, InputNeed],
              table: Table) -> PartialCohort:
    """What the table tells of a cohort."""
    loading = PartialCohort(_expanded(description, table), heads, inputs, True, table, preprocessing=None,
                            reading=Reading(None, None, None))
    for step in (_identify_rows, _read_targets, _divide_rows, _resolve_inputs):
        loading = step(loading)
    return loading


def _expanded(description: DataDescription, table: Table) -> DataDescription:
    """The description with the columns that its patterns mean."""
    return replace(description, inputs={
        name: replace(spec, options=columns.expanded(spec.options, table.columns)) if spec.source is COLUMNS else spec
        for name, spec in description.inputs.items()})


def _identify_rows(loading: PartialCohort) -> PartialCohort:
    """The id and the patient of every row; the data file must describe the network's inputs and targets."""
    description, table, findings = loading.description, loading.table, loading.findings
    named = loading.has_all([(description.id, ("id",))], "'id'")
    ids = checks.check_ids(table, description.id, findings) if named else tuple(
        f"row {row + 1}" for row in range(len(table)))
    patient = description.patient
    if patient is not None and patient not in table and not loading.required:
        # Patients matter for splits and intervals: cases that are only predicted need not have them.
        patient, description = None, replace(description, patient=None)
    known = patient is not None and loading.has_all([(patient, ("patient",))], "'patient'")
    study = [(column, (key,)) for key, column in (("date", description.study.date), ("site", description.study.site))
             if column is not None]
    # They are for reports: cases that are only predicted need not have them.
    if study and (all(column in table for column, _ in study) or loading.required) and loading.has_all(
            study, "the report"):
        findings.extend((str(description.study.date), found) for found in description.study.days(table, ids)[1])
    checks.check_described(description, loading.heads, loading.inputs, loading.required, findings)
    if loading.required:
        leaks.check_inputs_apart(description, tuple(loading.heads), tuple(loading.inputs), findings)
    if loading.preprocessing is not None:
        findings.extend(("", found) for found in loading.preprocessing.differences(description))
    return replace(loading, description=description, ids=ids, named=named,
                   patients=table.cells(patient) if patient and known else ids)


def _read_targets(loading: PartialCohort) -> PartialCohort:
    """The target of every head."""
    table, findings = loading.table, loading.findings
    values, learnt = {}, {}
    for name, head in loading.heads.items():
        spec = loading.description.targets.get(name)
        values[name] = targets.absent(head, len(table))
        if spec is None or (not loading.required and not all(column in table for column in spec.all_columns)):
            continue
        if loading.has_all(spec.named_columns, f"target {name!r}"):
            before = findings.count
            values[name] = targets.parse(table, name, spec, head, ids=loading.ids, findings=findings,
                                         formats=loading.description.numbers)
            # Consequences of an error are not reported.
            if findings.count == before:
                learnt[name] = spec
    return replace(loading, targets=values, learnt=learnt)


def _divide_rows(loading: PartialCohort) -> PartialCohort:
    """The split."""
    if not _splittable(loading):
        return loading
    findings = loading.findings if loading.required else Findings()
    before = findings.count
    division = divide(loading.description, loading.table, loading.ids, findings)
    divided = findings.count == before
    return replace(loading, division=division if loading.required or divided else Division(), divided=divided)


def _splittable(loading: PartialCohort) -> bool:
    description = loading.description
    spec = description.split
    if spec is None:
        return False
    stratify = description.targets[spec.stratify].all_columns if spec.stratify else ()
    keys = [("column", spec.column), ("group", spec.group), ("leave_out", spec.leave_out),
            *(("folds", column) for column in spec.fold_columns),
            *(("stratify", column) for column in stratify)]
    named = [(key, column) for key, column in keys if column is not None]
    if not loading.required:
        return all(column in loading.table for _, column in named)
    return loading.has_all([(column, ("split", key)) for key, column in named], "the split") and loading.named


def _resolve_inputs(loading: PartialCohort) -> PartialCohort:
    """The cells of each input of columns, and the file paths of each other input."""
    for name, need in loading.inputs.items():
        spec = loading.description.inputs.get(name)
        wrong: frozenset[int] = frozenset()
        if spec is None or is_positions(spec) or not loading.has_all(
                spec.named_columns, f"input {name!r}") or not sequences.check_layout(spec, need, loading.findings):
            continue
        if spec.source is COLUMNS:
            loading = _read_columns(loading, spec)
            wrong = loading.unmeasured.get(name, wrong)
        else:
            places, wrong = bag_files.locate(spec, loading.table, loading.ids, loading.findings, loading.description)
            loading = _gather(loading, spec, places) if not spec.source.files else replace(
                loading, paths={**loading.paths, name: places})
        if name in loading.gathered:
            wrong |= loading.gathered[name].faulty
        elif name not in (*loading.columns, *loading.paths):
            continue
        checks.check_present(name, need, loading.present(name), spec=spec, table=loading.table, ids=loading.ids,
                             skip=wrong, findings=loading.findings)
    return loading


def _gather(loading: PartialCohort, spec: InputSpec, places: Sequence[Place | None]) -> PartialCohort:
    """The sequences of an input, unless its reader refuses all of them."""
    before = loading.preprocessing.sequences.get(spec.name) if loading.preprocessing is not None else None
    paths = [place if isinstance(place, Path) else None for place in places]
    found = sequences.gather(spec, paths, loading.train, table=loading.table, ids=loading.ids, before=before,
                             description=loading.description, findings=loading.findings)
    return loading if found is None else replace(loading, gathered={**loading.gathered, spec.name: found})


def _read_columns(loading: PartialCohort, spec: InputSpec) -> PartialCohort:
    table, fitted = loading.table, loading.preprocessing
    values, faults = columns.parse(table, spec.name, spec.options, loading.ids, loading.description.numbers)
    loading.findings.extend(faults)
    train = loading.train
    layout = columns.categories(values, train, spec.options)
    if fitted is not None and spec.name in fitted.columns:
        layout = fitted.layout(spec.name) if len(fitted.layout(spec.name)) == len(layout) else layout
        ranges = fitted.columns[spec.name].ranges
        loading.findings.extend(
            (column, found) for position, column in enumerate(spec.options.measured[: len(ranges)])
            if (usual := ranges[position]) is not None
            for found in out_of_range(table, column, values.numeric[:, position], usual))
    # Of a column of free text one warning says all.
    texts = leaks.check_categories_repeat(table, spec.options.categorical, values, train, Findings())
    loading.findings.extend(found for found in columns.unknown_categories(
        table, spec.options, values, layout, loading.ids) if found[0] not in texts)
    return replace(loading, columns={**loading.columns, spec.name: values},
                   layouts={**loading.layouts, spec.name: layout},
                   faulty=loading.faulty | {column for column, _ in faults})


def _take_positions(loading: PartialCohort) -> PartialCohort:
    """The positions of the items of bags that the network reads."""
    made = dict(loading.positions)
    for name, need in loading.inputs.items():
        spec = loading.description.inputs.get(name)
        if spec is None or not is_positions(spec):
            continue
        found = positions_of(spec, loading.inputs, loading.description.inputs, checked=loading.checked,
                             rows=len(loading.table), findings=loading.findings)
        if found is not None and sequences.check_layout(spec, need, loading.findings):
            made[name] = found
            # What the bag lacks is said of the bag.
            lacking = frozenset(row for row, there in enumerate(loading.present(found.of)) if not there)
            skip = lacking if not loading.inputs[found.of].optional else frozenset()
            checks.check_present(name, need, [there is not None for there in found.by_row], spec=spec,
                                 table=loading.table, ids=loading.ids, skip=skip, findings=loading.findings)
    return replace(loading, positions=made)


def _settle_sizes(loading: PartialCohort) -> PartialCohort:
    """The size of every input."""
    sizes: dict[str, tuple[int, ...]] = {}
    masked: dict[str, MaskedCounts] = {}
    for name, need in loading.inputs.items():
        spec = loading.description.inputs.get(name)
        if name in loading.gathered and spec is not None:
            masked[name], sizes[name] = sequences.counted(
                spec, need, loading.gathered[name], table=loading.table, ids=loading.ids, findings=loading.findings)
            continue
        if spec is None or not any(name in known for known in (loading.columns, loading.paths, loading.positions)):
            continue
        promised = ((columns.width(spec.options, loading.layouts[name]),) if name in loading.columns else
                    spec.source.shape(spec.options))
        shapes = loading.positions[name].shapes if name in loading.positions else {
            row: found.shape for (owner, row), found in loading.checked.items() if owner == name}
        bag = loading.positions[name].bag if name in loading.positions else spec.bag
        if bag is not None and not masked_inputs.check_items(spec, need, loading.findings):
            continue
        shapes = {row: masked_inputs.evaluated(bag, shape) for row, shape in shapes.items()}
        varies = bag is not None or masked_inputs.is_masked(need, shapes.values())
        masked |= {name: masked_inputs.counts_of(need, shapes)} if varies else {}
        size = (masked_inputs.longest if varies else checks.resolve_sizes)(
            spec, need, promised, shapes, table=loading.table, ids=loading.ids, findings=loading.findings)
        if size is not None:
            sizes[name] = size
        checks.check_size_known(spec, need, size, loading.present(name), loading.findings)
    return replace(loading, sizes=sizes, masked=masked)


def _check_changes(loading: PartialCohort) -> PartialCohort:
    """Check what training changes at random."""
    if loading.required:
        inputs = SeenInputs(loading.sizes, loading.masked, loading.checked, loading.layouts)
        check_augmentation(loading.description, inputs, loading.heads, loading.ids, loading.findings)
    return loading


def _check_cohort(loading: PartialCohort) -> PartialCohort:
    """Check the cohort as a whole."""
    table, described = loading.table, loading.description.targets
    # Positions go with the items of another input, and are nothing without them.
    inputs = {name: need for name, need in loading.inputs.items() if name not in loading.positions}
    present = {name: loading.present(name) for name in (*loading.columns, *loading.paths, *loading.gathered)}
    if len(present) == len(inputs) and all(need.optional for need in inputs.values()):
        checks.check_some_input(present, table, loading.ids, loading.findings)
    if not loading.required:
        return loading
    learnt = [described[name] for name in loading.heads if name in described]
    # A task with columns of its own may leave out cases, and says so.
    if not any(spec.keys or set(spec.all_columns) & loading.missing for spec in learnt):
        checks.check_targets_present(learnt, table, loading.ids, loading.findings)
    if loading.divided:
        _check_parts(loading)
    return loading


def _check_parts(loading: PartialCohort) -> None:
    table, division, findings, train = loading.table, loading.division, loading.findings, loading.train
    split = loading.description.split
    if split is not None and split.leave_out is not None:
        check_column_read(split.leave_out, loading.description, loading.columns, findings)
    for name, spec in loading.learnt.items():
        task = loading.heads[name].declared_task
        if split is not None and split.leave_out is not None:
            check_left_out(name, loading.heads[name], loading.targets[name], split, division=division,
                           span=loading.description.span("split", "leave_out"), findings=findings)
        if task.keys:
            checks.check_own_parts(name, loading.heads[name], loading.targets[name], spec, division=division,
                                   table=table, findings=findings)
        elif task.cells != "number":
            checks.check_classes(name, loading.heads[name], loading.targets[name], spec, division=division, table=table,
                                 findings=findings)
        else:
            checks.check_target_varies(name, spec, loading.targets[name], train, table=table, findings=findings)
    for name, values in loading.columns.items():
        findings.extend(fault for fault in columns.constant_columns(
            table, name, loading.description.inputs[name].options, values, train) if fault[0] not in loading.faulty)


def _warn_of_doubts(loading: PartialCohort) -> PartialCohort:
    """Warnings about values that may have another meaning, once per column; from training cases only."""
    if not loading.required:
        return loading
    table, findings, train = loading.table, loading.findings, loading.train
    answers = dict(answer for name in loading.learnt
                   for answer in leaks.answers_of(name, loading.heads[name], loading.targets[name]))
    for name, spec in loading.learnt.items():
        if loading.heads[name].declared_task.cells == "number" and not loading.heads[name].scaled:
            wanted = np.where(loading.targets[name].present[:, None], loading.targets[name].values, np.nan)
            for position, column in enumerate(spec.all_columns):
                findings.extend((column, doubt) for doubt in target_scale(table, column, wanted[:, position], train))
    for name, values in loading.columns.items():
        options = loading.description.inputs[name].options
        texts = leaks.check_categories_repeat(table, options.categorical, values, train, findings)
        leaks.check_spellings(table, options.categorical, values, train, findings)
        for column, codes, numbers in columns.as_codes(values, options):
            if column not in loading.faulty and column not in texts:
                leaks.check_tells_target(table, column, codes, numbers, answers=answers, patients=loading.patients,
                                         findings=findings)
        for position, column in enumerate(options.numeric):
            if column not in loading.faulty:
                findings.extend((column, doubt) for doubt in doubtful_numbers(
                    table, column, loading.description.numbers.of(column), values.numeric[:, position], train))
    for name, gathered in loading.gathered.items():
        spec_of_text = loading.description.inputs[name]
        if spec_of_text.source.gives == "text":
            leaks.check_text_tells(name, spec_of_text.span, gathered.arrays, answers=answers,
                                   patients=loading.patients, findings=findings)
    return loading


def _warn_of_patients(loading: PartialCohort) -> PartialCohort:
    """Cases that are split as independent ones but seem to be of one patient."""
    description, table, findings = loading.description, loading.table, loading.findings
    split = description.split
    if not loading.required or not loading.divided or split is None or not split.grouped:
        return loading
    _, groups = groups_of(description, table, loading.ids)
    if description.patient is None and split.group is None:
        used = {column for spec in description.targets.values() for column in spec.all_columns}
        used |= {column for column in (description.id, split.column, split.leave_out) if column is not None}
        check_patient_columns(table, loading.ids, used, loading.division, findings)
    for name, values in loading.columns.items():
        check_near_rows(table, name, values.numeric, groups, division=loading.division, findings=findings)
    files = [file for name, places in loading.paths.items() for row, place in enumerate(places)
             for file in bag_files.files_of(description.inputs[name], row, place)]
    check_copied_files(files, groups, loading.division, table, findings)
    return loading


_STEPS: tuple[Callable[[PartialCohort], PartialCohort], ...] = (
    _identify_rows, measure_masks, _read_targets, _divide_rows, _resolve_inputs, file_steps.read_files,
    file_steps.check_grids, _take_positions, _settle_sizes, _check_changes, _check_cohort, _warn_of_doubts,
    _warn_of_patients)
"""The steps in order; a column that several steps miss is reported by the first."""
_STEPS_OF_CELLS: tuple[Callable[[PartialCohort], PartialCohort], ...] = (
    _identify_rows, measure_masks, _read_targets, _resolve_inputs)
