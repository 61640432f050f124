"""The trainer's side of a training method: what its hooks see, when they are called, and what is saved of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.failures import called
from fusionkit.components.training import EpochWindow, LossChange, TrainingMethod
from fusionkit.errors import Diagnostic, RunError, UserError
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan
from fusionkit.training.batch_order import seed_of
from fusionkit.training.distributed import Processes, assign, whole
from fusionkit.training.modalities import joint_heads, own_features, own_heads, own_weights
from fusionkit.training.seen_batch import BatchSeen, scaled
from fusionkit.training.settings import TrainingSettings

Tensors = Mapping[str, Tensor]

METHOD = "method/"
"""The beginning of the names of what a method logged, among the sums of an epoch."""
_NOISE = "modulation"
"""Part of the seed of noise, a word of its own among the seeds of a run; runs of earlier versions had this one."""


@dataclass
class View:
    """What the hooks see of the training; see `TrainingView`."""

    modalities: tuple[str, ...]
    heads: Mapping[str, str]
    joint_heads: tuple[str, ...] = ()
    own: dict[str, Mapping[str, nn.Parameter]] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    sums: Mapping[str, float] = field(default_factory=dict)
    added: dict[str, float] = field(default_factory=dict)
    logged: dict[str, float] = field(default_factory=dict)
    batch: Any = None
    reading: Callable[[float, int], Iterator[BatchSeen]] | None = None
    holding: Callable[[float, int], Iterator[BatchSeen]] | None = None
    copying: Callable[[str, int, int], LossChange] | None = None

    def weights(self, modality: str) -> Tensors:
        """The weights of a modality by name."""
        return {name: whole(weight.detach()) for name, weight in self.own[modality].items()}

    def scale(self, values: Tensor, factor: float) -> Tensor:
        """The same numbers, whose gradient is multiplied."""
        return scaled(values, factor)

    def training_cases(self, share: float = 1.0) -> Iterator[BatchSeen]:
        """The training cases in evaluation mode."""
        if self.reading is None:
            raise RunError("the training cases are not at hand here")
        yield from self.reading(share, self.epoch)

    def held_out(self) -> Iterator[BatchSeen]:
        """The cases that the method holds out, in evaluation mode."""
        if self.holding is None:
            raise RunError("no cases are held out; name the option with their share: Training(..., holds_out=NAME)")
        yield from self.holding(1.0, self.epoch)

    def train_copy(self, head: str, epochs: int) -> LossChange:
        """Mean losses before and after a copy is trained on one head alone."""
        if self.copying is None:
            raise RunError("a copy needs cases that are held out; name the option with their share: "
                           "Training(..., holds_out=NAME)")
        return self.copying(head, epochs, self.epoch)

    def add(self, name: str, value: float) -> None:
        """A number of this batch for the sums of the step."""
        self.added[name] = self.added.get(name, 0.0) + float(value)

    def log(self, name: str, value: float) -> None:
        """A number for the history."""
        self.logged[name] = float(value)


@dataclass(frozen=True)
class ModalityGradients:
    """The gradients of one modality, and the seed of its noise; see `Gradients`."""

    total: Tensors
    parts: Mapping[str, Tensors]
    moment: tuple[Any, ...]

    def noise(self, name: str) -> Tensor:
        """Normal numbers in the shape of a gradient."""
        like = self.total[name]
        generator = torch.Generator(like.device).manual_seed(seed_of(*self.moment, list(self.total).index(name), 0))
        return torch.randn(like.shape, generator=generator, device=like.device)


class AppliedMethod:
    """The training method of one run in one process, or one that changes nothing; `scored` are heads it needs scored.

    Raises: UserError with `cannot-separate` if it needs gradients that these settings do not give.
    """

    def __init__(self, network: FusionModel, settings: TrainingSettings, processes: Processes) -> None:
        chosen = settings.named("method")
        self.settings, self.processes = settings, processes
        self.id = chosen.declared.id if chosen else ""
        self.method = chosen.declared.module(chosen.config) if chosen else TrainingMethod(None)
        self.window = chosen.config if chosen and isinstance(chosen.config, EpochWindow) else \
            EpochWindow.model_validate({})
        heads = own_heads(network.plan) if chosen else {}
        alone = heads if chosen and chosen.declared.requires else [value.name for value in network.plan.inputs]
        kept = tuple(name for name in alone if name in heads or own_weights(network, name)) if chosen else ()
        self.network, self.view = network, View(kept, MappingProxyType(heads), joint_heads(network.plan))
        self.scored = tuple(heads.values())
        features = own_features(network.plan)
        self.names = {name: features[name] for name in kept}
        # Of a method that does not weigh losses nothing is kept that it would look at.
        self.looks = chosen is not None and type(self.method).total is not TrainingMethod.total
        inputs = {value.name for value in network.plan.inputs}
        reads = self.looks or any(getattr(type(self.method), hook) is not getattr(TrainingMethod, hook)
                                  for hook in ("begin_epoch", "end_epoch"))
        self.watched = sorted({*self.names.values()} - inputs) if chosen and reads else []
        self._parts: dict[str, dict[str, Tensor]] = {}
        if type(self.method).parts is not TrainingMethod.parts:
            self._check_separable()

    def _check_separable(self) -> None:
        conflict = {"strategy: fsdp": self.processes.sharded, "compile": self.settings.compile}
        for setting in (name for name, on in conflict.items() if on):
            raise UserError(Diagnostic("cannot-separate", f"{self.id} cannot be used with '{setting}'",
                                       why="it needs the gradients of single losses", fix=f"train without '{setting}'"))

    @property
    def active(self) -> bool:
        """Whether the method acts in the present epoch."""
        return self.window.first_epoch <= self.view.epoch <= (self.window.last_epoch or self.view.epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Before the first step of an epoch; epochs count from 0 here."""
        self._at(epoch)
        if self.active:
            self._call("begin_epoch", self.view)

    def end_epoch(self, epoch: int) -> None:
        """After the validation of an epoch."""
        self._at(epoch)
        if self.active:
            self._call("end_epoch", self.view)

    def begin_step(self, epoch: int, step: int, rows: Mapping[str, int]) -> None:
        """Before the batches of a step; epochs and steps count from 0 here, `rows` are those of each head."""
        self._at(epoch, step + 1, rows)
        self._parts = {}
        self.view.added.clear()

    def _at(self, epoch: int, step: int = 0, rows: Mapping[str, int] = MappingProxyType({})) -> None:
        view = self.view
        if not view.own:
            # Not before: sharding a network replaces its weights.
            view.own.update({modality: own_weights(self.network, modality) for modality in view.modalities})
        view.epoch, view.step, view.rows, view.scores = epoch + 1, step, MappingProxyType(dict(rows)), {}
        view.sums = {}

    def total(self, losses: Tensors, seen: BatchSeen | None = None) -> Tensor:
        """The loss of a batch from its parts, after the gradients that the method wants of some of them."""
        if not self.active:
            return TrainingMethod.total(self.method, losses, self.view)
        self._separate(losses)
        self.view.batch = seen
        try:
            total: Tensor = self._call("total", MappingProxyType(dict(losses)), self.view)
        finally:
            self.view.batch = None
        return total

    def _separate(self, losses: Tensors) -> None:
        """Add the gradients of single losses of this batch."""
        wanted: dict[str, dict[str, nn.Parameter]] = {}
        for modality in self.view.modalities:
            for loss in self._call("parts", modality, self.view):
                if loss not in losses:
                    raise RunError(f"{self.id} asks for the gradient of the loss {loss!r}, which this network has not; "
                                   f"its losses are {', '.join(losses)}")
                wanted.setdefault(loss, {}).update(self.view.own[modality])
        scaler = self.processes.accelerator.scaler
        for loss, weights in wanted.items():
            sums = self._parts.setdefault(loss, {name: torch.zeros_like(weight) for name, weight in weights.items()})
            if losses[loss].requires_grad and weights:
                scaled = losses[loss] if scaler is None else scaler.scale(losses[loss])
                found = torch.autograd.grad(scaled, list(weights.values()), retain_graph=True, allow_unused=True)
                for total, gradient in zip(sums.values(), found, strict=True):
                    total += 0 if gradient is None else gradient

    @torch.no_grad()
    def edit(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Change the gradients of a step, when all its batches have run and loss scaling is undone.

        It gives what the method logged since the last time.

        `scores` are the sums of true-class probabilities over the rows of each head of `scored`.
        """
        view = self.view
        view.scores = {name: scores[head] / view.rows[head] for name, head in view.heads.items() if view.rows[head]}
        view.sums = self._sums()
        # With loss scaling a step with an overflow changes no weights, so it is no step for the method either.
        if self.active and (self.processes.accelerator.scaler is None or self._is_finite()):
            self._join_parts()
            for modality in view.modalities:
                if view.rows.get(view.heads.get(modality, ""), 1):
                    self._edit(modality)
            self._call("end_step", view)
        return self.logged()

    def _sums(self) -> Mapping[str, float]:
        """What the method added in this step, in all processes."""
        parts = [self.view.added] if self.processes.count == 1 or not self.looks else \
            self.processes.gather(dict(self.view.added))
        names = sorted({name for part in parts for name in part})
        return MappingProxyType({name: sum(part.get(name, 0.0) for part in parts) for name in names})

    def _is_finite(self) -> bool:
        return all(bool(weight.grad.isfinite().all()) for weights in self.view.own.values()
                   for weight in weights.values() if weight.grad is not None)

    def _join_parts(self) -> None:
        """Add up the gradients of single losses over all processes, and undo loss scaling."""
        scaler = self.processes.accelerator.scaler
        for sums in self._parts.values():
            for gradient in sums.values():
                if self.processes.count > 1:
                    torch.distributed.all_reduce(gradient)
                if scaler is not None:
                    gradient /= scaler.get_scale()

    def _edit(self, modality: str) -> None:
        own = {name: weight.grad for name, weight in self.view.own[modality].items() if weight.grad is not None}
        if not own:
            return
        total = {name: whole(gradient) for name, gradient in own.items()}
        parts = {loss: {name: sums[name] for name in own} for loss, sums in self._parts.items()
                 if own.keys() <= sums.keys()}
        moment = (self.settings.seed, _NOISE, self.view.epoch - 1, self.view.step - 1,
                  self.view.heads.get(modality, modality))
        given = ModalityGradients(MappingProxyType(total), MappingProxyType(parts), moment)
        self._call("edit", modality, given, self.view)
        for name, gradient in own.items():
            if total[name] is not gradient:
                assign(gradient, total[name])

    def logged(self) -> dict[str, float]:
        """What the method logged since the last time, and how often, as sums of an epoch."""
        found = dict(self.view.logged)
        self.view.logged.clear()
        return {METHOD + name: value for name, value in found.items()} | {f"#{METHOD}{name}": 1.0 for name in found}

    def _call(self, hook: str, *given: Any) -> Any:
        return called(self.id, self.method, hook, *given)

    def numbers(self) -> dict[str, float]:
        """The numbers of the method's state."""
        strange = [name for name, value in self.method.state.items() if not isinstance(value, Tensor | int | float)]
        if strange:
            raise RunError(f"{self.id} cannot be saved: state[{strange[0]!r}] is neither a number nor a tensor")
        return {name: value for name, value in self.method.state.items() if not isinstance(value, Tensor)}

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the method's state."""
        return {name: value for name, value in self.method.state.items() if isinstance(value, Tensor)}

    def restore(self, numbers: Mapping[str, float], tensors: Tensors) -> None:
        """Set the method's state."""
        placed = {name: value.to(self.processes.device, copy=True) for name, value in tensors.items()}
        self.method.state = {**numbers, **placed}


def faults(plan: Plan, settings: TrainingSettings) -> list[Diagnostic]:
    """`cannot-modulate` if the method compares heads, and no two heads with the same classes see one input each."""
    chosen = settings.named("method")
    if chosen is None or not chosen.declared.requires:
        return []
    found = list(own_heads(plan).values())
    if len(found) > 1:
        return []
    available = f"there is only {found[0]!r}" if found else "there is none"
    return [Diagnostic(
        "cannot-modulate", f"{chosen.declared.id} needs two heads of the same classes that see one input each, and "
        f"{available}", plan.graph.inputs[0].span, why="by these it tells the modalities apart",
        fix="add a head with the same classes on each encoder: {use: head.classify, from: ENCODER, with: {classes: "
            "[...]}, loss: 0.3}; or set 'method: none'")]
