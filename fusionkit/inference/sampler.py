"""Runs a network many times over one batch: its deterministic part once, the rest once for each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fusionkit.components.training_outcomes import SurvivalCurves
from fusionkit.inference.call_splitting import MetaCopy, SplitCall, split_call
from fusionkit.inference.calls import ModuleCall, steps_of
from fusionkit.inference.details import Passes, Told, told_by
from fusionkit.inference.randomness import BATCHES, MetaNetwork, downstream, draws_of, sampling
from fusionkit.layers.known_masks import computed, listed
from fusionkit.network.absence import Mask, Valid
from fusionkit.network.model import ExecutionState, FusionModel

# Axes: B batch, S samples drawn at once, K columns of a head.
Autocast = Callable[[], AbstractContextManager[Any]]
_MOST = 64  # more samples at once give no measurable speed-up


class Sampler:
    """A network split into a deterministic and a stochastic part, inside a component if that can be traced.

    `memory` limits the bytes that samples drawn at once may take. With 0 they are drawn one at a time, with the same
    random numbers as full passes of the network, and so with bit-identical results.
    """

    def __init__(self, model: FusionModel, memory: int = 0) -> None:
        self.model = model
        self.memory = memory
        own = len(model.plan.inputs) + sum(len(node.values) for node in model.plan.nodes)
        self.steps = steps_of(model, own)
        with torch.inference_mode(False):  # inference tensors do not count in-place modifications
            randomness = _Randomness(model, self.steps.calls)
        self.stochastic = downstream(self.steps.calls, randomness.draws)
        self.parts, self.split_calls, self.each_alone = randomness.parts, randomness.split_calls, randomness.each_alone
        self.bytes_of_case = randomness.bytes_of_case(self.stochastic)
        self.nodes = frozenset(self.steps.calls[number].node for number in self.stochastic)
        """The nodes whose results change from sample to sample."""

    def run(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None,
            autocast: Autocast = nullcontext, passes: Passes | None = None) -> BatchRun:
        """The network and one batch, ready to be run as often as a method needs; the caller turns gradients off.

        `passes` keeps what its heads tell beside their results.
        """
        return BatchRun(self, self.model.begin(inputs, _masks(self.model, present)), autocast, passes)

    def at_once(self, count: int, batch: int) -> int:
        """How many of `count` samples are drawn at once for a batch of this size."""
        if not self.memory or not self.each_alone:
            return 1
        return max(1, min(count, _MOST, self.memory // max(1, self.bytes_of_case * batch)))


class OnePass:
    """A network and one batch, run once with all randomness off: a `fusionkit.api.Runner` without samples.

    It skips the search for stochastic calls, which takes seconds for a large network.
    """

    def __init__(self, model: FusionModel, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None,
                 autocast: Autocast) -> None:
        self.model, self.inputs, self.present, self.autocast = model, inputs, present, autocast
        self.tasks: Mapping[str, str] = {head.name: head.declared_task.alike for head in model.plan.heads}
        self.members = 1
        self.details: Told = {}
        """Further numbers (B,) of the heads that have some, after `once`."""
        self.curves: dict[str, SurvivalCurves] = {}
        """Those of the heads that have `curve_times`, after `once`."""

    def once(self, member: int = 0) -> dict[str, Tensor]:
        """Decoded results: (B, K) for each head."""
        with self.autocast():
            given = self.model(self.inputs, _masks(self.model, self.present))
            self.details = told_by(self.model, {name: given[name] for name in self.tasks})
            heads: dict[str, Any] = {name: self.model.head(name) for name in self.tasks}
            self.curves = {name: _curves(head, given[name].float()) for name, head in heads.items()
                           if len(getattr(head, "curve_times", ()))}
            return {name: self.model.decode_output(name, given[name].float()) for name in heads}

    def samples(self, count: int, member: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Not available: use a `Sampler` for samples."""
        raise AssertionError("a plain prediction has no samples; please report")


def _curves(head: Any, output: Tensor) -> SurvivalCurves:
    """In single precision, in which the network gives them: there may be hundreds of times for each of many cases."""
    times: Tensor = head.curve_times
    return SurvivalCurves(times.double().cpu().numpy(), head.curve(output, times).float().cpu().numpy(),
                          getattr(head, "curve_steps", True))


def _masks(model: FusionModel, present: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    """The masks of optional inputs and of masked tokens, None if nothing is missing and no tokens are masked."""
    optional = {value.name for value in model.plan.inputs if value.present is not None}
    masks = {name: mask for name, mask in (present or {}).items() if name in optional or mask.dim() > 1}
    return masks if not all(mask.dim() == 1 and all(listed(mask)) for mask in masks.values()) else None


class _Randomness:
    """What a run on the meta device shows: which calls draw, whether per case, and where calls can be split."""

    def __init__(self, model: FusionModel, calls: Sequence[ModuleCall]) -> None:
        self.networks = [MetaNetwork(model.plan, batch) for batch in BATCHES]
        first, second = (draws_of(network) for network in self.networks)
        self.draws = first
        self.parts = frozenset(part for number, draw in first.items() for part in _named(model, calls[number],
                                                                                         draw.parts))
        counts = [(draw.drawn, second[number].drawn) for number, draw in first.items()]
        # A number drawn once per batch would be the same for all samples if these were batched.
        self.each_alone = all(one is not None and two is not None and one * BATCHES[1] == two * BATCHES[0]
                              for one, two in counts)
        self.split_calls: dict[tuple[int, bool], SplitCall] = {}
        with sampling(model, self.parts), sampling(self.networks[0].model, self.parts), \
                sampling(self.networks[1].model, self.parts):
            self._split(calls)
        self.each_alone = self.each_alone and all(split.cases is not None for split in self.split_calls.values())

    def _split(self, calls: Sequence[ModuleCall]) -> None:
        """Split every call that draws but reads nothing stochastic, with masks of its inputs and without."""
        changing = {slot for number in downstream(calls, self.draws) for slot in calls[number].writes}
        for number, draw in self.draws.items():
            if draw.drawn is None or changing & set(calls[number].reads):
                continue
            for masked in (False, True) if not calls[number].absence.takes_masks else ():
                copies = [self._copy(network, number, masked) for network in self.networks]
                found = split_call(calls[number].module, [copy for copy, _ in copies], copies[0][1])
                if found is not None:
                    self.split_calls[number, masked] = found

    @staticmethod
    def _copy(network: MetaNetwork, number: int, masked: bool) -> tuple[MetaCopy, bool]:
        step = network.steps.calls[number]
        there = torch.ones(network.batch, dtype=torch.bool, device="meta") if masked else None
        args, more = step.absence.prepared([network.slots[slot] for slot in step.reads], [there] * len(step.reads))
        return MetaCopy(step.module, [*args, *more.values()], network.batch), bool(more)

    def bytes_of_case(self, stochastic: frozenset[int]) -> int:
        """An upper bound on the bytes of one case of one sample: twice its largest operation, as branches coexist."""
        network, largest = self.networks[0], 0
        for number in stochastic:
            if (number, False) in self.split_calls:
                largest = max(largest, self.split_calls[number, False].largest)
            else:
                watch = network.call(network.steps.calls[number], ())
                largest = max(largest, watch.largest if watch else 0)
        return -(-2 * largest // network.batch)


def _named(model: FusionModel, step: ModuleCall, parts: Sequence[str]) -> Iterator[str]:
    prefix = next(name for name, part in model.named_modules() if part is step.module)
    return (f"{prefix}.{part}" if part else prefix for part in parts)


class BatchRun:
    """One batch as an uncertainty method sees it: implements `fusionkit.api.Runner`."""

    def __init__(self, sampler: Sampler, state: ExecutionState, autocast: Autocast, passes: Passes | None = None
                 ) -> None:
        model = sampler.model
        self.passes = passes
        self.sampler = sampler
        self.autocast = autocast
        self.tasks: Mapping[str, str] = {head.name: head.declared_task.alike for head in model.plan.heads}
        self.valid = state.valid
        self.batch = next(slot.shape[0] for slot in state.slots if slot is not None)
        extra = [None] * (sampler.steps.slots - len(state.slots))
        self.slots: list[Any] = [*state.slots, *extra]
        self.masks: list[Mask] = [*(state.masks or [None] * len(state.slots)), *extra]
        self.deterministic: dict[int, list[Any]] = {}
        self._run_deterministic(state.to_run)

    def _run_deterministic(self, to_run: frozenset[str] | None) -> None:
        """Run every deterministic call of these nodes, and drop results that are no longer needed."""
        calls, stochastic = self.sampler.steps.calls, self.sampler.stochastic
        reads = [set(step.reads) for step in calls]
        needed = set(self.sampler.model.outputs.values()).union(*[reads[number] for number in stochastic])
        with self.autocast():
            for number, step in enumerate(calls):
                if number not in stochastic and (to_run is None or step.node in to_run):
                    step.call(self.slots, self.masks, self.valid)
                    for slot in reads[number] - needed:
                        if not any(slot in reads[later] for later in range(number + 1, len(calls))):
                            self.slots[slot] = None

    def once(self) -> dict[str, Tensor]:
        """Decoded results with all randomness off: (B, K) for each head."""
        slots, masks = list(self.slots), list(self.masks)
        with self.autocast():
            for number in sorted(self.sampler.stochastic):
                self.sampler.steps.calls[number].call(slots, masks, self.valid)
            found = self._decoded(slots)
            if self.passes:
                self.passes.add(found, self._told(slots))
            return found

    def samples(self, count: int) -> Iterator[dict[str, Tensor]]:
        """Decoded results of `count` random passes, (B, K) for each head."""
        many = self.sampler.at_once(count, self.batch)
        for start in range(0, count, many):
            size = min(many, count - start)
            results = self._drawn(size)
            for sample in range(size):
                yield {name: values[sample] for name, values in results.items()}

    def _drawn(self, size: int) -> dict[str, Tensor]:
        """Decoded results of `size` samples: (S, B, K) for each head."""
        sampler, wide = self.sampler, _Wide(self.slots, self.masks, self.valid, size)
        with sampling(sampler.model, sampler.parts), self.autocast():
            for number in sorted(sampler.stochastic):
                step = sampler.steps.calls[number]
                args, columns = wide.args(step), wide.columns(step)
                split = sampler.split_calls.get((number, any(column is not None for column in columns)))
                output = (step.absence.call(step.module, args, columns, wide.valid) if split is None
                          else self._run_stochastic(number, split, args, columns, wide))
                wide.write(step, output)
        with self.autocast():
            results = {name: values.reshape(-1, self.batch, values.shape[1]).expand(size, -1, -1)
                       for name, values in self._decoded(wide.slots).items()}
            if self.passes:
                self.passes.add_samples(results, self._told(wide.slots), size)
        return results

    def _run_stochastic(self, number: int, split: SplitCall, args: Sequence[Tensor], columns: Sequence[Mask],
                        wide: _Wide) -> Any:
        step = self.sampler.steps.calls[number]
        if number not in self.deterministic:
            narrow, more = step.absence.prepared([self.slots[slot] for slot in step.reads],
                                                 [self.masks[slot] for slot in step.reads])
            self.deterministic[number] = list(split.deterministic(*narrow, *more.values()))
        given, more = step.absence.prepared(args, columns)
        values: list[Any] = [*given, *more.values(), *self.deterministic[number]]
        for place in split.read:
            if place >= len(args) + len(more) and place in (split.cases or ()):
                values[place] = wide.widened(values[place])
            if place in split.written:
                values[place] = values[place].clone()
        return step.absence.finished(split.stochastic(*values), columns)

    def _decoded(self, slots: Sequence[Any]) -> dict[str, Tensor]:
        model = self.sampler.model
        return {head.name: model.decode_output(head.name, slots[model.outputs[head.name]].float())
                for head in model.plan.heads}

    def _told(self, slots: Sequence[Any]) -> Told:
        model = self.sampler.model
        return told_by(model, {name: slots[model.outputs[name]] for name in self.passes.found} if self.passes else {})


class _Wide:
    """The slots widened to a batch of samples: deterministic values are repeated for each sample."""

    def __init__(self, slots: Sequence[Any], masks: Sequence[Mask], valid: Valid | None, size: int) -> None:
        self.size = size
        self.valid = valid and {name: self.widened(mask) for name, mask in valid.items()}
        self.slots = list(slots)
        self.masks = list(masks)
        self.done: set[int] = set()

    def args(self, step: ModuleCall) -> list[Tensor]:
        """The arguments of a call."""
        for slot in set(step.reads) - self.done:
            self.slots[slot] = self.widened(self.slots[slot])
            mask = self.masks[slot]
            self.masks[slot] = None if mask is None else self.widened(mask)
            self.done.add(slot)
        return [self.slots[slot] for slot in step.reads]

    def columns(self, step: ModuleCall) -> list[Mask]:
        """The masks of the arguments of a call."""
        return [self.masks[slot] for slot in step.reads]

    def write(self, step: ModuleCall, output: Any) -> None:
        """Put the result of a call into its slots."""
        step.write(output, self.slots, self.masks)
        self.done.update(step.writes)

    def widened(self, value: Tensor) -> Tensor:
        """The rows of a value, repeated for each sample."""
        if self.size == 1 or not value.dim():
            return value
        wide = partial(_repeated, self.size)
        return computed(wide, value) if value.dtype is torch.bool else wide(value)


def _repeated(size: int, value: Tensor) -> Tensor:
    return torch.cat([value] * size)
