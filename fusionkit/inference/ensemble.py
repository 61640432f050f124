"""Several networks of one graph: how many a method needs, where a run stores them, and running a batch through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.inference.details import Passes
from fusionkit.inference.sampler import Autocast, BatchRun, OnePass, Sampler
from fusionkit.network.instantiate import seed_of
from fusionkit.network.model import FusionModel
from fusionkit.planning.resolve import Use

# Axes: B batch, K columns of a head.
MEMBERS = "members"


def members_of(method: Use | None) -> int:
    """How many networks a method needs: its option `members`, or one."""
    members = getattr(method.config, MEMBERS, 1) if method else 1
    return max(members, 1) if isinstance(members, int) else 1


def member_folder(run: Path, member: int) -> Path:
    """Where a run stores a network: the first at the top level, the others in `members/`."""
    return run / MEMBERS / str(member) if member else run


class Committee(tuple[FusionModel, ...]):
    """Networks whose results are averaged; each was trained without a different part of the cases."""

    __slots__ = ()


class CommitteeSampler:
    """The networks of a committee as one member of an ensemble, run one after the other."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self.samplers = samplers
        self.model = samplers[0].model

    def run(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None,
            autocast: Autocast = nullcontext, passes: Passes | None = None) -> CommitteeRun:
        """The networks and one batch."""
        return CommitteeRun([partial(sampler.run, inputs, present, autocast, passes) for sampler in self.samplers])


class CommitteeRun:
    """One batch and the networks of a committee; each network is started when it is first needed."""

    def __init__(self, begin: Sequence[Callable[[], BatchRun]]) -> None:
        self.begin = begin

    def once(self) -> dict[str, Tensor]:
        """The mean of the decoded results with all randomness off: (B, K) for each head."""
        return mean_of([begin().once() for begin in self.begin])

    def samples(self, count: int) -> Iterator[dict[str, Tensor]]:
        """Decoded results of `count` random passes, spread evenly over the networks: (B, K) for each head."""
        for place, begin in enumerate(self.begin):
            share = len(range(place, count, len(self.begin)))
            if share:
                yield from begin().samples(share)


class CommitteeOnce:
    """A committee and one batch, for one deterministic pass: a `fusionkit.api.Runner` without samples."""

    def __init__(self, runs: Sequence[OnePass]) -> None:
        self.runs, self.tasks, self.members = runs, runs[0].tasks, 1
        self.passes = Passes(runs[0].model)

    def once(self, member: int = 0) -> dict[str, Tensor]:
        """The mean of the decoded results: (B, K) for each head."""
        results = []
        for run in self.runs:
            results.append(run.once())
            self.passes.add(results[-1], run.details)
        return mean_of(results)

    def samples(self, count: int, member: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Nothing, as for one network."""
        return self.runs[0].samples(count, member)


def mean_of(results: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the results of several networks: (B, K) for each head."""
    return {name: torch.stack([each[name] for each in results]).mean(0) for name in results[0]}


class EnsembleRun:
    """One batch and some networks as an uncertainty method sees them: implements `fusionkit.api.Runner`.

    The deterministic part of a network runs when the network is first used, and its results are kept until another
    network is used. Samples depend on `seed`, `batch` (its number), the member and the number of its calls so far.
    """

    def __init__(self, samplers: Sequence[Sampler | CommitteeSampler], inputs: Mapping[str, Tensor],
                 present: Mapping[str, Tensor] | None = None, *, autocast: Autocast = nullcontext, seed: int = 0,
                 batch: int = 0) -> None:
        self.samplers = samplers
        self.inputs = inputs
        self.present = present
        self.autocast = autocast
        self.place = (seed, batch)
        self.calls: Counter[int] = Counter()
        self.kept: tuple[int, BatchRun | CommitteeRun] | None = None
        self.passes = Passes(samplers[0].model)
        self.tasks: Mapping[str, str] = {head.name: head.declared_task.alike
                                         for head in samplers[0].model.plan.heads}
        self.members = len(samplers)

    def once(self, member: int = 0) -> dict[str, Tensor]:
        """Decoded results with all randomness off: (B, K) for each head."""
        return self._of(member).once()

    def samples(self, count: int, member: int = 0) -> Iterator[dict[str, Tensor]]:
        """Decoded results of `count` random passes, (B, K) for each head."""
        run, (seed, batch) = self._of(member), self.place
        chosen = seed_of(seed, f"batch {batch}, member {member}, call {self.calls[member]}")
        self.calls[member] += 1
        return _seeded(chosen, run.samples(count))

    def _of(self, member: int) -> BatchRun | CommitteeRun:
        if self.kept is None or self.kept[0] != member:
            self.kept = None  # otherwise the results of two networks would be in memory at once
            self.kept = member, self.samplers[member].run(self.inputs, self.present, self.autocast, self.passes)
        return self.kept[1]


def _seeded(seed: int, passes: Iterator[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    torch.manual_seed(seed)
    yield from passes
