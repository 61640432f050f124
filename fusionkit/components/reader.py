"""The interface for authors of readers: how one input of a case is read from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from fusionkit.components.config import ContractError
from fusionkit.components.declaration import Declaration

Sizes = tuple[int | None, ...]
"""Sizes without the batch axis, None for one that only the data tell."""
Gives = Literal["array", "text", "events", "series", "tokens"]
"""What a case is in the data: an array of any layout, the ids of a text, events, the steps of a series, or tokens of a
number of its own."""


@dataclass(frozen=True, repr=False)
class Reader(Declaration):
    """Reads one input of a case: `read: NAME` in a data file, with the options beside it.

    `config` derives from `fusionkit.reading.FileOptions`. `module(path, options)` gives a float32 array, channels
    first, without the batch axis, and the `Facts` of the file. It raises `ReadError` for a file that it cannot read,
    and imports heavy packages only when it is called. The array depends on the file and the options alone: it is
    cached on disk.

    `sample(folder)` writes a small valid file into an empty folder and gives its path: the conformance kit reads it,
    cuts it off and damages it. `shape(options)` gives the sizes that follow from the options, None where only the
    files tell. `advise(options, files)` gives `Advice`, warnings about the facts of all files of an input.
    `size_fix(name, options, expected, met)` says what to do where input `name` has other sizes than the graph.
    `folders`: it also takes a folder. `onto(path, options, image)` is `module` for a file that belongs to an image, as
    contours do, which are drawn on its grid: `image` has the `Facts` of that file. `headers(path, options, names)`
    gives the texts of elements of the header by name, an empty one where the file lacks it, several values parted by a
    backslash.

    With `whole` it reads an input of all cases at once, from cells of the table or from files of its own: `config`
    derives from `fusionkit.reading.CohortOptions`, `module(cases, options)` is given `fusionkit.reading.CohortCases`
    and returns `fusionkit.reading.Sequences`, and `sample(folder)` writes a study of a few cases and gives its data
    file. `gives` says what a case is. `scaled` are the ends of the range of values where no option sets it, None if
    only the files tell.

    Raises: ContractError for an unknown `gives`, or one other than `array` without `whole`.
    """

    _: KW_ONLY
    sample: Callable[[Path], Path]
    shape: Callable[[Any], Sizes | None] | None = None
    advise: Callable[[Any, Sequence[Any]], Sequence[Any]] | None = None
    size_fix: Callable[[str, Any, Sizes, Sizes], str] | None = None
    folders: bool = False
    onto: Callable[[Path, Any, Any], tuple[Any, Any]] | None = None
    headers: Callable[[Path, Any, Sequence[str]], Mapping[str, str]] | None = None
    whole: bool = False
    gives: Gives = "array"
    scaled: tuple[float, float] | None = None

    kind: ClassVar[str] = "reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gives not in get_args(Gives) or (self.gives != "array") != self.whole:
            raise ContractError(f"{self.id}: gives={self.gives!r}; a reader of all cases gives one of "
                                f"{', '.join(get_args(Gives)[1:])}, another one 'array'")
