"""Which values of an option a search tries: declared with the option, used by `compare --tune`. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Search:
    """The values of an option that a search tries: `choices`, or all numbers from `low` to `high`.

    With `log` numbers are drawn evenly by their logarithm. Declared beside the type of an option:
    `width: Annotated[PositiveInt, Search((16, 32, 64))] = Field(64, description="...")`.

    Raises: ValueError for neither choices nor a range.
    """

    choices: tuple[bool | int | float | str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def __post_init__(self) -> None:
        if not self.choices and not self.low < self.high:
            raise ValueError("give choices, or a low and a high number")
        if self.log and not self.choices and self.low <= 0:
            raise ValueError("a range by logarithm is of numbers above 0")
