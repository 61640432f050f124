"""The interface for authors of training methods: what is changed between the forward pass and the change of weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, get_args

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from fusionkit.components.config import Config, ContractError
from fusionkit.components.declaration import Declaration

if TYPE_CHECKING:
    from torch import Tensor

Requirement = Literal["", "heads"]
HOOKS = ("begin_epoch", "total", "parts", "edit", "end_step", "end_epoch")


class EpochWindow(Config):
    """Options of a method that is for some epochs only; in the others the trainer calls none of its hooks."""

    first_epoch: PositiveInt = Field(1, description="The first epoch in which it acts, counted from 1.")
    last_epoch: NonNegativeInt = Field(0, description="The last epoch in which it acts; 0 for no limit.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if 0 < self.last_epoch < self.first_epoch:
            raise ValueError(f"'last_epoch' is {self.last_epoch} and 'first_epoch' {self.first_epoch}")
        return self


class BatchView(Protocol):
    """A batch of training cases: of the step, with gradients, or one that is only looked at, without.

    Shapes: `targets` (B, ...) and `known` (B,) by head, whether a case counts for it; `present` (B,) by input. What is
    missing is zeros, or anything. `optional` are the inputs that may be absent.
    """

    targets: Mapping[str, Tensor]
    known: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    optional: Collection[str]

    def features(self, modality: str) -> Tensor:
        """What a modality gives to the fusion: the last value that depends on it alone, (B, ...)."""

    def logits(self, head: str) -> Tensor:
        """The raw output of a head, (B, ...)."""

    def again(self, *, absent: Collection[str] = (), zeros: Collection[str] = (), evaluation: bool = True
              ) -> Mapping[str, Tensor]:
        """The raw outputs of all heads in a further pass, with gradient; by default in evaluation mode.

        Optional inputs named in `absent` are so for every case, and those named in `zeros` are zeros.
        """

    def loss(self, head: str, output: Tensor) -> Tensor:
        """The loss of a head for other outputs, with its weight and divisor, as `total` is given its own."""


@dataclass(frozen=True)
class LossChange:
    """Mean losses of a copy of the network before and after it was trained: of the cases learned from, and held out."""

    learned_before: float
    learned_after: float
    held_before: float
    held_after: float


class TrainingView(Protocol):
    """The training as a method sees it. All its numbers are the same in every process of a launch.

    `epoch` and `step`, that of the epoch, count from 1. `modalities` are the inputs that have weights of their own:
    those of nodes that depend on that input alone, heads excluded. With `requires="heads"` only inputs whose encoder
    has a head of its own are among them, and `heads` has its name. `joint_heads` are the heads that see several inputs.

    `rows` is the number of cases of this step that count for each head, over all batches and processes. `scores`, for
    modalities with a head of its own that counts a case, is the mean probability that it gives to the true class; it is
    known when all batches of the step have run, in `edit` and `end_step`. So are `sums`, what `add` was given. `batch`
    is there in `total`.
    """

    epoch: int
    step: int
    modalities: tuple[str, ...]
    heads: Mapping[str, str]
    joint_heads: tuple[str, ...]
    rows: Mapping[str, int]
    scores: Mapping[str, float]
    sums: Mapping[str, float]
    batch: BatchView

    def weights(self, modality: str) -> Mapping[str, Tensor]:
        """The weights of a modality by name, as they are now and without gradient; they are not to be changed."""

    def scale(self, values: Tensor, factor: float) -> Tensor:
        """The same numbers, whose gradient is multiplied by a factor."""

    def training_cases(self, share: float = 1.0) -> Iterator[BatchView]:
        """The training cases in evaluation mode and without gradient, in `begin_epoch` and `end_epoch`.

        Batches are those of all processes. With a share they are drawn at random, in each epoch anew.
        """

    def held_out(self) -> Iterator[BatchView]:
        """The cases that the method holds out by `holds_out`, as `training_cases` gives those it learns from."""

    def train_copy(self, head: str, epochs: int) -> LossChange:
        """Train a copy of the network on the loss of one head alone, in `begin_epoch` or `end_epoch`; it is discarded.

        With the optimiser, the schedule and the batch size of the run, in single precision and without the method. The
        method must hold out cases.
        """

    def add(self, name: str, value: float) -> None:
        """In `total`: a number of this batch for `sums`, where those of all batches and processes of a step add up."""

    def log(self, name: str, value: float) -> None:
        """A number of this step for the history, which has its mean over the epoch in the column `method_NAME`."""


class Gradients(Protocol):
    """The gradients of the weights of one modality, whole tensors by the names of the weights.

    Batches and processes are added up, and loss scaling is undone. `total` is that of the loss of the step, in which
    the weights that no loss reached are missing. `parts` has, for each loss that `TrainingMethod.parts` named, that of
    this loss alone, with the same names.
    """

    total: Mapping[str, Tensor]
    parts: Mapping[str, Mapping[str, Tensor]]

    def noise(self, name: str) -> Tensor:
        """Normal numbers of mean 0 and deviation 1 in the shape of a gradient, the same in every process.

        They follow from the seed of the training, epoch, step, modality and weight.
        """


class TrainingMethod:
    """What a `Training` component creates. Derive from it, and write the hooks that are needed; others do nothing.

    `state` is all that it remembers from step to step: numbers and tensors by name. It is saved with the weights and
    set when a run is resumed, so that this ends as an undisturbed one, bit for bit. Every process of a launch has its
    own object, and calls the same hooks with the same values, except for `total`.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.state: dict[str, Tensor | float] = {}

    def begin_epoch(self, view: TrainingView) -> None:
        """Before the first step of an epoch."""

    def total(self, losses: Mapping[str, Tensor], view: TrainingView) -> Tensor:
        """The loss of a batch from its parts, scalars by the names of heads and auxiliary losses.

        A part has the weight that the graph gives it, and is divided by all cases of the step, so that the results of
        all batches and processes add up to the loss of the step. A loss that is to have no effect is multiplied by 0,
        not left out: several processes need to see the same weights used.
        """
        import torch

        return torch.stack(list(losses.values())).sum()

    def parts(self, modality: str, view: TrainingView) -> Sequence[str]:
        """The losses whose gradients `edit` needs apart, for the weights of this modality.

        Each loss costs one more backward pass through the network, or through the encoder if that is all it reaches.
        """
        return ()

    def edit(self, modality: str, gradients: Gradients, view: TrainingView) -> None:
        """Change `gradients.total` in place: after all processes are added up, and before they are clipped.

        It is called for every modality that has a gradient, and not if its own head counts no case of the step.
        """

    def end_step(self, view: TrainingView) -> None:
        """After the gradients of all modalities, before the weights change."""

    def end_epoch(self, view: TrainingView) -> None:
        """After the last step of an epoch and its validation."""


@dataclass(frozen=True, repr=False)
class Training(Declaration):
    """A way to train: `training: {method: {use: training.NAME, with: {...}}}`. It changes no prediction by itself.

    `module(config)` returns a `TrainingMethod`. `requires="heads"`: it needs two or more heads of the same classes that
    see one input each, which is checked before training. `holds_out` names an option with the share of the training
    cases that it holds out for itself: no step learns from them. Options derived from `EpochWindow` limit it to some
    epochs.

    Raises: ContractError if `requires` or `holds_out` is not valid.
    """

    _: KW_ONLY
    requires: Requirement = ""
    holds_out: str = ""
    kind: ClassVar[str] = "training"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.requires not in get_args(Requirement):
            raise ContractError(f"{self.id}: requires={self.requires!r}; write 'heads' or leave it out")
        if self.holds_out and self.holds_out not in self.config.model_fields:
            raise ContractError(f"{self.id}: holds_out={self.holds_out!r} is no option; name the one with the share")

    @property
    def facts(self) -> Mapping[str, str]:
        """What it requires of a network."""
        return {"requires": "two heads of the same classes that see one input each"} if self.requires else {}
