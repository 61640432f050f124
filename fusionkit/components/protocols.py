"""The protocols of head modules and uncertainty methods, and the values that they exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

class HeadModule(Protocol):
    """What the module of a head offers besides `forward`.

    One that also has `settle(output, target)` is called with all training cases once, after training. One that has
    `prepare(target)` is shown the targets of the training cases, (N, ...), once before training, after it is made and
    before `balance`; one that has `begin_epoch()` is called at the start of each epoch.
    """

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B,). `output` is what `forward` gave.

        Targets: (B,) int64 where the task's cells are classes; else (B, columns) float: (B, K) for labels and values.
        Cases without a target or a result have zeros in both, and their losses are ignored; a loss that compares cases
        should exclude them. With `cases="step"` there are none: it is given the cases of a whole step that count, one
        or more, and in validation all of them. With a head declared `partial`, an unknown label or value is NaN and
        adds nothing.
        """

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities in 0..1 or values, (B, K), in the order of the head's names."""

    def balance(self, counts: Tensor) -> None:
        """Called once before training with the number of training cases of each class: (K,) float.

        Or of each kind of case that its task counts, such as censored cases and events.
        """


@dataclass(frozen=True)
class HeadPrediction:
    """The result of one head for a batch: `values` (B, K) as decoded, and named `measures`, each (B,)."""

    values: Tensor
    measures: Mapping[str, Tensor] = field(default_factory=dict)


Prediction = Mapping[str, HeadPrediction]


class Runner(Protocol):
    """A batch and the network, or the networks of an ensemble, as an uncertainty method sees them.

    `members` is the number of networks: the method's option `members`, else one. They share the graph and nothing
    else; `member` counts from 0. Finishing each member before the next runs its deterministic part only once.
    """

    tasks: Mapping[str, str]
    members: int

    def once(self, member: int = 0) -> Mapping[str, Tensor]:
        """Decoded results of every head with all randomness off: (B, K) each."""

    def samples(self, count: int, member: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Decoded results of `count` random passes; the deterministic part runs once.

        Every call draws new samples, which are reproducible for the same seed, batch, member and number of the call.
        """


class UncertaintyMethod(Protocol):
    """The object that an `Uncertainty` component creates."""

    def predict(self, run: Runner) -> Prediction:
        """The prediction for the runner's batch."""
