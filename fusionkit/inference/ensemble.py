"""Several networks of one graph: how many a method needs, where a run stores them, and running a batch through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from fusionkit.components.protocols import Task
from fusionkit.inference.sampler import Autocast, BatchRun, Sampler
from fusionkit.network.instantiate import seed_of
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


class EnsembleRun:
    """One batch and some networks as an uncertainty method sees them: implements `fusionkit.api.Runner`.

    The deterministic part of a network runs when the network is first used, and its results are kept until another
    network is used. Samples depend on `seed`, `batch` (its number), the member and the number of its calls so far.
    """

    def __init__(self, samplers: Sequence[Sampler], inputs: Mapping[str, Tensor],
                 present: Mapping[str, Tensor] | None = None, *, autocast: Autocast = nullcontext, seed: int = 0,
                 batch: int = 0) -> None:
        self.samplers = samplers
        self.inputs = inputs
        self.present = present
        self.autocast = autocast
        self.place = (seed, batch)
        self.calls: Counter[int] = Counter()
        self.kept: tuple[int, BatchRun] | None = None
        self.tasks: Mapping[str, Task] = {head.name: head.task for head in samplers[0].model.plan.heads}
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

    def _of(self, member: int) -> BatchRun:
        if self.kept is None or self.kept[0] != member:
            self.kept = None  # otherwise the results of two networks would be in memory at once
            self.kept = member, self.samplers[member].run(self.inputs, self.present, self.autocast)
        return self.kept[1]


def _seeded(seed: int, passes: Iterator[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    torch.manual_seed(seed)
    yield from passes
