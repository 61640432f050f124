"""The base of every options class, and the errors that a component raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

if TYPE_CHECKING:
    pass

MOST, MOST_NUMBERS = 1 << 40, 1000
"""The largest number, and the longest list of integers, of an option."""


class Config(BaseModel):
    """The options of one component: the base of every options class.

    Unknown options are refused, values are not converted, and instances are immutable. Every field
    has a description, which the command line, the editor schema and error messages print.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        """Refuse numbers and lists so large that building the network would never end."""
        if isinstance(value, int) and abs(value) > MOST:
            raise ValueError(f"it must be at most {MOST:,}")
        if isinstance(value, list | tuple) and len(value) > MOST_NUMBERS and isinstance(value[0], int):
            raise ValueError(f"it must have at most {MOST_NUMBERS:,} whole numbers, not {len(value):,}")
        return value


class ContractError(ValueError):
    """A component's declaration violates the contract; the message is for its author."""


class ComponentError(Exception):
    """A component cannot work as the graph requests; the core shows it as a diagnostic at the node.

    Raise it in the constructor of a module or in an `output` function, for an error that neither the
    options class nor the rule can express. `why` and `fix` are the lines under the message.
    """

    def __init__(self, message: str, why: str | None = None, fix: str | None = None) -> None:
        super().__init__(message, why, fix)
        self.message = message
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return self.message
