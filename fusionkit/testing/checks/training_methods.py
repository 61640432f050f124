"""The check of training methods: on a small network, a function of gradients, state and seed alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fusionkit.components.config import Config
from fusionkit.components.training import Training, TrainingMethod
from fusionkit.data.batch import Batch, Case
from fusionkit.errors import RunError, Span
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan
from fusionkit.registry.named import Chosen
from fusionkit.testing.faults import Fault
from fusionkit.training.applied_method import AppliedMethod
from fusionkit.training.case_reading import CaseReader
from fusionkit.training.distributed import Processes
from fusionkit.training.method_cases import offer_cases
from fusionkit.training.objective import arguments
from fusionkit.training.settings import TrainingSettings, read_settings
from fusionkit.training.step import Stepper, Totals

_EPOCHS, _STEPS, _CASES, _RATE = 3, 3, 12, 0.1
_SIZES = {"first": 5, "second": 7, "third": 3}
_CLASSES = {"classes": ["a", "b", "c"]}
_SEED = "draw by gradients.noise, which follows from the seed of the training"


def training(component: Training, config: Config) -> Fault | None:
    """What is wrong with a method under some options."""
    if not isinstance(component.module(config), TrainingMethod):
        return Fault("it makes no TrainingMethod", "derive its class from fusionkit.api.TrainingMethod")
    with TemporaryDirectory() as scratch, torch.random.fork_rng():
        try:
            return _found(component, config, Path(scratch))
        except _FoundError as error:
            return error.fault
        except RunError as error:
            raise error.__cause__ or error from None


def _found(component: Training, config: Config, folder: Path) -> Fault | None:
    run = _Run(Chosen(component, config, Span("kit", 1, 1)), folder)
    whole = run.weights()
    if _differ(whole, run.weights(seed=1)):
        return Fault("it trains differently a second time, or with another state of torch's random numbers", _SEED)
    if _differ(whole, run.weights(resumed=True)):
        return Fault("a run that is interrupted and resumed ends otherwise", "keep all that it remembers in `state`")
    defaults = config == _defaults(component)
    if defaults and not _differ(whole, _Run(None, folder).weights()):
        return Fault("with default options it changes nothing", "the trainer calls total, parts, edit, begin_epoch, "
                                                                "end_step and end_epoch; check these names")
    parts = run.weights(batches=2)
    if any(not torch.allclose(whole[name], parts[name], rtol=1e-2, atol=1e-4) for name in whole):
        return Fault("a step of {parts} changes the weights otherwise than one batch of the same cases",
                     "let `total` be a sum with weights that do not depend on the batch; or declare that it decides by "
                     "the batch: exceptions={'training: two batches': REASON}", parts=("two batches",))
    return None


def _defaults(component: Training) -> Config | None:
    required = any(option.is_required() for option in component.config.model_fields.values())
    return None if required else component.config.model_validate({})


def _differ(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return any(not torch.equal(first[name], second[name]) for name in first)


class _FoundError(Exception):
    """A fault that ends the training."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


@dataclass
class _Run:
    """One training of the small network by a method, or by none."""

    chosen: Chosen[Training] | None
    folder: Path

    def weights(self, *, seed: int = 0, resumed: bool = False, batches: int = 1) -> dict[str, Tensor]:
        """The weights at the end; `seed` is that of torch, `resumed` whether every step has a new object."""
        settings = _settings(batches)
        settings = settings.with_component("method", self.chosen) if self.chosen else settings
        network, processes = FusionModel(_plan()), Processes(settings, self.folder)
        stepper = Stepper(network, settings, processes)
        holds = self.chosen is not None and bool(self.chosen.declared.holds_out)
        offer_cases(stepper, CaseReader(_Cases(), settings, processes), _Cases() if holds else None)
        torch.manual_seed(seed)
        for epoch in range(_EPOCHS):
            stepper.method.begin_epoch(epoch)
            for step in range(_STEPS):
                self._step(stepper, epoch, step, batches)
                if resumed:
                    stepper.method = _anew(stepper, settings, processes)
            stepper.method.end_epoch(epoch)
            if resumed:
                stepper.method = _anew(stepper, settings, processes)
        return {name: weight.detach() for name, weight in network.named_parameters()}

    def _step(self, stepper: Stepper, epoch: int, step: int, batches: int) -> None:
        before = [weight.detach().clone() for weight in stepper.trainable]
        cases = _batches(step, batches)
        totals, _ = stepper.totals(cases)
        stepper.method.begin_step(epoch, step, totals.rows)
        self._check_total(stepper, cases[0], totals)
        outcome = stepper.gradients(cases, totals, epoch, step)
        if any(not torch.equal(old, new) for old, new in zip(before, stepper.trainable, strict=True)):
            raise _FoundError(Fault("its hooks change weights", "change gradients.total alone, in place"))
        if not outcome.finite:
            raise _FoundError(Fault("a gradient is not finite after its hooks", "check its divisions: a step may lack "
                                    "every case of a modality, and a gradient may be zero"))
        stepper.change(_RATE)

    def _check_total(self, stepper: Stepper, batch: Batch, totals: Totals) -> None:
        """Its loss is one number that depends on every part, so that several processes see the same weights used."""
        shares = {name: weight / max(totals.rows[name], 1) for name, weight in stepper.weights.items()}
        given = arguments(stepper.network, batch)
        state = dict(stepper.method.method.state)
        with torch.random.fork_rng(devices=[]):
            seen = stepper.seen(batch, stepper.objective(*given, outputs=True), shares)
        losses = {name: torch.tensor(0.5 + place, requires_grad=True) for place, name in enumerate(stepper.weights)}
        method, view = stepper.method.method, stepper.method.view
        view.batch = seen
        total = method.total(losses, view) if stepper.method.active else TrainingMethod.total(method, losses, view)
        view.batch, method.state = None, state
        if not isinstance(total, Tensor) or total.dim() or not total.requires_grad:
            shape = list(total.shape) if isinstance(total, Tensor) else type(total).__name__
            raise _FoundError(Fault(f"'total' gives {shape} in place of a loss", "return a scalar made of the losses"))
        found = torch.autograd.grad(total, list(losses.values()), allow_unused=True)
        unused = [name for name, gradient in zip(losses, found, strict=True) if gradient is None]
        if unused:
            raise _FoundError(Fault(f"'total' leaves out the loss {unused[0]!r}",
                                    "multiply it by 0: several processes need to see the same weights used"))


def _anew(stepper: Stepper, settings: TrainingSettings, processes: Processes) -> AppliedMethod:
    """A new object that has the state of the last one, through what a file can hold."""
    made = AppliedMethod(stepper.network, settings, processes)
    old, new = stepper.method.view, made.view
    new.reading, new.holding, new.copying = old.reading, old.holding, old.copying
    made.restore(json.loads(json.dumps(stepper.method.numbers())),
                 {name: value.clone() for name, value in stepper.method.tensors().items()})
    return made


class _Cases(Dataset[Case]):
    """The cases of the small network, as a method reads them between epochs."""

    def __init__(self) -> None:
        self.batches = [_batches(step, 1)[0] for step in range(_STEPS)]

    def __len__(self) -> int:
        return _STEPS * _CASES

    def __getitem__(self, index: int) -> Case:
        batch, row = self.batches[index // _CASES], index % _CASES
        return {"index": index, "inputs": {name: value[row] for name, value in batch.inputs.items()},
                "present": {name: bool(value[row]) for name, value in batch.present.items()},
                "targets": {name: value[row] for name, value in batch.targets.items()},
                "target_present": dict.fromkeys(batch.targets, True)}


@cache
def _settings(batches: int) -> TrainingSettings:
    settings = read_settings(None, {"device": "cpu", "optimiser": "sgd", "accumulate": batches})
    # Looked up here, once: what follows are copies that know it.
    assert settings.chosen_optimiser
    return settings


@cache
def _plan() -> Plan:
    """Three modalities with a head of their own each, and one on all of them."""
    import fusionkit

    own: dict[str, dict[str, object]] = {}
    for name in _SIZES:
        own |= {f"{name}_encoder": {"use": "encoder.mlp", "from": name, "with": {"width": 6, "hidden": [4]}},
                f"by_{name}": {"use": "head.classify", "from": f"{name}_encoder", "with": _CLASSES, "loss": 0.5}}
    fused = {"use": "fusion.mean", "from": [f"{name}_encoder" for name in _SIZES]}
    return fusionkit.plan({
        "fusionkit": 1, "inputs": {name: {"vector": [size], "optional": name != "first"}
                                   for name, size in _SIZES.items()},
        "nodes": {**own, "fused": fused, "result": {"use": "head.classify", "from": "fused", "with": _CLASSES}}})


def _batches(step: int, count: int) -> Sequence[Batch]:
    """The batches of a step: of the second input some are missing in step 1, and all in step 2."""
    generator = torch.Generator().manual_seed(step)
    classes = torch.arange(_CASES) % len(_CLASSES["classes"])
    inputs = {name: torch.randn(_CASES, size, generator=generator) + classes[:, None] * (0.2 + 0.4 * place)
              for place, (name, size) in enumerate(_SIZES.items())}
    present = {name: torch.ones(_CASES, dtype=torch.bool) for name in _SIZES}
    present["second"] = torch.arange(_CASES) % 3 > step - 1 if step < 2 else torch.zeros(_CASES, dtype=torch.bool)
    heads = ("result", *(f"by_{name}" for name in _SIZES))
    parts = torch.arange(_CASES).tensor_split(count)
    return [Batch(index=rows, inputs={name: value[rows] for name, value in inputs.items()},
                  present={name: value[rows] for name, value in present.items()},
                  targets=dict.fromkeys(heads, classes[rows]),
                  target_present=dict.fromkeys(heads, torch.ones(len(rows), dtype=torch.bool))) for rows in parts]
