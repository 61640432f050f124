"""How one input of a case is read, from columns or from a file, and what readers of files have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt

from fusionkit.components.config import Config
from fusionkit.components.reader import Reader, Sizes
from fusionkit.data.geometry.options import MAX_VALUES, GeometryOptions, bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.data.readers.advice import Advice
    from fusionkit.data.readers.facts import Facts

__all__ = ["MAX_VALUES", "Sizes"]


def _rising(window: tuple[float, float]) -> tuple[float, float]:
    if not window[0] < window[1]:
        raise ValueError("the first number must be smaller than the second")
    return window


Window = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]],
                   AfterValidator(_rising)]


Bounded = AfterValidator(bounded)
"""Refuse an impossibly large size before any memory is allocated."""
PlaneSize = Annotated[tuple[PositiveInt, PositiveInt], Bounded]
VolumeSize = Annotated[tuple[PositiveInt | None, PositiveInt | None, PositiveInt | None], Bounded]


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


class LocatedOptions(Config):
    """Where the files of an input are."""

    model_config = ConfigDict(strict=False)

    path: str = Field(
        min_length=1, examples=["{id}"],
        description="Path of the file (or the folder of a series) of a case, relative to the data file; "
        "{column} is replaced by the cell of that column.",
    )
    missing_ok: bool = Field(
        False, description="If true, the input is missing for cases whose file does not exist."
    )


class FileOptions(GeometryOptions, LocatedOptions):
    """The options of every reader of files: derive a reader's own from it.

    `filled` names further options whose texts may hold {column}, which is filled in from each row as in `path`. Those
    of `GeometryOptions` are no reader's business: what it gives is turned, resampled and cut afterwards.
    """

    filled: ClassVar[tuple[str, ...]] = ()


def file_size_fix(name: str, expected: Sizes, met: Sizes, *more: str) -> str:
    """The `size_fix` of readers of files with an option `size`; `more` are further options to write."""
    if len(expected) != len(met):
        return "choose another reader or another kind of input in the graph"
    if len(met) == 2 and expected[1] == met[1]:
        return (f"write 'tokens: [null, {met[1]}]' on input {name!r} of the graph if the number of tokens differs "
                "between cases, or give all files the same size")
    resize = expected[1:] != met[1:] and None not in expected[1:] and len(expected) > 2
    writes = [*([f"'size: {show_sizes(expected[1:])}'"] if resize else []), *more]
    if writes:
        return f"write {' and '.join(writes)} on input {name!r} of the data file"
    return "correct the sizes in the graph, or give all files the same size"


class InputReader(Protocol):
    """How one input is read: a reader of files, which is a plugin, or the columns of the table."""

    @property
    def name(self) -> str:
        """The name under `read` in a data file."""

    @property
    def files(self) -> bool:
        """Whether it reads files."""

    @property
    def folders(self) -> bool:
        """Whether it also takes a folder."""

    @property
    def drawn(self) -> bool:
        """Whether it reads files that belong to an image, and are drawn on its grid."""

    @property
    def gives(self) -> str:
        """What a case is: an array, or one of the layouts that readers of all cases give."""

    @property
    def options(self) -> type[BaseModel]:
        """The class of its options."""

    def shape(self, options: Any) -> Sizes | None:
        """The sizes that follow from the options, without the batch axis; None where only the data tell."""

    def size_fix(self, name: str, options: Any, expected: Sizes, met: Sizes) -> str:
        """What to do if input `name` has unexpected sizes."""

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """The columns of the table that it reads, by the option that names them."""

    def examine(self, path: Path, options: Any, image: Facts | None = None) -> tuple[NDArray[np.float32], Facts]:
        """The array of one file, channels first, and its metadata; `image` has those of the image that it belongs to.

        Raises: `ReadError` if the file does not match the options.
        """

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """Warnings about the files of one input taken together; none without files."""


@dataclass(frozen=True, slots=True)
class FileReader:
    """A reader of files, by its declaration."""

    declared: Reader
    files: bool = True
    gives: str = "array"

    @property
    def name(self) -> str:
        """The name under `read` in a data file."""
        return self.declared.name

    @property
    def folders(self) -> bool:
        """Whether it also takes a folder."""
        return self.declared.folders

    @property
    def drawn(self) -> bool:
        """Whether it reads files that belong to an image, and are drawn on its grid."""
        return self.declared.onto is not None

    @property
    def options(self) -> type[BaseModel]:
        """The class of its options."""
        return self.declared.config

    def shape(self, options: Any) -> Sizes | None:
        """The sizes that follow from the options, without the batch axis; None where only the files tell."""
        found = self.declared.shape(options) if self.declared.shape else None
        if found and options.roi is not None and options.roi.outside == "channel":
            found = (None if found[0] is None else found[0] + 1, *found[1:])
        moved = any(each is not None for each in (options.orient, options.spacing, options.like, options.roi))
        if options.size is not None:
            return (found[0] if found else None, *options.size)
        return (found[0], *[None] * (len(found) - 1)) if found and moved else found

    def size_fix(self, name: str, options: Any, expected: Sizes, met: Sizes) -> str:
        """What to do if input `name` has unexpected sizes."""
        if self.declared.size_fix:
            return self.declared.size_fix(name, options, expected, met)
        return file_size_fix(name, expected, met)

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """No columns: the path names them."""
        return {}

    def examine(self, path: Path, options: Any, image: Facts | None = None) -> tuple[NDArray[np.float32], Facts]:
        """The array of one file, channels first, and its metadata; `image` has those of the image that it belongs to.

        Raises: `ReadError` if the file does not match the options.
        """
        found: tuple[NDArray[np.float32], Facts] = (
            self.declared.module(path, options) if image is None or self.declared.onto is None else
            self.declared.onto(path, options, image))
        return found

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """Warnings about the files of one input taken together; none without files."""
        return list(self.declared.advise(options, files)) if files and self.declared.advise else []
