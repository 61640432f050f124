"""The base of every options class, and the errors that a component raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    pass

class Config(BaseModel):
    """The options of one component: the base of every options class.

    Unknown options are refused, values are not converted, and instances are immutable. Every field
    has a description, which the command line, the editor schema and error messages print.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
