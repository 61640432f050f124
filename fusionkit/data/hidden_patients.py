"""Warnings, before splitting, about cases that seem to be of one patient though the data file names no patients."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.case_files import File
from fusionkit.data.division import Division
from fusionkit.data.findings import Findings
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic

_NAME = re.compile(r"(^|[^a-z])(patients?|pats?|subjects?|subj|participants?|persons?|people|probands?|individuals?|"
                   r"donors?|animals?|mouse|mrn|pid|records?)([^a-z]|id|no|nr|num|code|name|$)")
_STEM = re.compile(r"(.*[^\W_])[_\-\s](?:[A-Za-z]{0,6}\d{1,4}|[A-Za-z]{1,5})")
_LEAST_STEMS, _MOST_EACH = 5, 20  # more cases a stem are a site or a year, not a patient
_NEAR, _SHARE, _COLUMNS, _MOST_ROWS = 0.25, 0.05, 3, 2000
_SAMPLE = 1 << 14  # bytes that are compared first, at three places of a file
_FIX = "if they are, write 'patient: {}'; if not, 'group: none' under 'split'"


def check_patient_columns(table: Table, ids: Sequence[str], used: Collection[str | None], division: Division,
                          findings: Findings) -> bool:
    """Warns of `patient-not-named`: a column that repeats and is called like one, or ids that share a stem."""
    for column in table.columns:
        if not column or column in used or not is_called_patient(column):
            continue
        groups = table.cells(column)
        repeated = sum(count for name, count in Counter(groups).items() if name and count > 1)
        if repeated:
            findings.add(Diagnostic(
                "patient-not-named", f"column {column!r} has {len(set(groups) - {''})} different values in "
                f"{len(table)} cases, and no 'patient' is named: {_divided(groups, division)}", table.header(column),
                why="if a patient is in training and test, the test is on known cases",
                fix=_FIX.format(column), severity="warning"), "patient")
            return True
    stems = [found.group(1) if (found := _STEM.fullmatch(name)) else name for name in ids]
    counts = Counter(stems)
    repeated = sum(count for count in counts.values() if count > 1)
    if len(counts) >= _LEAST_STEMS and repeated > len(ids) / 5 and repeated <= _MOST_EACH * sum(
            count > 1 for count in counts.values()):
        most = counts.most_common(1)[0][0]
        alike = ", ".join(repr(name) for name, stem in zip(ids, stems, strict=True) if stem == most)
        findings.add(Diagnostic(
            "patient-not-named", f"{repeated} of {len(ids)} ids share a stem, as {alike[:80]} do, and no 'patient' is "
            f"named: {_divided(stems, division)}", table.header(), why="if a patient is in training and test, "
            "the test is on known cases", fix=_FIX.format("COLUMN") + "; add such a column to the table first",
            severity="warning"), "patient")
        return True
    return False


def is_called_patient(column: str) -> bool:
    """Whether a column is called like one that names patients."""
    return _NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower()) is not None


def _divided(groups: Sequence[str], division: Division) -> str:
    """The number of groups that are in several parts of the split, as text."""
    sides = defaultdict(set)
    for name, part in zip(groups, division.sides(len(groups)), strict=True):
        if name:
            sides[name].add(part)
    count = sum(len(parts) > 1 for parts in sides.values())
    return f"{count} of these are in several parts of the split"


def check_near_rows(table: Table, name: str, numbers: NDArray[np.float64], groups: Sequence[str], *,
                    division: Division, findings: Findings) -> None:
    """Warns of `near-identical`: cases whose numbers nearly agree with those of another patient's, in all columns.

    Shapes: `numbers` (rows, columns), NaN where blank.
    """
    kept = np.flatnonzero(~np.isnan(numbers).any(1))[:_MOST_ROWS]
    values = numbers[kept]
    # A column with few values, such as a count, makes cases equal by chance.
    varied = [column for column in range(values.shape[1]) if len(np.unique(values[:, column])) > len(values) / 2]
    if len(varied) < _COLUMNS or len(values) < 10 * len(varied):
        return
    white = _whitened(values[:, varied])
    if white.shape[1] < _COLUMNS:
        return
    _, group = np.unique([groups[row] for row in kept], return_inverse=True)
    generator = np.random.default_rng(0)
    apart = np.stack([generator.permutation(white[:, column]) for column in range(white.shape[1])], 1)
    usual = float(np.median(_nearest(apart, group)[0]))
    distance, other = _nearest(white, group)
    near = np.flatnonzero(distance < _NEAR * usual)
    if len(near) <= max(_SHARE * len(kept), 2):
        return
    sides = division.sides(len(table))
    across = sum(sides[kept[row]] != sides[kept[other[row]]] for row in near)
    first = near[0]
    lines = ", ".join(str(table.span(int(kept[row])).line) for row in (first, int(other[first])))
    findings.add(Diagnostic(
        "near-identical", f"{len(near)} of {len(kept)} cases nearly agree with another in all {len(varied)} measured "
        f"columns of input {name!r}, and {across} of them with one on another side of the split",
        table.span(int(kept[first])), why="they are closer than a quarter of what is usual; the first two are on "
        f"lines {lines}", fix="if they are of one patient, name the column that says so: 'patient: COLUMN'; "
        "if cases are copies, remove them", severity="warning"), name)


def _whitened(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uncorrelated columns of unit variance, so that columns that go together count once."""
    centred = (values - values.mean(0)) / values.std(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-3 * sizes[0]] * np.sqrt(len(values)))


def _nearest(values: NDArray[np.float64], group: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distance to the nearest row of another group, and which it is."""
    squares = (values**2).sum(1)
    distance = squares[:, None] + squares[None] - 2 * values @ values.T
    distance[group[:, None] == group[None]] = np.inf
    other = distance.argmin(1)
    return np.sqrt(np.maximum(distance[np.arange(len(values)), other], 0)), other


def check_copied_files(files: Sequence[File], groups: Sequence[str], division: Division, table: Table,
                       findings: Findings) -> None:
    """Warns of `copied-file`: files of one input with the same content, for cases of different patients."""
    sides = division.sides(len(table))
    by_input: dict[str, list[File]] = defaultdict(list)
    for file in files:
        by_input[file.spec.name].append(file)
    for name, own in by_input.items():
        pairs = [(one, other) for one, other in _copies(own) if groups[one.row] != groups[other.row]]
        if not pairs:
            continue
        across = sum(sides[one.row] != sides[other.row] for one, other in pairs)
        one, other = pairs[0]
        findings.add(Diagnostic(
            "copied-file", f"{len(pairs)} files of input {name!r} are copies of the file of another case, {across} of "
            f"them on another side of the split: first {str(other.path)!r} of {str(one.path)!r}", table.span(other.row),
            why="test cases may then have been seen in training",
            fix="remove the copy, or name the patient of both cases with 'patient: COLUMN'", severity="warning"), name)


def _copies(files: Sequence[File]) -> Iterator[tuple[File, File]]:
    """Each file beside the first with the same content, where there is one under another name."""
    sizes: dict[int, list[File]] = defaultdict(list)
    for file in {file.path: file for file in files if file.path.is_file()}.values():
        sizes[file.path.stat().st_size].append(file)
    for size, alike in sizes.items():
        first: dict[bytes, File] = {}
        for file in alike if len(alike) > 1 and size else ():
            other = first.setdefault(_sampled(file.path, size), file)
            if other is not file and _whole(other.path) == _whole(file.path):
                yield other, file


def _sampled(path: Path, size: int) -> bytes:
    """A digest of three places of a file."""
    found = sha256()
    with path.open("rb") as stream:
        for place in (0, size // 2, max(size - _SAMPLE, 0)):
            stream.seek(place)
            found.update(stream.read(_SAMPLE))
    return found.digest()


def _whole(path: Path) -> bytes:
    found = sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 20):
            found.update(part)
    return found.digest()
