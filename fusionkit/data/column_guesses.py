"""What each column of a table may be, each guess with its reason: the start of a data file for who has none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusionkit.data.dates import is_date
from fusionkit.data.hidden_patients import is_called_patient
from fusionkit.data.numbers import PLAIN, NumberFormat, is_finite, kind_of
from fusionkit.data.survival_guesses import SurvivalGuess, survival_guess
from fusionkit.data.table import Table
from fusionkit.files import inside

Role = Literal["id", "patient", "date", "site", "split", "target", "time", "numeric", "categorical", "files",
               "left out"]
READERS = {".nii.gz": "nifti", ".nii": "nifti", ".nrrd": "nrrd", ".nhdr": "nrrd", ".mha": "mha", ".mhd": "mha",
           ".npy": "numpy"} | dict.fromkeys(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"), "image") | dict.fromkeys(
    (".mp4", ".mov", ".avi", ".mkv", ".webm"), "video")
"""The reader of a file by the end of its name; a folder with .dcm files is read by `dicom`."""
MOST_CATEGORIES, MOST_CLASSES = 12, 10
_ID = re.compile(r"(^|_)(id|case|scan|study|exam|accession|name|number|no|nr|key|uid)($|_)")
_SPLIT = re.compile(r"split|partition|subset|^set$|^part$|fold")
_SITE = re.compile(r"(^|_)(site|hospital|cent(er|re)|institution|clinic)(_?(id|no|nr|name|code))?$")
_PARTS = {"train", "training", "validation", "val", "test"}
_TARGETS = ("target", "label", "outcome", "diagnosis", "class", "subtype", "type", "grade", "stage", "response",
            "result", "death", "died", "event", "malignan", "disease", "finding")
_MOST_FILES, _MOST_FOLDERS = 20_000, 200


@dataclass(frozen=True, slots=True)
class ColumnGuess:
    """What a column may be, and why; of files, `reader` and `path` are how an input reads them.

    `blank` is the number of blank cells, `values` the different ones where they are classes or categories. `sample` is
    one of the files. A target that is a time to an event has `survival`: its column is that of the event.
    """

    column: str
    role: Role
    why: str
    blank: int = 0
    values: tuple[str, ...] = ()
    reader: str = ""
    path: str = ""
    sample: Path | None = None
    survival: SurvivalGuess | None = None


def guess_columns(table: Table, folder: Path, id_column: str | None = None, target: str | None = None
                  ) -> list[ColumnGuess]:
    """A guess for each column, in the order of the table; at most one is `id`, `patient`, `date`, `site`, `split`,
    `target` and `time` each.

    `folder` is that of the table, in which files are looked for; `id_column` and `target` are what the user says.
    """
    cells = {name: table.cells(name) for name in table.columns if name}
    found: dict[str, ColumnGuess] = {}
    chosen = id_column or _id_of(cells, len(table))
    if chosen is not None:
        found[chosen] = ColumnGuess(chosen, "id", "you say so" if id_column else "no two rows have the same value")
    rest = [name for name in cells if name not in found and name != target]
    patient = next((name for name in rest if is_called_patient(name) and _repeats(cells[name])), None)
    if patient is not None:
        found[patient] = ColumnGuess(patient, "patient", f"it is called so, and {len(set(cells[patient]) - {''})} "
                                     f"values stand in {len(table)} rows")
    split = next((name for name in rest if name not in found and _SPLIT.search(name.lower())
                  and set(map(str.lower, cells[name])) <= _PARTS), None)
    if split is not None:
        found[split] = ColumnGuess(split, "split", "its cells are " + ", ".join(sorted(set(cells[split]))))
    for name in rest:
        filled = [cell for cell in cells[name] if cell]
        if name not in found and "site" not in _roles(found) and _SITE.search(name.lower()) and 2 <= len(
                set(filled)) <= len(table) / 3:
            found[name] = ColumnGuess(name, "site", f"it is called so, with {len(set(filled))} values; no network is "
                                      "given it", _blank(cells[name]))
        elif name not in found and "date" not in _roles(found) and len(set(filled)) > 1 and all(map(is_date, filled)):
            found[name] = ColumnGuess(name, "date", "it holds dates; no network is given it. As an input "
                                      f"'date: {{{name}: {{since: 2000-01-01}}}}' counts days", _blank(cells[name]))
    free = {name: cells[name] for name in cells if name not in found}
    found |= _survival_guesses(free, target)
    label = None if "target" in _roles(found) else target or _target_of(
        {name: cells[name] for name in free if name not in found})
    if label is not None:
        values = tuple(sorted(set(cells[label]) - {""}))
        why = "you say so" if target else f"it is the likeliest by its name or place, with {len(values)} values"
        found[label] = ColumnGuess(label, "target", why, _blank(cells[label]), values)
    return [found.get(name) or _input_guess(name, column, folder, len(table)) for name, column in cells.items()]


def _survival_guesses(cells: Mapping[str, tuple[str, ...]], target: str | None) -> dict[str, ColumnGuess]:
    """The time to an event as the target, unless another one is named: then its columns are left out all the same."""
    pair = survival_guess(cells, target)
    if pair is None:
        return {}
    later = "it looks like the time or the event of an outcome, which nobody knows when a case is predicted"
    if target is not None and target not in (pair.time, pair.event):
        return {name: ColumnGuess(name, "left out", later, _blank(cells[name]))
                for name in (pair.time, pair.event, *pair.others) if name != target}
    why = "you say so" if target else "it is called like one"
    doubt = f"; is 1 the event? {pair.doubt}: then add 'values: {{0: 1, 1: 0}}'" if pair.doubt else ""
    values = tuple(sorted(set(cells[pair.event]) - {""}))
    found = {name: ColumnGuess(name, "left out", later, _blank(cells[name])) for name in pair.others}
    return found | {
        pair.event: ColumnGuess(pair.event, "target", f"{why}: an event in {pair.events} of {len(cells[pair.event])} "
                                f"cases, until {pair.time!r}{doubt}", _blank(cells[pair.event]), values, survival=pair),
        pair.time: ColumnGuess(pair.time, "time", f"the time until {pair.event!r}; no network is given it",
                               _blank(cells[pair.time]))}


def _roles(found: Mapping[str, ColumnGuess]) -> set[Role]:
    return {guess.role for guess in found.values()}


def files_beside(folder: Path, ids: Sequence[str]) -> list[ColumnGuess]:
    """Folders beside the table with files or folders named after the cases: one input each, its path with `{id}`."""
    found: dict[str, ColumnGuess] = {}
    wanted = set(ids) - {""}
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))[
            :_MOST_FOLDERS]:
        counts: Counter[tuple[str, str]] = Counter()
        samples: dict[tuple[str, str], Path] = {}
        for number, entry in enumerate(place.iterdir()):
            if number >= _MOST_FILES:
                break
            ending, reader = _kind_of_file(entry)
            if reader and entry.name.removesuffix(ending) in wanted:
                counts[ending, reader] += 1
                samples.setdefault((ending, reader), entry)
        if counts:
            (ending, reader), count = counts.most_common(1)[0]
            why = f"{count} of {len(wanted)} cases have a file there"
            found[place.name] = ColumnGuess(place.name, "files", why, len(wanted) - count, (), reader,
                                            f"{place.name}/{{id}}{ending}", samples[ending, reader])
    return list(found.values())


def _kind_of_file(path: Path) -> tuple[str, str]:
    """The end of a name and its reader; '' and '' for what is not read."""
    ending = next((end for end in READERS if path.name.lower().endswith(end)), "")
    if ending:
        return path.name[-len(ending):], READERS[ending]
    if path.is_dir() and any(child.suffix.lower() == ".dcm" for child in path.rglob("*")):
        return "", "dicom"
    return "", ""


def _id_of(cells: dict[str, tuple[str, ...]], rows: int) -> str | None:
    """A column in which no two cells are equal and none is blank: one that is called so, else the first of words."""
    unique = [name for name, column in cells.items() if len(set(column)) == rows and all(column)]
    named = [name for name in unique if _ID.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
             or is_called_patient(name)]
    words = [name for name in unique if any(PLAIN.read(cell) is None for cell in cells[name])]
    return next(iter([*named, *words]), None)


def _target_of(cells: dict[str, tuple[str, ...]]) -> str | None:
    """The column that is called like a target, else the last one, of those with few different values."""
    few = [name for name, column in cells.items() if 2 <= len(set(column) - {""}) <= MOST_CLASSES
           and len(set(column) - {""}) <= len(column) / 3]
    named = [name for word in _TARGETS for name in few if word in name.lower()]
    return next(iter(named), few[-1] if few else None)


def _input_guess(name: str, column: tuple[str, ...], folder: Path, rows: int) -> ColumnGuess:
    filled = [cell for cell in column if cell]
    values = tuple(sorted(set(filled)))
    blank = rows - len(filled)
    if len(values) < 2:
        return ColumnGuess(name, "left out", "it is blank" if not values else f"every cell is {values[0]!r}", blank)
    if (files := _files_guess(name, filled, folder, blank)) is not None:
        return files
    faulty = [cell for cell in filled if (number := PLAIN.read(cell)) is None or not is_finite(number)]
    if not faulty:
        if len(values) == rows and all(cell.isdecimal() for cell in filled) and _ID.search(name.lower()):
            return ColumnGuess(name, "left out", "no two rows have the same number, and it is called like a number of "
                               "cases", blank)
        if any(re.fullmatch(r"0\d+", cell) for cell in filled):
            return _categories(name, values, blank, rows, "its numbers begin with 0, so that they are codes")
        note = f"; if its {len(values)} values are codes, move it to categorical" if 2 < len(values) <= 6 and all(
            cell.lstrip("-").isdecimal() for cell in filled) else ""
        return ColumnGuess(name, "numeric", f"every cell is a number{note}", blank)
    if all(is_date(cell) for cell in filled):
        return ColumnGuess(name, "left out", f"it holds dates; 'date: {{{name}: {{since: 2000-01-01}}}}' counts days",
                           blank)
    kind = kind_of(faulty[0], NumberFormat())
    if len(faulty) <= len(filled) / 2 or kind in ("marks", "limit", "unit", "several"):
        return ColumnGuess(name, "left out", f"{len(faulty)} of {len(filled)} cells are no plain numbers, as "
                           f"{faulty[0]!r}: say how they are meant (decimal, limits, blank)", blank)
    return _categories(name, values, blank, rows, f"it holds words, {len(values)} different ones")


def _categories(name: str, values: tuple[str, ...], blank: int, rows: int, why: str) -> ColumnGuess:
    if len(values) > min(MOST_CATEGORIES, max(2, rows // 3)):
        return ColumnGuess(name, "left out", f"{why}, too many for categories", blank)
    return ColumnGuess(name, "categorical", why, blank, values)


def _files_guess(name: str, filled: Sequence[str], folder: Path, blank: int) -> ColumnGuess | None:
    """A column of paths: its cells are files below the folder of the table."""
    if not all("." in cell or "/" in cell for cell in filled[:20]):
        return None
    paths = [inside(folder, cell) for cell in filled[:50]]
    present = [path for path in paths if path is not None and path.exists()]
    there = len(present)
    kinds = {_kind_of_file(path)[1] for path in present}
    if there < len(paths) / 2 or len(kinds) != 1 or kinds == {""}:
        return None
    why = f"its cells are paths, of which {there} of the first {len(paths)} exist"
    return ColumnGuess(name, "files", why, blank, (), next(iter(kinds)), f"{{{name}}}", present[0])


def _repeats(column: Sequence[str]) -> bool:
    filled = [cell for cell in column if cell]
    return len(set(filled)) < len(filled)


def _blank(column: Sequence[str]) -> int:
    return sum(not cell for cell in column)
