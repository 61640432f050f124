"""One input of a data file as a value: its reader, options and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fusionkit.data import path_template
from fusionkit.data.fields import NamedColumn
from fusionkit.data.readers.bag import BagOptions, BagReader
from fusionkit.data.readers.lookup import MEASURED
from fusionkit.data.readers.mask_statistics import MaskStatisticsOptions
from fusionkit.data.readers.reader import InputReader
from fusionkit.errors import Span


@dataclass(frozen=True, slots=True)
class Measures:
    """What `mask_statistics` measures: the input of images, what reads the masks, and the options as written."""

    image: InputSpec
    mask: InputSpec
    options: MaskStatisticsOptions

    @property
    def plain(self) -> dict[str, Any]:
        """The input as plain data for a data file."""
        return {"read": MEASURED.name, **self.options.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a case: its reader, the reader's options, and their location in the file.

    `root` and `template` give the paths of its files; `template` is empty for readers of columns, and stands at
    `written` in the input. `roots` are further folders that may be read. `placed` are single files, by the option that
    names them. `region` reads the mask, or the boxes, of `roi`, `foreground` the mask of `normalise`. `measures` is
    what an input of numbers is measured by, if the table does not have them. `bag` has the options of several items of
    a case, of each of which `options` are.
    """

    name: str
    source: InputReader
    options: Any
    span: Span
    root: Path
    template: str = ""
    template_span: Span | None = None
    roots: tuple[Path, ...] = ()
    placed: Mapping[str, Path] = field(default_factory=dict)
    region: InputSpec | None = None
    foreground: InputSpec | None = None
    written: tuple[str, ...] = ("path",)
    measures: Measures | None = None
    bag: BagOptions | None = None

    @property
    def reader(self) -> str:
        """The name of the reader."""
        return self.source.name

    @property
    def lie_apart(self) -> bool:
        """Whether it has several files of a case that nothing says to lie at one place."""
        return self.bag is not None and not self.bag.sliced and self.options.like is None

    @property
    def filled(self) -> dict[str, str]:
        """The options that hold columns, besides the path, as they are written."""
        found = {name: getattr(self.options, name) for name in getattr(type(self.options), "filled", ())}
        return {name: text for name, text in found.items() if isinstance(text, str) and path_template.columns(text)}

    def of_row(self, cell: Callable[[str], str]) -> InputSpec:
        """The input as one row reads it, `cell` giving the cell of a column; an option with a blank cell is unset."""
        filled = {name: path_template.fill(text, {column: cell(column) for column in path_template.columns(text)})
                  for name, text in self.filled.items()}
        return replace(self, options=self.options.model_copy(update=filled)) if filled else self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that it reads; files are named by the first of them."""
        return tuple(dict.fromkeys(column for column, _ in self.named_columns))

    @property
    def named_columns(self) -> list[NamedColumn]:
        """The columns of the table that it reads, each with the path of its name in the data file."""
        templates: dict[tuple[str, ...], str] = {self.written: self.template}
        templates |= {(option,): text for option, text in self.filled.items()}
        found: list[NamedColumn] = [
            (column, ("inputs", self.name, *where)) for where, text in templates.items() if text
            for column in path_template.columns(text)]
        for other in (self.region, self.foreground):
            found += [] if other is None else other.named_columns
        roi = getattr(self.options, "roi", None)
        if roi is not None and not (self.bag is not None and self.bag.table is not None):
            found += [(column, ("inputs", self.name, "roi", "box", place)) for place, column in enumerate(roi.columns)]
            found += [(roi.extent, ("inputs", self.name, "roi", "extent"))] if isinstance(roi.extent, str) else []
        owned = self.source.columns(self.options) | ({"columns": self.bag.columns or ()} if self.bag else {})
        return found + [(column, ("inputs", self.name, key, position)) for key, names in owned.items()
                        for position, column in enumerate(names)]

    def settings(self) -> dict[str, Any]:
        """The options with every default, as plain data; those of a bag have its items' under `of`."""
        plain: dict[str, Any] = self.options.model_dump(mode="json")
        if self.bag is None:
            return plain
        assert isinstance(self.source, BagReader), "a bag is read by another reader; please report"
        own = {key: value for key, value in plain.items() if key not in ("path", "missing_ok")}
        return self.bag.model_dump(mode="json") | {"of": {"read": self.source.of.name, **own}}
