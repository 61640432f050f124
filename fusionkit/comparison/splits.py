"""The splits that all candidates share: folds instead of the data file's split, redrawn for every repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fusionkit.data.description import DataDescription
from fusionkit.data.findings import Findings
from fusionkit.data.loading import Cohort, HeadTarget
from fusionkit.data.split import divide
from fusionkit.data.split_spec import SplitSpec
from fusionkit.errors import DataError, Diagnostic


def in_folds(description: DataDescription, heads: Mapping[str, HeadTarget], folds: int, seed: int) -> DataDescription:
    """The description with its split replaced by grouped folds.

    They are stratified as in the split, else by the first target whose task is, such as one class per case. The seed is
    the split's own if it is random, else the given one.
    """
    before = description.split
    classes = [name for name, head in heads.items() if head.declared_task.stratified and name in description.targets]
    stratify = before.stratify if before and before.stratify else next(iter(classes), None)
    return replace(description, split=SplitSpec(
        span=before.span if before else description.span(), folds=folds, stratify=stratify,
        seed=before.seed if before and before.drawn else seed,
        group=before.group if before else None, grouped=before.grouped if before else True))


def repeated(cohort: Cohort, repeats: int, seeds: int = 1) -> list[Cohort]:
    """The cohort of every repeat: with drawn folds, each is split with the next seed, else all are the same.

    With `seeds` above 1 the division stays, and `repeats` is 1. Cached files are shared by all of them.
    Raises: DataError with the errors that `divide` finds.
    """
    spec = cohort.description.split
    if spec is None or not cohort.fold_count or spec.leave_out is not None or seeds > 1:
        return [cohort] * max(repeats, seeds)
    made = [cohort]
    if spec.fold_columns and repeats > len(spec.fold_columns):
        raise DataError(Diagnostic(
            "too-few-repeats", f"{repeats} repeats need as many columns of folds; the data file names "
            f"{len(spec.fold_columns)}", cohort.description.span("split", "folds"),
            why="stored folds are not drawn anew",
            fix="name one column for each repeat: 'folds: {column: [fold_1, fold_2]}', or ask for fewer repeats"))
    for repeat in range(1, repeats):
        description = replace(cohort.description, split=replace(
            spec, repeat=repeat if spec.fold_columns else 0, seed=spec.seed + (0 if spec.fold_columns else repeat)))
        findings = Findings()
        division = divide(description, cohort.table, cohort.ids, findings)
        findings.raise_errors()
        made.append(replace(cohort, description=description, division=division))
    return made


def narrowed(cohort: Cohort, inputs: Sequence[str]) -> Cohort:
    """The cohort without the inputs that a network does not read."""
    keep = set(inputs)
    return replace(cohort, sizes={name: size for name, size in cohort.sizes.items() if name in keep},
                   columns={name: values for name, values in cohort.columns.items() if name in keep},
                   layouts={name: layout for name, layout in cohort.layouts.items() if name in keep},
                   paths={name: paths for name, paths in cohort.paths.items() if name in keep})


def check_tested(cohort: Cohort) -> None:
    """Refuse a cohort without test cases, on which nothing can be compared.

    Raises: DataError with `nothing-to-test`.
    """
    if not cohort.fold_count and not cohort.split_rows("test"):
        raise DataError(Diagnostic("nothing-to-test", "the data file's split has no test cases",
                                   cohort.description.span("split"), why="candidates are compared on cases that none "
                                   "of them has seen", fix="use folds: --folds 5"))
