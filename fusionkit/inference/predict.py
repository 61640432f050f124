"""Runs a trained network over cases, with or without an uncertainty method, and collects each head's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fusionkit.arrays import Floats
from fusionkit.components.protocols import HeadPrediction, Prediction, Runner, UncertaintyMethod
from fusionkit.components.training_outcomes import SurvivalCurves, joined_curves
from fusionkit.data.batch import Batch, collate
from fusionkit.data.copying_ahead import arriving
from fusionkit.errors import Diagnostic, GraphError, UserError
from fusionkit.inference.details import Passes
from fusionkit.inference.ensemble import Committee, CommitteeOnce, CommitteeSampler, EnsembleRun, members_of
from fusionkit.inference.head_result import HeadResult as HeadResult
from fusionkit.inference.sampler import Autocast, OnePass, Sampler
from fusionkit.inference.views import mean_of_views, motions_of, moving_inputs, seen_as
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import PlannedHead
from fusionkit.planning.resolve import Use
from fusionkit.progress import Progress


class SinglePass:
    """The method of a graph without an uncertainty method: one pass, no measures."""

    def predict(self, run: Runner) -> Prediction:
        """Decoded results of one pass."""
        return {name: HeadPrediction(values) for name, values in run.once().items()}


@dataclass(frozen=True)
class Settings:
    """How to run: batch size, device (`auto`, `cpu`, `cuda`), `bf16` or `fp32`, and the seed of the samples.

    `views` are those of test-time augmentation, of which the mean is taken; none, the cases as they are.
    `looped` draws samples one at a time; otherwise several are drawn in a batch, as many as fit into `memory` bytes.
    Samples are the same for the same seed, cases, batch size, and mode.
    """

    batch_size: int = 16
    device: str = "auto"
    precision: str = "fp32"
    seed: int = 0
    workers: int = 0
    looped: bool = False
    memory: int = 256 * 2**20
    views: tuple[str, ...] = ()

    @property
    def chosen_device(self) -> torch.device:
        """The device, with `auto` resolved."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


@dataclass
class _Collected:
    """The parts of one head's result, batch by batch."""

    values: list[Tensor] = field(default_factory=list)
    measures: dict[str, list[Tensor]] = field(default_factory=dict)
    details: dict[str, list[Tensor]] = field(default_factory=dict)
    curves: list[SurvivalCurves] = field(default_factory=list)
    valid: list[Tensor] = field(default_factory=list)
    targets: list[Tensor] = field(default_factory=list)
    known: list[Tensor] = field(default_factory=list)


def predict(
    models: FusionModel | Sequence[FusionModel],
    dataset: Dataset[Any],
    uncertainty: Use | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    kept: dict[FusionModel, Sampler] | None = None,
) -> dict[str, HeadResult]:
    """Every head's results for every case of a dataset, in its order. Leaves the networks in evaluation mode.

    Several networks are the members of an ensemble; a method uses the first ones, as many as it needs. Those of a
    `Committee` answer as one if a method needs one.
    `progress(done, total)` counts cases. `kept` is filled with what the search for stochastic calls finds in each
    network, which takes seconds for a large one; given again with the same networks and settings, it saves the search.

    Raises: GraphError with `too-few-members`; UserError with `not-settled` or `no-views`.
    """
    settings = settings or Settings()
    device = settings.chosen_device
    members = [[model.to(device).eval() for model in member] for member in _members(models, uncertainty)]
    model = members[0][0]
    _check_settled(members)
    method: UncertaintyMethod = uncertainty.component.module(uncertainty.config) if uncertainty else SinglePass()
    loader: DataLoader[Any] = DataLoader(dataset, settings.batch_size, collate_fn=collate,
                                         num_workers=settings.workers, pin_memory=device.type == "cuda")
    collected = {head.name: _Collected() for head in model.plan.heads}
    total, done = len(dataset), 0  # type: ignore[arg-type]  # our datasets are sized
    moving, motions = moving_inputs(model.plan) if settings.views else [], motions_of(settings.views)
    labelled = getattr(dataset, "labelled", ())
    samplers = _samplers(members, settings, {} if kept is None else kept) if uncertainty else []

    def autocast() -> AbstractContextManager[Any]:
        return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16")

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
        torch.manual_seed(settings.seed)
        for number, batch in enumerate(arriving(iter(loader), device)):
            whole, found, runs = batch.to(device), [], []
            for motion in motions:
                moved = seen_as(whole, motion, moving, labelled) if moving else whole
                run = EnsembleRun(samplers, moved.inputs, moved.masks, autocast=autocast, seed=settings.seed,
                                  batch=number) if samplers else _once(members[0], moved, autocast)
                found.append(method.predict(run))
                runs.append(run)
            _collect(model, whole, mean_of_views(found) if moving else found[0], collected)
            for name, numbers in _details(model, runs, found).items():
                for key, values in numbers.items():
                    collected[name].details.setdefault(key, []).append(values)
            if isinstance(run, OnePass | CommitteeOnce) and not moving:
                _collect_curves(run, collected)
            done += len(batch)
            if progress:
                progress(done, total)
    return {head.name: _result(head, collected[head.name]) for head in model.plan.heads}


def _check_settled(members: Sequence[Sequence[FusionModel]]) -> None:
    """Refuse networks with a head that needs to be fitted to the training cases and is not."""
    for model in (model for member in members for model in member):
        for head in model.plan.heads:
            if getattr(model.head(head.name), "settled", True):
                continue
            raise UserError(Diagnostic(
                "not-settled", f"the baseline of {head.name!r} has not been fitted",
                why=f"{head.component.id} fits it to the training cases, after training",
                fix="train the network with `fusionkit train`, or call the head's settle(outputs, targets)"))


def _members(models: FusionModel | Sequence[FusionModel], uncertainty: Use | None) -> list[Sequence[FusionModel]]:
    """The networks of each member."""
    given, count = [models] if isinstance(models, FusionModel) else list(models), members_of(uncertainty)
    if isinstance(models, Committee) and count == 1:
        return [given]
    if count > len(given):
        assert uncertainty is not None
        raise GraphError(Diagnostic(
            "too-few-members", f"{uncertainty.step.use} needs {count} networks, and there "
            f"{'is' if len(given) == 1 else 'are'} {len(given)}", uncertainty.step.span,
            fix=f"train as many: fusionkit train ... --set uncertainty.with.members={count}, or use fewer"))
    return [[model] for model in given[:count]]


def _samplers(members: Sequence[Sequence[FusionModel]], settings: Settings, kept: dict[FusionModel, Sampler]
              ) -> list[Sampler | CommitteeSampler]:
    for model in (model for member in members for model in member):
        if model not in kept:
            kept[model] = Sampler(model, 0 if settings.looped else settings.memory)
    each = [[kept[model] for model in member] for member in members]
    return [member[0] if len(member) == 1 else CommitteeSampler(member) for member in each]


def _once(networks: Sequence[FusionModel], batch: Batch, autocast: Autocast) -> Runner:
    runs = [OnePass(model, batch.inputs, batch.masks, autocast) for model in networks]
    return runs[0] if len(runs) == 1 else CommitteeOnce(runs)


def _details(model: FusionModel, runs: Sequence[Any], found: Sequence[Prediction]) -> dict[str, Mapping[str, Tensor]]:
    """What heads tell beside the results of the views of a batch: of one pass as it is, else as their task pools it."""
    if isinstance(runs[0], OnePass) and len(runs) == 1:
        return {name: {key: part.float().cpu() for key, part in told.items()}
                for name, told in runs[0].details.items()}
    passes = Passes(model)
    for run, prediction in zip(runs, found, strict=True):
        if isinstance(run, OnePass):
            passes.add({name: head.values for name, head in prediction.items()}, run.details)
        else:
            for name, kept in run.passes.found.items():
                passes.found[name] += kept
    return {name: {key: torch.from_numpy(part) for key, part in told.items()} for name, told in passes.pooled()}


def _collect(model: FusionModel, batch: Batch, prediction: Prediction, collected: dict[str, _Collected]) -> None:
    validity = model.validity(batch.masks)
    for name, part in collected.items():
        output = prediction[name]
        everyone = torch.ones(len(batch), dtype=torch.bool)
        mask = validity[name]
        part.values.append(output.values.float().cpu())
        part.valid.append(everyone if mask is None else mask.cpu())
        for measure, values in output.measures.items():
            part.measures.setdefault(measure, []).append(values.float().cpu())
        if name in batch.targets:
            part.targets.append(batch.targets[name].cpu())
            part.known.append(batch.target_present[name].cpu())
        else:
            part.targets.append(torch.zeros(len(batch)))
            part.known.append(~everyone)


def _collect_curves(run: OnePass | CommitteeOnce, collected: dict[str, _Collected]) -> None:
    """The curves of the heads, of one network or several."""
    for name, curves in run.curves.items():
        collected[name].curves.append(curves)


def _result(head: PlannedHead, part: _Collected) -> HeadResult:
    measures = {name: _floats(values) for name, values in part.measures.items()}
    details = {name: _floats(values) for name, values in part.details.items()}
    return HeadResult(head, _floats(part.values), measures, torch.cat(part.valid).numpy(), _floats(part.targets),
                      torch.cat(part.known).numpy(), details=details,
                      curves=joined_curves(part.curves) if part.curves else None)


def _floats(parts: Sequence[Tensor]) -> Floats:
    return torch.cat(list(parts)).double().numpy()
