"""Options of the reader `columns`: which columns of the table it reads, and how their cells are read."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from fusionkit.data.dates import Order, read_day
from fusionkit.data.header_values import DEFAULT_TAGS, unknown_keyword
from fusionkit.data.measurement_limits import Limits

FOR_ALL = "*"
"""Stands for all columns that an option can name."""


def _text(value: Any) -> Any:
    """A whole number as the text of its cell, since YAML reads the words of categories as numbers."""
    return str(value) if type(value) is int else value


def _for_all(value: Any) -> Any:
    """A word by itself as that of all columns."""
    return {FOR_ALL: value} if isinstance(value, str) else value


Word = Annotated[str, BeforeValidator(_text)]


def limits_of(limits: Mapping[str, Limits], column: str) -> Limits | None:
    """What the option `limits` says of one column, None if nothing."""
    return limits.get(column, limits.get(FOR_ALL))


class DateRule(BaseModel):
    """How a column of dates becomes a number of days: since a day, or before the date in another column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: str | None = None
    before: str | None = None
    order: Order | None = None

    @model_validator(mode="after")
    def _one_way(self) -> DateRule:
        if (self.since is None) == (self.before is None):
            raise ValueError("it needs either 'since' or 'before'; write '{since: 2000-01-01}' or '{before: COLUMN}'")
        if self.since is not None and read_day(self.since, None) is None:
            raise ValueError(f"'since' must be a day, not {self.since!r}; write it like 2000-01-01")
        return self

    def days(self, days: NDArray[np.float64], others: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The number of days for each row's date; `others` are the dates of each column as days.

        Shapes: (rows,), as `days`.
        """
        if self.before is not None:
            return others[self.before] - days
        day = read_day(str(self.since), None)
        assert day is not None, "an unchecked day; please report"
        return days - day

    def __str__(self) -> str:
        given = [("since", self.since), ("before", self.before), ("order", self.order)]
        return "{" + ", ".join(f"{name}: {value}" for name, value in given if value is not None) + "}"


class HeaderSource(BaseModel):
    """Which values of DICOM headers are columns, and the table that keeps them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, description="Path of the file or folder of a case, as for the reader `dicom`.")
    tags: dict[str, str] = Field(dict(DEFAULT_TAGS), description="Names of columns and the elements that they hold.")
    table: str = Field("headers.csv", description="The table that `fusionkit headers` writes.")
    below: bool = Field(False, description="As for the reader `dicom`.")
    series: str | int | None = Field(None, description="As for the reader `dicom`.")
    choose: dict[str, Any] | None = Field(None, description="As for the reader `dicom`.")

    @field_validator("tags")
    @classmethod
    def _elements(cls, tags: dict[str, str]) -> dict[str, str]:
        if not tags:
            raise ValueError("'tags' names no element; write 'tags: {dicom.kvp: KVP}', or leave it out")
        for keyword in tags.values():
            if unknown := unknown_keyword(keyword):
                raise ValueError(unknown)
        return tags

    def of_reader(self) -> dict[str, Any]:
        """The options of the reader."""
        return self.model_dump(include={"path", "below", "series", "choose"})


class ColumnsOptions(BaseModel):
    """Options of the reader `columns`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numeric: tuple[str, ...] = Field(
        (), description="Columns of numbers, in the order of the vector; a pattern such as `gene_*` stands for all "
        "columns that fit it, in the order of their names.",
    )
    date: dict[str, DateRule] = Field(
        {}, description="Columns of dates, which become days and follow the numbers: `{since: "
        "2000-01-01}` after that day, `{before: COLUMN}` before the date in another column. `order: dmy` or `mdy` "
        "states which comes first, day or month, if no cell of the column shows it.",
    )
    categorical: tuple[str, ...] = Field(
        (), description="Columns of categories, or patterns; they follow the numbers."
    )
    limits: Annotated[dict[str, Limits], BeforeValidator(_for_all)] = Field(
        {}, description="Cells beyond a limit of measurement, such as `<0.6` and `>100`, of all numeric columns or "
        "by column: `value` reads the limit itself, `half` half of a lower limit, `blank` takes them as blank; without "
        "it they are refused.",
    )
    values: dict[str, dict[Word, Word | None]] = Field(
        {}, description="Cells of categorical columns renamed, to merge spellings: `{sex: {m: male, M: male, unk: "
        "null}}`; `null` is for not known.",
    )
    categories: dict[str, tuple[Word, ...]] = Field(
        {}, description="All categories of a categorical column, in the order of their codes, with those that only "
        "later cases have; others are refused. Without it they are those of the training cases.",
    )
    encode: Literal["codes", "onehot"] = Field(
        "codes", description="`codes` gives one value per column: 0 for a blank or unknown category, 1 and up for the "
        "categories of the training cases in alphabetical order; `onehot` gives one 0/1 value for each category.",
    )
    fill: Literal["refuse", "mean", "median", "indicator"] = Field(
        "refuse", description="Filling of blank numbers: `refuse` is an error, `mean` and `median` are of the training "
        "cases, `indicator` is the mean plus a 0/1 value for each numeric column that says whether it was blank.",
    )
    standardise: bool = Field(
        True, description="Whether numbers are standardised by mean and standard deviation of the training cases."
    )

    from_dicom: HeaderSource | None = Field(
        None, description="Columns that come from DICOM headers, `{path: \"ct/{id}\", tags: {dicom.kvp: KVP}}`, by the "
        "table that `fusionkit headers` writes."
    )

    @model_validator(mode="after")
    def _something(self) -> ColumnsOptions:
        names = self.measured + self.categorical
        if not names:
            raise ValueError("neither 'numeric' nor 'categorical' names a column; write 'numeric: [COLUMN, ...]'")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the column {twice[0]!r} is listed twice; keep one of the two")
        limited = self.limits.keys() - {FOR_ALL}
        for option, kind, columns in (("limits", "numeric", limited), ("values", "categorical", self.values),
                                      ("categories", "categorical", self.categories)):
            for column in columns:
                # A pattern may stand for it, which is known once the table is read.
                if not any(column == name or fnmatchcase(column, name) for name in getattr(self, kind)):
                    raise ValueError(f"{option!r} names the column {column!r}, which is not under {kind!r}; add it "
                                     f"there, or remove it from {option!r}")
        for column, names in self.categories.items():
            strange = [name for name in self.values.get(column, {}).values() if name and name not in names]
            if strange:
                raise ValueError(f"'values' makes {strange[0]!r} of a cell of {column!r}, which is not one of its "
                                 "'categories'; list it there")
            if len(set(names)) < len(names) or not names or "" in names:
                raise ValueError(f"'categories' of {column!r} must be different words; list each category once")
        return self

    def limits_of(self, column: str) -> Limits | None:
        """How cells beyond a limit of measurement are read in one column, None if they are refused."""
        return limits_of(self.limits, column)

    @property
    def measured(self) -> tuple[str, ...]:
        """The columns that become numbers in the vector: numbers, then dates."""
        return (*self.numeric, *self.date)

    @property
    def dates(self) -> tuple[str, ...]:
        """The columns read as dates: those that become numbers, and those they refer to by `before`."""
        others = [rule.before for rule in self.date.values() if rule.before is not None]
        return tuple(dict.fromkeys((*self.date, *others)))

    def order_of(self, column: str) -> Order | None:
        """Whether day or month comes first in a column of dates, None if its cells must show it."""
        own = self.date.get(column)
        return own.order if own is not None else next(
            rule.order for rule in self.date.values() if rule.before == column)
