"""Options of readers of a long table of events, one a row. Contains no component."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from fusionkit_plugins.blocks.event_times import duration
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from fusionkit.api import Config
from fusionkit.reading import CohortOptions

_EXAMPLE = datetime(2026, 11, 29, 14, 30)


def category(text: object) -> str:
    """A category as it is compared: 3, 3.0 and ' 3 ' are one."""
    word = str(text).strip()
    try:
        return f"{float(word):g}"
    except ValueError:
        return word


Category = Annotated[str, BeforeValidator(category)]
"""A category of a file, which may be written as a number."""


class Variable(Config):
    """What is known of a variable of a table of events."""

    model_config = ConfigDict(strict=False)

    kind: Literal["number", "category"] = Field("number", description="Whether its values are numbers, or names.")
    values: tuple[Category, ...] | None = Field(
        None, description="The categories, in this order; without it those of training cases."
    )
    unit: str | None = Field(None, description="Its unit: values in another are refused, unless 'convert' has it.")
    range: tuple[float, float] | None = Field(None, description="The lowest and the highest value that can be.")

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        if self.kind == "category" and (self.range is not None or self.unit is not None):
            raise ValueError("categories have no unit and no range; write 'kind: number', or leave them out")
        if self.kind == "number" and self.values is not None:
            raise ValueError("'values' are those of categories; write 'kind: category' too")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("'range' ends before it begins; write the lowest value first")
        return self


class EventTableOptions(CohortOptions):
    """The options of every reader of a table of events: derive a reader's own from it.

    A reader that knows more of a variable overrides `names` with a subclass of `Variable`.
    """

    named: ClassVar[tuple[str, ...]] = ("index", "case")
    placed: ClassVar[tuple[str, ...]] = ("table",)

    table: str = Field(
        min_length=1,
        examples=["table.csv"],
        description="The CSV or Parquet file with one event a row, relative to the data file.",
    )
    by: str = Field(min_length=1, examples=["by"], description="The column of the table of events with the case.")
    case: str | None = Field(None, description="The column of the cases that 'by' holds; the id without it.")
    time: str = Field(min_length=1, examples=["time"], description="The column with the time of an event.")
    known: str | None = Field(
        None,
        description="The column with the time at which the value became known, such as "
        "'storetime': an event that is known after the index is after it.",
    )
    name: str = Field(min_length=1, examples=["name"], description="The column with the name of the variable.")
    value: str = Field(min_length=1, examples=["value"], description="The column with the value.")
    unit: str | None = Field(None, description="The column with the unit: one variable has one unit.")
    convert: dict[str, dict[str, float | tuple[float, float]]] = Field(
        {},
        description="By variable and unit, what its values are multiplied by, as {glucose: {mg/dL: 0.0555}}; "
        "[factor, number] adds the number then.",
    )
    index: str = Field(
        min_length=1,
        examples=["index"],
        description="The column of the cases with the moment of "
        "prediction; times are counted from it, and events after it are never used.",
    )
    time_unit: Literal["h", "min", "s", "d"] | None = Field(
        None, description="The unit of times that are numbers; without it they are written as 2026-11-29T14:30."
    )
    time_format: str | None = Field(
        None,
        examples=["%d.%m.%Y %H:%M"],
        description="How times are written where they "
        "are not 2026-11-29T14:30: %d day, %m month, %Y year, %H hour, %M minute.",
    )
    window: tuple[str, str] | None = Field(
        None,
        description="The start and the end of what is read, from the index, such as [-48h, 0h]: an event at the "
        "end counts, one at the start does not. Without it all before the index.",
    )
    after: Literal["refuse", "drop"] = Field(
        "refuse", description="What becomes of events after the index: refused, or left out with a warning."
    )
    names: tuple[str, ...] | dict[str, Variable] | None = Field(
        None,
        description="The variables to read, in this order, or what is known of each, as {lactate: {unit: mmol/L, "
        "range: [0, 30]}, rhythm: {kind: category}}; without it those of training cases.",
    )
    outside: Literal["keep", "drop"] = Field(
        "keep", description="What becomes of values outside 'range', of which a warning tells the share."
    )
    least: float = Field(
        0.01, ge=0, le=1, description="Without 'names', the share of training cases that must have a variable."
    )
    same_time: Literal["last", "mean", "refuse"] = Field(
        "last", description="What becomes of several values of one variable at one time."
    )
    standardise: bool = Field(
        True,
        description="Whether each variable is brought to mean 0 and standard deviation 1 "
        "of the training cases, clipped at 8.",
    )

    @property
    def variables(self) -> dict[str, Any]:
        """What is known of the variables that are to be read; empty where the data tell which these are."""
        if isinstance(self.names, dict):
            return dict(self.names)
        return {name: Variable() for name in self.names or ()}

    @property
    def categorical(self) -> tuple[str, ...]:
        """The variables of which each category is a column."""
        return tuple(name for name, known in self.variables.items() if known.kind == "category")

    @model_validator(mode="after")
    def _window_ends_at_the_index(self) -> Self:
        if self.window is not None:
            start, end = map(duration, self.window)
            if end > 0:
                raise ValueError(
                    "a window that ends after the index would show the network what comes later; "
                    "write an end of at most 0h"
                )
            if start >= end:
                raise ValueError("the window starts after it ends; write the start first, such as [-48h, 0h]")
        return self

    @model_validator(mode="after")
    def _times_are_written_in_one_way(self) -> Self:
        if self.time_format is not None:
            if self.time_unit is not None:
                raise ValueError("'time_unit' is for times that are numbers, 'time_format' for dates; write one")
            try:
                again = datetime.strptime(_EXAMPLE.strftime(self.time_format), self.time_format)
            except ValueError as problem:
                raise ValueError(f"'time_format' is no format of times: {problem}") from None
            if again.date() != _EXAMPLE.date():
                raise ValueError("'time_format' must have day, month and year, such as %d.%m.%Y %H:%M")
        return self

    @model_validator(mode="after")
    def _units_are_known(self) -> Self:
        told = {name for name, variable in self.variables.items() if variable.unit is not None}
        if (self.convert or told) and self.unit is None:
            raise ValueError("units are compared and converted only with 'unit', the column that has them")
        for name, factors in self.convert.items():
            if self.names is not None and name not in self.variables:
                raise ValueError(f"'convert' has {name!r}, which 'names' lacks")
            if name in told and self.variables[name].unit in factors:
                raise ValueError(f"'convert' has {name!r} in {self.variables[name].unit}, which is its unit")
        return self
