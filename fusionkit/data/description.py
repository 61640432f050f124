"""`data.yaml` as a value: the cases, their split, and what is read for each."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionkit.data.augmentation import Augmentation, read_augmentation
from fusionkit.data.described_inputs import InputContext, inside_roots, is_typed, read_inputs
from fusionkit.data.fields import DataFieldReader, shown
from fusionkit.data.input_references import SAME_GRID, read_references
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.numbers import DECIMAL_MARKS, PLAIN, THOUSANDS_MARKS, NumberFormat, NumberFormats
from fusionkit.data.split_spec import SplitSpec, read_split
from fusionkit.data.study_columns import StudyColumns, read_study_columns
from fusionkit.data.target_spec import TargetSpec, read_targets
from fusionkit.errors import DataError, Diagnostic, Span
from fusionkit.registry.lookup import Registry, discover
from fusionkit.syntax.assign import assign
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import Items, Leaf, Mapping, Tree, find, to_plain

VERSION = 1
KEYS = ("fusionkit-data", "root", "cases", "id", "patient", "date", "site", "sheet", "blank", "decimal",
        "thousands", "split", "inputs", SAME_GRID, "augment", "targets")


@dataclass(frozen=True, slots=True)
class DataDescription:
    """A data file, parsed and checked on its own, without looking at the table and the files.

    `roots` are folders outside `folder` whose files may be read. `augmentation` is what training changes at random,
    `same_grid` are groups of inputs whose volumes must lie on one grid. `study` are columns that reports read.
    """

    file: Path
    folder: Path
    cases: Path
    id: str
    patient: str | None
    split: SplitSpec | None
    inputs: AbstractMapping[str, InputSpec]
    targets: AbstractMapping[str, TargetSpec]
    blank: tuple[str, ...]
    numbers: NumberFormats
    sheet: str | None
    tree: Tree = field(compare=False, repr=False)
    roots: tuple[Path, ...] = ()
    augmentation: Augmentation | None = None
    same_grid: tuple[tuple[str, ...], ...] = ()
    study: StudyColumns = field(default_factory=StudyColumns)

    def span(self, *path: str | int) -> Span:
        """The location of a value, or of the closest enclosing one."""
        return find(self.tree, path)

    def to_plain(self) -> dict[str, Any]:
        """The description with every default written out, as plain data for YAML or JSON."""
        plain = to_plain(self.tree)
        for name, spec in self.inputs.items():
            plain["inputs"][name] = (spec.measures.plain if spec.measures is not None else
                                     {"read": spec.reader, **spec.settings()})
        if self.augmentation is not None:
            plain["augment"] = self.augmentation.to_plain()
        if self.split is not None:
            plain["split"] = self.split.to_plain()
        return {key: plain[key] for key in KEYS if key in plain}


def describe(path: str | Path, sets: Sequence[str] = (), folder: Path | None = None, *,
             roots: Sequence[str | Path] = (), registry: Registry | None = None) -> DataDescription:
    """The description in a data file; `sets` are assignments such as `inputs.ct.size=[12,64,64]`.

    `folder` is what its paths are relative to, if that is not the folder of the file: a run has a copy of the
    data file elsewhere. `roots` are folders that may be read beside it and those that the file names as `root`.
    `registry` has the readers; without it they are those that are installed.

    Raises: `DataError` with every error in the file: `unreadable-file`, `unknown-key`, `missing-key`, `bad-value`,
    `data-version`, `unknown-reader`, `not-installed`, `missing-package`, `bad-option`, `bad-template`, `path-outside`,
    `no-root`, `bad-split`, `bad-target`, and those of `fusionkit.syntax.reader`.
    """
    path = Path(path)
    tree = read_file(path, DataError)
    for assignment in sets:
        tree = assign(tree, assignment, DataError)
    return described(tree, path, path.parent if folder is None else folder, roots=roots, registry=registry)


def described(tree: Tree, path: Path, folder: Path, *, roots: Sequence[str | Path] = (),
              registry: Registry | None = None) -> DataDescription:
    """The description in the tree of a data file, as of the text that somebody writes; otherwise as `describe`.

    Raises: `DataError` as `describe`.
    """
    found: list[Diagnostic] = []
    form = DataFieldReader(tree, "the data file", KEYS, found)
    _check_version(form)
    readable = (*_written_roots(form, folder), *_typed_roots(form, roots))
    cases, identifier = _cases(form, folder, readable), form.words("id")
    form.require("id", "COLUMN", ", the column with the id of each case")
    patient, blank = form.words("patient"), form.texts("blank") if form.has("blank") else ()
    registry = registry or discover()
    inputs = read_inputs(form, InputContext(folder, readable, registry))
    same_grid = read_references(form, inputs)
    augmentation = read_augmentation(form, inputs, registry)
    targets = read_targets(form, registry)
    split = read_split(form, targets)
    numbers, sheet, study = _numbers(form), form.words("sheet"), read_study_columns(form)
    if found:
        raise DataError(found)
    assert cases is not None and identifier is not None and blank is not None, "unnoted fault; please report"
    return DataDescription(path, folder, cases, identifier, patient, split, inputs, targets, blank, numbers, sheet,
                           tree, readable, augmentation, same_grid, study)


def _check_version(form: DataFieldReader) -> None:
    version = form.tree.get("fusionkit-data")
    if version is None:
        if not form.broken:
            form.note("data-version", "the data file has no version", fix="start it with 'fusionkit-data: 1'")
    elif not isinstance(version, Leaf) or version.value != VERSION or isinstance(version.value, bool):
        form.note("data-version", f"data files of version {shown(version)} cannot be read", version.span,
                  why=f"this fusionkit reads version {VERSION}", fix="write 'fusionkit-data: 1', or update fusionkit")


def _written_roots(form: DataFieldReader, folder: Path) -> list[Path]:
    """The folders that the file names as `root`, relative to its own."""
    if not form.has("root"):
        return []
    several = isinstance(form.tree.get("root"), Items)
    written = form.texts("root") or () if several else (form.words("root"),)
    found = [folder / name for name in written if name is not None]
    for place in found:
        if not place.is_dir():
            form.note("no-root", f"'root' names {str(place)!r}, which is no folder", form.at("root"),
                      fix="correct it, or connect its disk")
    return found


def _typed_roots(form: DataFieldReader, roots: Sequence[str | Path]) -> list[Path]:
    """The folders of --data-root, relative to where the command runs."""
    found = [Path(name).absolute() for name in roots]
    for place in found:
        if not place.is_dir():
            form.found.append(Diagnostic("no-root", f"--data-root names {str(place)!r}, which is no folder",
                                         fix="correct it, or connect its disk"))
    return found


def _cases(form: DataFieldReader, folder: Path, roots: Sequence[Path]) -> Path | None:
    form.require("cases", "cases.csv")
    written, span = form.words("cases"), form.at("cases")
    if written is None or (Path(written).is_absolute() and is_typed(span)):
        return None if written is None else Path(written)
    return inside_roots(form, written, span, folder, roots)


def _numbers(form: DataFieldReader) -> NumberFormats:
    """The decimal and thousands marks, for all columns or by column."""
    decimals, thousands = _marks(form, "decimal", DECIMAL_MARKS), _marks(form, "thousands", THOUSANDS_MARKS)
    usual = NumberFormat(decimals.get("", PLAIN.decimal), thousands.get("", PLAIN.thousands))
    formats = {column: NumberFormat(decimals.get(column, usual.decimal), thousands.get(column, usual.thousands))
               for column in dict.fromkeys((*decimals, *thousands))}
    for column, written in formats.items():
        if written.decimal == written.thousands:
            about = f" of column {column!r}" if column else ""
            form.note("bad-value", f"'decimal' and 'thousands'{about} are both {written.decimal!r}",
                      form.at("thousands" if form.has("thousands") else "decimal"),
                      fix="'decimal' precedes the decimals, 'thousands' separates groups of three digits")
    return NumberFormats(usual, {column: written for column, written in formats.items() if column})


def _marks(form: DataFieldReader, key: str, marks: Sequence[str]) -> dict[str, str]:
    """The mark under a key by column, that of all other columns under ''."""
    tree = form.tree.get(key)
    if tree is None:
        return {}
    written = tree.entries if isinstance(tree, Mapping) else {"": tree}
    found = {}
    for column, value in written.items():
        mark = value.value if isinstance(value, Leaf) else None
        if mark in marks:
            found[column] = str(mark)
        else:
            form.note("bad-value", f"{key!r} of the data file cannot be {shown(value)}", value.span,
                      why="it is one of " + ", ".join(f'"{mark}"' for mark in marks),
                      fix=f'write \'{key}: ","\', or by column \'{key}: {{COLUMN: ","}}\'')
    return found
