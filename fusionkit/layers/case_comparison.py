"""A loss of a component that compares cases, so that the trainer may give it those of a whole step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Rows = tuple[Tensor | None, ...]
"""What is compared: tensors (B, ...), and masks (B, ...), None where all is present."""


class CaseComparison(nn.Module):
    """A loss that compares cases. Derive from it, write `compare`, and call the module in `forward` of the component.

    `compare(*rows)` takes tensors with a row for each case, (B, ...), or None in place of a mask, and returns a scalar.
    With `cases="step"` in the declaration the trainer calls it with all cases of a step, else it is called with those
    of the batch. If it has a keyword `patients`, that is given a number for the patient of each case, (B,) int64, in
    training, and None otherwise. What it returns may be multiplied by a weight.
    """

    compare: Callable[..., Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.taken: Callable[[CaseComparison, Rows], Tensor] | None = None
        self.patients: Tensor | None = None
        self.sees_patients = "patients" in inspect.signature(self.compare).parameters

    def forward(self, *rows: Tensor | None) -> Tensor:
        """The loss, a scalar."""
        return self.compared(rows, self.patients) if self.taken is None else self.taken(self, rows)

    def compared(self, rows: Rows, patients: Tensor | None) -> Tensor:
        """What `compare` gives."""
        told: dict[str, Any] = {"patients": patients} if self.sees_patients else {}
        return self.compare(*rows, **told)
