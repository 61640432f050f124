"""What the module of a head and an uncertainty method must offer, and what they exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Task = Literal["multiclass", "multilabel", "regression"]


class HeadModule(Protocol):
    """What the module of a head offers beside `forward`."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B,). `output` is what `forward` gave.

        Targets: (B,) int64 for multiclass; (B, K) float for multilabel and regression. Cases without a target or a
        result hold zeros in both, and what is given for them does not count; a loss that compares cases leaves them
        out. Of a head that is declared `partial`, a label or value that is not known is NaN and adds nothing.
        """

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities in 0..1 or values, (B, K), in the order of the head's names."""

    def balance(self, counts: Tensor) -> None:
        """Told once before training how many training cases each class has: (K,) float."""


@dataclass(frozen=True)
class HeadPrediction:
    """The result of one head for a batch: `values` (B, K) as decoded, and named `measures`, each (B,)."""

    values: Tensor
    measures: Mapping[str, Tensor] = field(default_factory=dict)


Prediction = Mapping[str, HeadPrediction]


class Runner(Protocol):
    """A batch and the network, or the networks of an ensemble, as an uncertainty method sees them.

    `members` is how many networks there are, as many as the method's option `members` asks for, else one. They have
    one graph and nothing else in common; `member` counts from 0. Going from member to member, not back and forth, runs
    what does not depend on chance once in each.
    """

    tasks: Mapping[str, Task]
    members: int

    def once(self, member: int = 0) -> Mapping[str, Tensor]:
        """Decoded results of every head with all randomness off: (B, K) each."""

    def samples(self, count: int, member: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Decoded results of `count` random passes; what does not depend on chance runs once.

        Every call draws anew, and the same for the same seed, batch, member and number of the call.
        """


class UncertaintyMethod(Protocol):
    """What the object behind an `Uncertainty` component offers."""

    def predict(self, run: Runner) -> Prediction:
        """The prediction for the runner's batch."""
