"""The steps of loading a cohort that are about files: each is read once, and compared with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from fusionkit.data import bag_files, case_files, checks, masked_inputs, regions
from fusionkit.data.bag_files import Bag, Place
from fusionkit.data.companions import ALONE, Companions
from fusionkit.data.geometry.comparison import check_same_grid
from fusionkit.data.geometry.steps import NO_PART
from fusionkit.data.partial_cohort import PartialCohort
from fusionkit.errors import Diagnostic, Span


def read_files(loading: PartialCohort) -> PartialCohort:
    """Check every file of every input; each is read once, from the cache if possible.

    Inputs that are to be like another are read after it, on its grid.
    """
    inputs = loading.description.inputs
    lenders = _lenders(loading)
    loading, wrong = regions.find_parts(loading, lenders)
    every = {name: [None if (name, row) in wrong else path for row, path in enumerate(paths)]
             for name, paths in (*loading.paths.items(), *lenders.items())}
    first = _files(loading, {name: paths for name, paths in every.items() if inputs[name].options.like is None})
    rest = {name: paths for name, paths in every.items() if inputs[name].options.like is not None}
    waiting = len({file.identity for file in _files(loading, rest)})
    met = _check(loading, first, waiting=waiting)
    for name, paths in rest.items():
        targets, usable = _targets(loading, name, {**loading.paths, **lenders}, met)
        loading = replace(loading, beside={**loading.beside, name: targets})
        rest[name] = [path if there else None for path, there in zip(paths, usable, strict=True)]
    later = _files(loading, rest)
    if later:
        met |= _check(loading, later, waiting=waiting, before=len({file.identity for file in first}))
    loading = _without_items(loading, met)
    _warn_of_frames(loading, met)
    files = [file for file in (*first, *later) if file.spec.name in loading.paths]
    checked = {place: found for place, found in met.items() if place[0] in loading.paths}
    shapes = {place: found.shape for place, found in checked.items()}
    empty = masked_inputs.without_tokens(loading.inputs, inputs, shapes, table=loading.table, ids=loading.ids,
                                         findings=loading.findings)
    empty |= regions.without_part(loading, checked)
    checked = {place: found for place, found in checked.items() if place not in empty}
    loading = replace(loading, paths={name: [None if (name, row) in empty else path for row, path in enumerate(paths)]
                                      for name, paths in loading.paths.items()})
    files = [file for file in files if (file.spec.name, file.row) not in empty]
    checks.check_shared(files, loading.division, loading.table, loading.ids, loading.findings)
    for name in loading.paths:
        facts = {row: found.facts for (owner, row), found in sorted(checked.items()) if owner == name}
        checks.advise(loading.description.inputs[name], facts, loading.ids, loading.findings)
    if loading.preprocessing is not None:
        for found in loading.preprocessing.file_differences(
                loading.description, {place: file.facts for place, file in checked.items()}, loading.ids):
            loading.findings.add(found)
    return replace(loading, checked=checked)


def check_grids(loading: PartialCohort) -> PartialCohort:
    """Volumes that are joined voxel by voxel lie on one grid, and those that the data file says to."""
    order = list(loading.paths)
    pairs: dict[tuple[str, str], Span | None] = {}
    for place, name in enumerate(order):
        for other in order[place + 1:]:
            if loading.inputs[name].joined and other in loading.inputs[name].joined:
                pairs[name, other] = loading.description.span("inputs", other)
    for group in loading.description.same_grid:
        read = [name for name in group if name in loading.paths]
        pairs |= {(read[0], other): loading.description.span("same_grid") for other in read[1:]}
    if pairs:
        check_same_grid(pairs, loading.checked, loading.ids, loading.findings)
    return loading


def _files(loading: PartialCohort, places: Mapping[str, Sequence[Place | None]]) -> list[case_files.File]:
    """The files of some inputs by row."""
    inputs = loading.description.inputs
    return [file for name, paths in places.items() for row, place in enumerate(paths)
            for file in bag_files.files_of(inputs[name].of_row(partial(loading.table.cell, row)), row, place,
                                           loading.beside[name][row] if name in loading.beside else ALONE)]


def _check(loading: PartialCohort, files: Sequence[case_files.File], *, waiting: int, before: int = 0
           ) -> dict[tuple[str, int], case_files.Checked]:
    """What is found in files; for the progress, `waiting` are to be read after the first ones, of which `before` have
    been."""
    how, told = loading.reading, loading.reading.progress

    def tell(done: int, here: int) -> None:
        total = (before or here) + waiting
        if told is not None:
            told(min(before + done, total), total)

    found = case_files.check_files(files, loading.table, loading.ids, loading.findings, cache=how.cache,
                                   workers=how.workers, progress=None if told is None else tell)
    return _of_cases(loading, found)


def _of_cases(loading: PartialCohort, found: Mapping[tuple[str, int, int], case_files.Checked]
              ) -> dict[tuple[str, int], case_files.Checked]:
    """What was found by input and row; a case of which an item could not be read has nothing."""
    made: dict[tuple[str, int], case_files.Checked] = {}
    for (name, row, item), checked in found.items():
        bag = loading.paths[name][row] if name in loading.paths else None
        if not isinstance(bag, Bag):
            made[name, row] = checked
        elif item == 0:
            items = [found[name, row, place] for place in range(len(bag.files)) if (name, row, place) in found]
            joined = bag_files.together(loading.description.inputs[name], loading.ids[row], bag, items,
                                        loading.findings) if len(items) == len(bag.files) else None
            made |= {} if joined is None else {(name, row): joined}
    return made


def _without_items(loading: PartialCohort, met: Mapping[tuple[str, int], case_files.Checked]) -> PartialCohort:
    """The cohort without the items that their cases lack."""
    paths = {name: list(places) for name, places in loading.paths.items()}
    for (name, row), found in met.items():
        bag = paths[name][row] if name in paths else None
        if isinstance(bag, Bag) and found.kept is not None:
            paths[name][row] = bag.only(found.kept)
    return replace(loading, paths=paths)


def _lenders(loading: PartialCohort) -> dict[str, Sequence[Place | None]]:
    """The files of inputs that the network does not read, and that others of it are to be like."""
    found: dict[str, Sequence[Place | None]] = {}
    for name in loading.paths:
        other = loading.description.inputs[name].options.like
        if other is None or other in found or other in loading.paths:
            continue
        spec = loading.description.inputs[other]
        if loading.has_all(spec.named_columns, f"input {other!r}"):
            found[other] = case_files.locate(spec, loading.table, loading.ids, loading.findings)[0]
    return found


def _targets(loading: PartialCohort, name: str, paths: Mapping[str, Sequence[Place | None]],
             met: Mapping[tuple[str, int], case_files.Checked]) -> tuple[list[Companions], list[bool]]:
    """The grid that an input is to take in each row, and whether its file can be read, as far as this is known.

    Where the other file could not be read, nothing more is said. `no-geometry` where it has no grid.
    """
    other = loading.description.inputs[name].options.like
    targets = list(loading.beside.get(name, [ALONE] * len(loading.table)))
    usable, without = [True] * len(loading.table), []
    for row, path in enumerate(paths.get(other, ())):
        found = met.get((other, row))
        absent = path is None or (found is not None and found.facts.remark(NO_PART) is not None)
        if found is not None and not absent:
            drawn = loading.description.inputs[name].source.drawn
            targets[row] = replace(targets[row], target=found.facts.outcome_grid, image=found.facts if drawn else None)
            without += [row] if targets[row].target is None else []
        usable[row] = absent or targets[row].target is not None
    if without:
        loading.findings.add(Diagnostic(
            "no-geometry", f"input {name!r} is to be like {other!r}, whose files do not tell where their voxels are "
            f"({len(without)} cases, among them {loading.ids[without[0]]!r})",
            loading.description.span("inputs", name, "like"), "NumPy arrays and pictures never do",
            f"remove 'like', or give {other!r} as DICOM or NIfTI"), name)
    return targets, usable


def _warn_of_frames(loading: PartialCohort, met: Mapping[tuple[str, int], case_files.Checked]) -> None:
    """`frames-of-reference`: inputs on the grid of another whose scanner did not measure places alike."""
    for name in loading.beside:
        other = loading.description.inputs[name].options.like
        apart = [row for row in range(len(loading.table)) if (name, row) in met and (other, row) in met and len({
            met[owner, row].facts.frame_of_reference for owner in (name, other)} - {""}) == 2]
        if apart:
            loading.findings.add(Diagnostic(
                "frames-of-reference", f"{name!r} and {other!r} have different frames of reference in {len(apart)} "
                f"cases (such as {loading.ids[apart[0]]!r})", loading.description.span("inputs", name, "like"),
                "places in mm are comparable within one FrameOfReferenceUID only: the patient may lie elsewhere",
                "check that they were registered, or register them first", "warning"), name)
