"""The interface for authors of readers: how one input of a case is read from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

from fusionkit.components.declaration import Declaration

Sizes = tuple[int | None, ...]
"""Sizes without the batch axis, None for one that only the data tell."""


@dataclass(frozen=True, repr=False)
class Reader(Declaration):
    """Reads one input of a case from a file: `read: NAME` in a data file, with the options beside it.

    `config` derives from `fusionkit.reading.FileOptions`. `module(path, options)` gives a float32 array, channels
    first, without the batch axis, and the `Facts` of the file. It raises `ReadError` for a file that it cannot read,
    and imports heavy packages only when it is called. The array depends on the file and the options alone: it is
    cached on disk.

    `sample(folder)` writes a small valid file into an empty folder and gives its path: the conformance kit reads it,
    cuts it off and damages it. `shape(options)` gives the sizes that follow from the options, None where only the
    files tell. `advise(options, files)` gives `Advice`, warnings about the facts of all files of an input.
    `size_fix(name, options, expected, met)` says what to do where input `name` has other sizes than the graph.
    `folders`: it also takes a folder. `headers(path, options, names)` gives the texts of elements of the header by
    name, an empty one where the file lacks it, several values parted by a backslash.
    """

    _: KW_ONLY
    sample: Callable[[Path], Path]
    shape: Callable[[Any], Sizes | None] | None = None
    advise: Callable[[Any, Sequence[Any]], Sequence[Any]] | None = None
    size_fix: Callable[[str, Any, Sizes, Sizes], str] | None = None
    folders: bool = False
    headers: Callable[[Path, Any, Sequence[str]], Mapping[str, str]] | None = None

    kind: ClassVar[str] = "reader"
