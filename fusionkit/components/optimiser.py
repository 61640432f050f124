"""The interface for authors of optimisers: a factory over groups of parameters."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from fusionkit.components.declaration import Declaration


@dataclass(frozen=True, repr=False)
class Optimiser(Declaration):
    """Changes the weights by their gradients; `module(groups, config)` gives a `torch.optim.Optimizer`.

    `groups` are dicts of `params`, `lr` and `weight_decay`, as constructors of optimisers take them; each group keeps
    its own rate and decay, and training sets `lr` before each step by the schedule. A step may use torch's random
    numbers, which training seeds for every step, and no others. Parameters without a gradient are not changed.

    What a step leaves behind must be in `Optimizer.state`, or in the groups, as tensors, numbers, booleans, None, and
    lists of these: it is saved, and a run that is resumed continues bit for bit.

    `takes` names settings of training that are options of the same name, and so cannot be given beside them.
    """

    _: KW_ONLY
    takes: tuple[str, ...] = ()

    kind: ClassVar[str] = "optimiser"
