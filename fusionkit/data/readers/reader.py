"""The interface of readers, which read one input of a case from columns or from a file, and their list."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.data.readers.advice import Advice
    from fusionkit.data.readers.facts import Facts

Sizes = tuple[int | None, ...]
MAX_VALUES = 1 << 30  # of one array; a whole-body CT at half a millimetre has fewer


def _rising(window: tuple[float, float]) -> tuple[float, float]:
    if not window[0] < window[1]:
        raise ValueError("the first number must be smaller than the second")
    return window


Window = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]],
                   AfterValidator(_rising)]


def _bounded(size: tuple[int, ...]) -> tuple[int, ...]:
    if prod(size) > MAX_VALUES:
        raise ValueError(f"{' x '.join(map(str, size))} are {prod(size):,} values; at most {MAX_VALUES:,} are read")
    return size


Bounded = AfterValidator(_bounded)
"""Refuse an impossibly large size before any memory is allocated."""
PlaneSize = Annotated[tuple[PositiveInt, PositiveInt], Bounded]
VolumeSize = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Bounded]


class ReadError(Exception):
    """One file could not be read; the caller adds the case, the row and the column.

    `code` is stable; `message` starts with a predicate about the file and does not repeat its path.
    """

    def __init__(self, code: str, message: str, why: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.why = why
        self.fix = fix


def show_sizes(sizes: Sizes | None) -> str:
    """Sizes as written in a graph file, for messages."""
    if sizes is None:
        return "[auto]"
    return "[" + ", ".join("auto" if size is None else str(size) for size in sizes) + "]"


def is_decoder_failure(error: BaseException) -> bool:
    """Whether a decoder failed, rather than an interrupt or exit: panics of Rust code derive from BaseException."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class FileOptions(BaseModel):
    """The options of every reader of files.

    `filled` names further options whose texts may hold {column}, which is filled in from each row as in `path`.
    """

    filled: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1,
        description="Path of the file (or the folder of a series) of a case, relative to the data file; "
        "{column} is replaced by the cell of that column.",
    )
    missing_ok: bool = Field(
        False, description="If true, the input is missing for cases whose file does not exist."
    )


def file_size_fix(name: str, expected: Sizes, met: Sizes, *more: str) -> str:
    """The `size_fix` of readers of files with an option `size`; `more` are further options to write."""
    if len(expected) != len(met):
        return "choose another reader or another kind of input in the graph"
    resize = expected[1:] != met[1:] and None not in expected[1:] and len(expected) > 2
    writes = [*([f"'size: {show_sizes(expected[1:])}'"] if resize else []), *more]
    if writes:
        return f"write {' and '.join(writes)} on input {name!r} of the data file"
    return "correct the sizes in the graph, or give all files the same size"


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader by id; its module is imported when it is first used.

    A reader module provides `shape(options) -> Sizes | None`, the sizes without the batch axis that follow from the
    options (None for a size, or all sizes, known only from the file), and
    `size_fix(name, options, expected, met) -> str`, what to do if an input has unexpected sizes. If `files` is true, it
    provides `examine(path, options) -> (float32 array, Facts)`, channels first, which raises `ReadError`, and
    `advise(options, files) -> list[Advice]`, warnings about the metadata of all files of an input; else
    `columns(options)`, the columns of the table by the option that names them. `folders`: it also takes a folder.
    `package`: a package that must be importable, `extra`: the extra of fusionkit that installs it.
    """

    id: str
    module: str
    options_name: str
    summary: str
    files: bool = True
    folders: bool = False
    package: str | None = None
    extra: str | None = None

    def options(self) -> type[BaseModel]:
        """The class of the reader's options."""
        found: type[BaseModel] = getattr(import_module(self.module), self.options_name)
        return found

    def shape(self, options: Any) -> Sizes | None:
        """The sizes that follow from the options, without the batch axis."""
        found: Sizes | None = import_module(self.module).shape(options)
        return found

    def size_fix(self, name: str, options: Any, expected: Sizes, met: Sizes) -> str:
        """What to do if input `name` has unexpected sizes."""
        found: str = import_module(self.module).size_fix(name, options, expected, met)
        return found

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """The columns of the table that it reads, by the option that names them; `path` for readers of files."""
        if self.files:
            return {}
        found: dict[str, tuple[str, ...]] = import_module(self.module).columns(options)
        return found

    def examine(self, path: Path, options: Any) -> tuple[NDArray[np.float32], Facts]:
        """The array of one file, channels first, and its metadata.

        Raises: `ReadError` if the file does not match the options.
        """
        assert self.files, f"reader {self.id!r} reads no files; please report"
        found: tuple[NDArray[np.float32], Facts] = import_module(self.module).examine(path, options)
        return found

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """Warnings about the files of one input taken together; none without files."""
        if not files or not self.files:
            return []
        found: list[Advice] = import_module(self.module).advise(options, files)
        return found


def _reader(name: str, module: str, options_name: str, summary: str, **more: Any) -> Reader:
    return Reader(name, f"fusionkit.data.readers.{module}", options_name, summary, **more)


READERS: dict[str, Reader] = {
    reader.id: reader
    for reader in (
        _reader("columns", "columns", "ColumnsOptions", "numbers and categories from columns of the table",
                files=False),
        _reader("image", "image", "ImageOptions", "one PNG or JPEG picture"),
        _reader("numpy", "numpy", "ArrayOptions", "one array of a .npy or .npz file"),
        _reader("nifti", "nifti", "NiftiOptions", "one NIfTI volume, in closest canonical orientation",
                package="nibabel", extra="nifti"),
        _reader("dicom", "dicom.reader", "DicomOptions", "one DICOM series, a folder of slices", folders=True),
    )
}
