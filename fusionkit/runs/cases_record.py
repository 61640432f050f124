"""Record of the cases a run was started with, their parts and a digest of each, so that it is resumed with the same.

Prepared values are hashed, not stored: a run folder does not reveal the data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from fusionkit.data.division import Division
from fusionkit.data.loading import Cohort
from fusionkit.errors import DataError, Diagnostic
from fusionkit.files import read_json, write_json

CASES = "cases.json"
VERSION = 1
PARTS = ("train", "validation", "test")
_NAMED = 8
_DIFFERS_FIX = "use what it was started with, or train in another folder"


@dataclass(frozen=True)
class CasesRecord:
    """The cases of a run by id.

    `parts` are the ids of train, validation and test, empty for a folder of folds; `folds` those that each fold tests,
    empty for a single training; `fold` is the requested fold of a run. `split` is the data file's split,
    `cases` a digest of all values of a case, `fields` one of each column, of the files of each input and each target.
    `patients` is empty where the data name none. `held_out` are the training cases that each network holds out, empty
    where the networks hold out no different cases. `fold_names` are the values of a column, such as sites, that the
    folds leave out, empty where they leave out none.
    """

    parts: dict[str, list[str]]
    folds: list[list[str]]
    fold: int | None
    split: dict[str, Any] | None
    cases: dict[str, str]
    fields: dict[str, str]
    patients: dict[str, str] = field(default_factory=dict)
    held_out: list[list[str]] = field(default_factory=list)
    fold_names: list[str] = field(default_factory=list)

    def rows(self, part: str, ids: Sequence[str]) -> tuple[int, ...]:
        """The rows of a part in their original order; all its ids must exist."""
        place = {name: row for row, name in enumerate(ids)}
        return tuple(place[name] for name in self.parts[part])

    def division(self, ids: Sequence[str]) -> Division:
        """The folds of the run for these ids; all of its ids must exist."""
        fold = {name: number for number, names in enumerate(self.folds) for name in names}
        return Division((), np.array([fold[name] for name in ids], dtype=np.int64), len(self.folds),
                        tuple(self.fold_names))

    def write(self, folder: Path) -> None:
        """Write it to the folder of the run."""
        write_json(folder / CASES, {"fusionkit-cases": VERSION, **asdict(self)})


def record_of(cohort: Cohort, parts: Mapping[str, Sequence[int]], *, fold: int | None = None,
              held_out: Sequence[Sequence[int]] = ()) -> CasesRecord:
    """The record of a run with these cases; without `parts` that of a folder of folds.

    `held_out` are positions among the training cases, for each network.
    """
    folds = [cohort.fold(number)[1] for number in range(cohort.fold_count)] if not parts else []
    values = _values(cohort)
    hashed = [hashlib.blake2b(digest_size=8) for _ in cohort.ids]
    for named, cells in values.items():
        for digest, cell in zip(hashed, cells, strict=True):
            digest.update(named.encode() + b"\0" + cell + b"\1")
    order = sorted(range(len(cohort)), key=lambda row: cohort.ids[row])
    return CasesRecord(
        parts={name: [cohort.ids[row] for row in parts[name]] for name in PARTS} if parts else {},
        folds=[[cohort.ids[row] for row in rows] for rows in folds], fold=fold,
        split=_plain(cohort.description.to_plain().get("split")),
        cases={name: digest.hexdigest() for name, digest in zip(cohort.ids, hashed, strict=True)},
        fields={named: hashlib.blake2b(b"\1".join(cells[row] for row in order), digest_size=8).hexdigest()
                for named, cells in values.items()},
        patients=dict(zip(cohort.ids, cohort.patients, strict=True)) if cohort.description.patient is not None else {},
        held_out=[[cohort.ids[parts["train"][place]] for place in places] for places in held_out],
        fold_names=list(cohort.division.names) if not parts else [])


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _values(cohort: Cohort) -> dict[str, list[bytes]]:
    """The values of every field by row, as bytes that are equal exactly where the values are."""
    found: dict[str, list[bytes]] = {}
    for name, values in cohort.columns.items():
        options = cohort.description.inputs[name].options
        for place, column in enumerate(options.numeric):
            found[f"column {column!r} of input {name!r}"] = [cell.tobytes() for cell in values.numeric[:, place]]
        for place, column in enumerate(options.categorical):
            found[f"column {column!r} of input {name!r}"] = [row[place].encode() for row in values.categorical]
    for name, paths in cohort.paths.items():
        facts = [cohort.facts.get((name, row)) for row in range(len(paths))]
        found[f"the files of input {name!r}"] = [fact.digest.encode() if fact else b"" for fact in facts]
    for name, positions in cohort.positions.items():
        found[f"the positions of input {name!r}"] = [b"" if there is None else there.tobytes()
                                                     for there in positions.by_row]
    for name, sequences in cohort.gathered.items():
        found[f"the {cohort.description.inputs[name].source.gives} of input {name!r}"] = [
            b"" if array is None else array.tobytes() for array in sequences.arrays]
    for name, target in cohort.targets.items():
        found[f"target {name!r}"] = [np.asarray(value).tobytes() if there else b""
                                     for value, there in zip(target.values, target.present, strict=True)]
    if cohort.description.patient is not None:
        found[f"column {cohort.description.patient!r}, the patient"] = [name.encode() for name in cohort.patients]
    return found


def read_record(folder: Path) -> CasesRecord | None:
    """The record of the run in a folder; None for a folder without a run, or of a release without records.

    Raises: DataError with `bad-record`.
    """
    if not (folder / CASES).exists():
        return None
    try:
        plain = read_json(folder / CASES)
        if plain.pop("fusionkit-cases") != VERSION:
            raise ValueError("it was written by another release")
        if unknown := sorted(plain.keys() - CasesRecord.__dataclass_fields__.keys()):
            raise ValueError(f"it has {', '.join(unknown)}, which no record has")
        # As JSON, since a dataclass is not made of a dict where types are strict.
        record = TypeAdapter(CasesRecord).validate_json(json.dumps(plain), strict=True)
        _check(record)
        return record
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise DataError(Diagnostic("bad-record", f"{str(folder / CASES)!r} cannot be read", why=_reason(problem),
                                   fix="train in another folder")) from None


def _check(record: CasesRecord) -> None:
    """Raises: ValueError where the parts of a record do not go together."""
    if record.parts and record.parts.keys() != {*PARTS}:
        raise ValueError(f"its parts are {', '.join(record.parts)}")
    divided = [*record.parts.values(), *record.folds]
    listed = [name for names in divided for name in names]
    if not record.cases or (divided and (set(listed) - record.cases.keys() or len(listed) != len(set(listed)))):
        raise ValueError("its parts and its cases are not the same")
    if record.folds and len(listed) != len(record.cases):
        raise ValueError("its folds do not hold all cases")
    if record.fold_names and len(record.fold_names) != len(record.folds):
        raise ValueError("it does not name all folds")


def _reason(problem: Exception) -> str:
    if isinstance(problem, ValidationError):
        first = problem.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}"
    return f"{type(problem).__name__}: {problem}"


def differences(before: CasesRecord, now: CasesRecord, folder: Path) -> list[Diagnostic]:
    """Differences between the cases of a resumed run and those it was started with."""
    found = []
    if gone := [name for name in before.cases if name not in now.cases]:
        found.append(f"{count_of(gone, 'case')} of it {'is' if len(gone) == 1 else 'are'} no longer in the table: "
                     f"{names_of(gone)}")
    if more := [name for name in now.cases if name not in before.cases]:
        found.append(f"the table has {count_of(more, 'new case')}: {names_of(more)}")
    if before.fields.keys() != now.fields.keys():
        other = [*(name for name in before.fields if name not in now.fields),
                 *(name for name in now.fields if name not in before.fields)]
        found.append(f"other values are read: {'; '.join(other[:_NAMED])}")
    else:
        changed = [name for name, digest in before.cases.items() if now.cases.get(name, digest) != digest]
        fields = [name for name, digest in before.fields.items() if now.fields[name] != digest]
        if changed:
            # If cases were added or removed, the digest of every column differs and is of no use.
            where = f" in {', '.join(fields[:_NAMED])}" if before.cases.keys() == now.cases.keys() else ""
            found.append(f"{count_of(changed, 'case')} {'has' if len(changed) == 1 else 'have'} other values{where}: "
                         f"{names_of(changed)}")
    if before.fold is not None and now.fold is not None and before.fold != now.fold:
        found.append(f"it is of fold {before.fold}, and fold {now.fold} is asked for")
    if before.split != now.split:
        found.append(f"'split' was {before.split} and is {now.split}")
    elif before.fold_names and now.fold_names:
        sites = {name: site for site, names in zip(now.fold_names, now.folds, strict=True) for name in names}
        if moved := [name for site, names in zip(before.fold_names, before.folds, strict=True) for name in names
                     if sites.get(name, site) != site]:
            found.append(f"{count_of(moved, 'case')} {'has' if len(moved) == 1 else 'have'} another value in the "
                         f"column that is left out: {names_of(moved)}")
    elif before.split and "column" in before.split:
        found.extend(_moved(before, now))
    return [Diagnostic("resume-differs", f"the run in {str(folder)!r} cannot be resumed: {text}", fix=_DIFFERS_FIX)
            for text in found]


def _moved(before: CasesRecord, now: CasesRecord) -> list[str]:
    """Cases that the split column assigns to another part than when the run was started."""
    found = []
    # Some training cases may have been held out for validation, which the column does not show.
    learnt = set(before.parts["train"]) | set(before.parts["validation"])
    learnt_now = set(now.parts["train"]) | set(now.parts["validation"])
    parts = [("test", set(before.parts["test"]), set(now.parts["test"])), ("train or validation", learnt, learnt_now)]
    if before.parts["validation"] and now.parts["validation"]:
        parts[1:] = [(name, set(before.parts[name]), set(now.parts[name])) for name in ("train", "validation")]
    for name, old, new in parts:
        if gone := sorted((old - new) & now.cases.keys()):
            found.append(f"{count_of(gone, 'case')} of {name!r} {'is' if len(gone) == 1 else 'are'} in another part of "
                         f"the split: {names_of(gone)}")
    return found


def count_of(names: Sequence[str], what: str) -> str:
    """A count with its noun."""
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


def names_of(names: Sequence[str]) -> str:
    """The first of some ids, for a message."""
    return ", ".join(map(repr, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")
