"""A request as one case of a data file: written to a private folder that is gone when it has been read."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fusionkit.data.description import describe
from fusionkit.data.loading import Cohort, load_cohort
from fusionkit.errors import DataError, Diagnostic, GraphError, UserError, did_you_mean
from fusionkit.files import write_text
from fusionkit.serving.engine import Engine, RequestLimits
from fusionkit.serving.private import private_folder
from fusionkit.serving.uploads import Upload, bad_request, write_files
from fusionkit.syntax.writer import write

_FILE = "fusionkit file of "
_ONLY_TRAINING = ("root", "sheet", "patient", "split", "augment", "targets")
_CASES, _DATA, _ID = "cases.csv", "data.yaml", "case"


@dataclass(frozen=True)
class ReadCase:
    """A case in the form that the network takes, the inputs that it lacks, and what there is to warn of."""

    prepared: Any
    absent: tuple[str, ...]
    warnings: tuple[Diagnostic, ...]


class UploadReader:
    """Reads requests as cases of the data that a network was trained on, by way of files in `folder`.

    Raises: GraphError with `not-served` for inputs that a request cannot hold.
    """

    def __init__(self, engine: Engine, limits: RequestLimits) -> None:
        self.engine, self.limits = engine, limits
        self.folder: Path | None = None
        self.id: str = engine.data["id"]
        self.kinds = {name: _kind(name, item) for name, item in engine.data["inputs"].items() if name in engine.inputs}
        self._text = write(self._described())

    @property
    def file_inputs(self) -> list[str]:
        """The inputs that are sent as files."""
        return [name for name, kind in self.kinds.items() if kind in ("file", "files")]

    @cached_property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The columns of the table that each input reads; those that name uploaded files are no cells."""
        with private_folder() as folder:
            write_text(folder / _DATA, self._text)
            found = describe(folder / _DATA, registry=self.engine.registry)
        return {name: tuple(column for column in found.inputs[name].columns if not column.startswith(_FILE))
                for name in self.kinds}

    def read(self, upload: Upload) -> ReadCase:
        """The case of a request; no file of it is left.

        Raises: DataError with everything that is wrong, in terms of the request.
        """
        with private_folder(self.folder) as folder:
            try:
                files = write_files(upload, folder, self.limits)
                write_text(folder / _DATA, self._text)
                self._write_table(folder, upload, files)
                cohort = self._cohort(folder)
                case = self.engine.prepared(cohort)
            except UserError as error:
                raise DataError([_without(found, folder) for found in error.diagnostics]) from None
        return ReadCase(case, tuple(name for name in self.engine.inputs if not cohort.present(name)[0]),
                        tuple(_without(found, folder) for found in cohort.warnings))

    def _cohort(self, folder: Path) -> Cohort:
        return load_cohort(describe(folder / _DATA, registry=self.engine.registry), self.engine.heads,
                           self.engine.inputs, False, workers=1, preprocessing=self.engine.preprocessing)

    def _described(self) -> dict[str, Any]:
        """The data file of one case: inputs of files have a column with the name of the file that was sent."""
        plain = deepcopy({key: value for key, value in self.engine.data.items() if key not in _ONLY_TRAINING})
        plain["cases"] = _CASES
        plain["inputs"] = {name: item for name, item in plain["inputs"].items() if name in self.kinds}
        for name, item in plain["inputs"].items():
            if self.kinds[name] == "cells":
                item.pop("from_dicom", None)
            elif self.kinds[name] in ("file", "files"):
                item["path"] = f"{{{_FILE}{name}}}" + ("/*" if self.kinds[name] == "files" else "")
                item.pop("missing_ok", None)
        return plain

    def _write_table(self, folder: Path, upload: Upload, files: Mapping[str, Sequence[Path]]) -> None:
        row: dict[str, Any] = {self.id: upload.cells.get(self.id) or _ID, **upload.cells}
        known = {self.id, *(column for columns in self.columns.values() for column in columns)}
        for name in row:
            if name not in known:
                raise DataError(Diagnostic("unknown-cell", f"no input reads the column {name!r}",
                                           fix=did_you_mean(name, known - {self.id})))
        for name, columns in self.columns.items():
            if self.engine.inputs[name].optional and not any(column in row for column in columns):
                row |= dict.fromkeys(columns)
        for name in self.file_inputs:
            given = files.get(name, ())
            several = len(given) > 1 or self.kinds[name] == "files"
            place = "" if not given else given[0].parent.name if several else f"{given[0].parent.name}/{given[0].name}"
            row[f"{_FILE}{name}"] = place
        for name in files:
            if name not in self.file_inputs:
                raise bad_request(f"no input of files is named {name!r}", fix=did_you_mean(name, self.file_inputs)
                                  or "send cells of the table in the part 'cells'")
        with (folder / _CASES).open("w", newline="", encoding="utf-8") as stream:
            sheet = csv.writer(stream)
            sheet.writerow(row)
            sheet.writerow([_cell(value) for value in row.values()])


def _cell(value: Any) -> str:
    """A cell as text; truth values as in tables."""
    return "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)


def _kind(name: str, item: Mapping[str, Any]) -> str:
    """Whether an input is sent as cells, a file or folder, or several files, or follows from another.

    Raises: GraphError with `not-served`.
    """
    of = item.get("of")
    options = {**item, **(of if isinstance(of, dict) else {})}
    masked = [key for key in ("roi", "normalise") if isinstance(options.get(key), dict) and options[key].get("mask")]
    placed = [key for key in ("table", "tokenizer") if item.get(key)]
    for key in (*masked, *placed, *(["columns"] if item["read"] == "bag" and item.get("columns") else [])):
        raise GraphError(Diagnostic("not-served", f"the input {name!r} reads {key!r}, which a request cannot hold",
                                    why="a request has files for each input, and cells of one row",
                                    fix="use `fusionkit predict` on a data file"))
    if item["read"] == "positions":
        return "follows"
    if item.get("path") is None:
        return "cells"
    return "files" if item["read"] == "bag" and item.get("items", "files") == "files" else "file"


def _without(found: Diagnostic, folder: Path) -> Diagnostic:
    """A finding without the private folder, which means nothing to the sender."""
    def shown(text: str | None) -> str | None:
        return text and text.replace(f"{folder}/", "").replace(str(folder), "the request").replace(_FILE, "")

    span = found.span and replace(found.span, file=shown(found.span.file) or "", text=shown(found.span.text) or "")
    return replace(found, message=shown(found.message) or "", why=shown(found.why), fix=shown(found.fix), span=span)
