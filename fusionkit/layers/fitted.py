"""A part of a component whose buffers are fitted on the training cases, by the trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

# Axes: N training cases, M inputs of the component.


@dataclass(frozen=True)
class TrainingRows:
    """What a component is fitted on: the cases that its network learns from, in the order of the table.

    Shapes: `inputs` are what `forward` is called with, (N, ...) each, in evaluation mode, where a missing row is
    anything; `present` (N, M) boolean; `cases` and `patients` (N,) int64, a number of the case and of its patient;
    `targets` and `known` by the names of heads, the target (N, ...) and whether the case has it (N,). `fold` is the
    number of the fold that was left out, None where no case was.
    """

    inputs: Sequence[Tensor]
    present: Tensor
    cases: Tensor
    patients: Tensor
    targets: Mapping[str, Tensor]
    known: Mapping[str, Tensor]
    fold: int | None = None


class Fitted(nn.Module):
    """A module with buffers that are fitted on the training cases: a component's module, or a part of it.

    `fit` writes to buffers, whose shapes stay as they are; they are saved with the weights. It is called before the
    first epoch, and, where `when` is `epochs`, also after each epoch, before its validation. With `folds` of k it is
    called k more times, each time without one fold of the patients, for what a training case is to see that must not
    have been fitted on it.

    In training `cases` has the number of the case of each row of the batch, (B,) int64, and `fold` the number of its
    fold; in evaluation both are None. A component whose missing rows are skipped may be given fewer rows.
    """

    when: ClassVar[Literal["start", "epochs"]] = "epochs"
    folds: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.cases: Tensor | None = None
        self.fold: Tensor | None = None

    def fit(self, rows: TrainingRows) -> None:
        """Write the buffers; without gradient, and with the same random numbers in every process."""
        raise NotImplementedError
