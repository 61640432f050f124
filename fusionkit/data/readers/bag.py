"""Several items of a case: the files of a bag, each read by one reader of files, or the slices of one volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from fusionkit.components.config import Config
from fusionkit.components.reader import Sizes
from fusionkit.data.readers.reader import FileReader, file_size_fix

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from fusionkit.data.readers.advice import Advice
    from fusionkit.data.readers.facts import Facts

MOST_FILES = 4096
"""The most files of one case."""
_WAYS = "'path' with a pattern, 'columns', 'table' with 'id' and 'path', or 'items: slices'"


class BagOptions(Config):
    """Options of `read: bag`; those of a single item are under `of`."""

    model_config = ConfigDict(strict=False)

    of: dict[str, Any] = Field(
        examples=[{"read": "image", "size": [224, 224]}],
        description="How one item is read: a reader of files with its options, without `path`.")
    path: str | None = Field(
        None, min_length=1, description="The files of a case, relative to the data file: {column} is replaced by the "
        "cell of that column, and `*`, `?` and `[...]` match as in a shell, in the natural order of names (2 before "
        "10). With `table` the columns are its own and there is no pattern; with `items: slices` it is one volume.")
    missing_ok: bool = Field(False, description="If true, files that do not exist are left out of the bag.")
    columns: tuple[str, ...] | None = Field(
        None, min_length=1, description="Columns of the table of cases that each hold the path of one item, instead "
        "of `path`; an item whose cell is blank is left out.")
    table: str | None = Field(
        None, min_length=1, description="A table with one item a row, relative to the data file.")
    id: str | None = Field(None, min_length=1, description="The column of `table` that holds the id of the case.")
    order: str | None = Field(
        None, min_length=1, description="The column of `table` by which items are sorted; without it they stay in the "
        "order of the rows.")
    position: str | None = Field(
        None, min_length=1, description="The column of `table` with a number that says where an item is, such as the "
        "months since the first visit; an input `read: positions` gives it to the network.")
    items: Literal["files", "slices"] = Field(
        "files", description="`files`: each file is an item. `slices`: the slices of one volume are.")
    every: PositiveFloat | None = Field(
        None, description="With `items: slices`: the distance of the slices that are taken in mm, rounded to whole "
        "slices; both ends lose as much. Without it all are taken.")
    neighbours: PositiveInt = Field(
        1, description="With `items: slices`: how many slices form the channels of an item, an odd number; 3 are the "
        "slice before, the slice itself and the one after, and the first and last slice are repeated at the ends.")
    most: PositiveInt | None = Field(
        None, description="In training, as many items of a case at most, drawn anew in every epoch; their order stays.")
    most_evaluate: PositiveInt | None = Field(
        None, description="In evaluation and prediction, as many items at most, evenly spread; without it all.")

    @model_validator(mode="before")
    @classmethod
    def _path_of_the_item(cls, given: Any) -> Any:
        """A path under `of` is that of the bag."""
        inner = given.get("of") if isinstance(given, Mapping) else None
        if not isinstance(inner, Mapping):
            return given
        moved = {key: inner[key] for key in ("path", "missing_ok") if key in inner}
        twice = [key for key in moved if key in given]
        if twice:
            raise ValueError(f"{twice[0]!r} is written twice; keep it beside 'read: bag'")
        return {**given, **moved, "of": {key: value for key, value in inner.items() if key not in moved}}

    @field_validator("neighbours")
    @classmethod
    def _odd(cls, count: int) -> int:
        if count % 2 == 0:
            raise ValueError("as many slices lie before as after, so it is an odd number")
        return count

    @model_validator(mode="after")
    def _one_way(self) -> BagOptions:
        if self.items == "slices":
            beside = [key for key in ("columns", "table", "id", "order", "position") if getattr(self, key) is not None]
            if beside or self.path is None:
                raise ValueError(f"slices are of the one volume that 'path' names; "
                                 f"{f'remove {beside[0]!r}' if beside else 'write it'}")
        elif self.every is not None or self.neighbours != 1:
            raise ValueError("'every' and 'neighbours' are about the slices of a volume; write 'items: slices', or "
                             "remove them")
        if self.table is None:
            beside = [key for key in ("id", "order", "position") if getattr(self, key) is not None]
            if beside:
                raise ValueError(f"{beside[0]!r} is a column of 'table'; write 'table: FILE', or remove it")
            if (self.path is None) == (self.columns is None):
                raise ValueError(f"it takes its files from one of {_WAYS}; write one")
        elif self.path is None or self.id is None or self.columns is not None:
            raise ValueError("'table' needs 'id', the column with the id of the case, and 'path', such as "
                             "'path: \"mr/{file}\"'; write both, without 'columns'")
        return self

    @property
    def sliced(self) -> bool:
        """Whether the items are the slices of one volume."""
        return self.items == "slices"


@dataclass(frozen=True, slots=True)
class BagReader:
    """Reads the items of a bag by a reader of files; its `options` are those of the bag, the item's are given to it."""

    inner: FileReader | None = None
    name: str = "bag"
    gives: str = "array"
    files: bool = True

    @property
    def drawn(self) -> bool:
        """Whether an item is drawn on an image, and may need its metadata to be read."""
        return self.inner is not None and self.inner.drawn

    @property
    def of(self) -> FileReader:
        """The reader of one item."""
        assert self.inner is not None, "a bag without a reader of its items; please report"
        return self.inner

    @property
    def folders(self) -> bool:
        """Whether an item may be a folder."""
        return self.of.folders

    @property
    def options(self) -> type[BaseModel]:
        """The class of the bag's options."""
        return BagOptions

    def shape(self, options: Any) -> Sizes | None:
        """Nothing: the items tell."""
        return None

    def size_fix(self, name: str, options: Any, expected: Sizes, met: Sizes) -> str:
        """What to do if the items of input `name` have unexpected sizes."""
        return file_size_fix(name, expected, met)

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """No columns: the input knows them."""
        return {}

    def examine(self, path: Path, options: Any, image: Facts | None = None) -> tuple[NDArray[np.float32], Facts]:
        """The array of one item, or of the volume whose slices are the items. Raises: what the reader raises."""
        return self.of.examine(path, options, image)

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """What the reader of the items says about all of them."""
        return self.of.advise(options, files)


class PositionsOptions(Config):
    """Options of `read: positions`."""

    of: str = Field(min_length=1, description="The input, `read: bag`, whose items' positions are given: the column "
                                              "`position` of its table, or the place of slices in mm from the middle.")


@dataclass(frozen=True, slots=True)
class PositionsReader:
    """Where the items of a bag are: one number for each."""

    name: str = "positions"
    gives: str = "array"
    files: bool = False
    folders: bool = False
    drawn: bool = False

    @property
    def options(self) -> type[BaseModel]:
        """The class of its options."""
        return PositionsOptions

    def shape(self, options: Any) -> Sizes | None:
        """Nothing: their number is that of the items."""
        return None

    def size_fix(self, name: str, options: Any, expected: Sizes, met: Sizes) -> str:
        """What to do if input `name` has unexpected sizes."""
        return f"write 'tokens: [null, 1]' on input {name!r} of the graph"

    def columns(self, options: Any) -> dict[str, tuple[str, ...]]:
        """No columns."""
        return {}

    def examine(self, path: Path, options: Any, image: Facts | None = None) -> tuple[NDArray[np.float32], Facts]:
        """Not for positions."""
        raise AssertionError("positions are not read from files; please report")

    def advise(self, options: Any, files: Sequence[Facts]) -> list[Advice]:
        """Nothing: there are no files."""
        return []


BAG = BagReader()
POSITIONS = PositionsReader()
