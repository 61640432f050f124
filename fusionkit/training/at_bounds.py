"""Each transform of an input by itself, at the ends of what it draws: to look at, before a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fusionkit.components.transform import Draws
from fusionkit.data.batch import Batch
from fusionkit.training.augmented import Applied, Augmented

_LARGEST = 1 - 2**-53  # of the numbers that a generator draws
_FEW = 2


class _AtEnd(Draws):
    """Draws the smallest or the largest numbers of ranges; several at a time are drawn at random."""

    def __init__(self, seed: int, largest: bool) -> None:
        super().__init__(seed)
        self.number, self.asked = _LARGEST if largest else 0.0, False

    def between(self, low: float, high: float) -> float:
        """An end of the range."""
        self.asked = True
        return low + (high - low) * self.number


@dataclass(frozen=True)
class _Ended(Applied):
    """A transform that changes every case, at one end of its range."""

    largest: bool = False

    def draws(self, epoch: int, id: str) -> _AtEnd:
        """The numbers of that end."""
        return _AtEnd(self.seed_at(epoch, id), self.largest)


def at_bounds(made: Augmented, name: str) -> Iterator[tuple[str, Callable[[Batch], Batch]]]:
    """A title and a change for both ends of each transform of an input, in their order; one of those without ends."""
    group = next((group for group in made.groups if name in group), (name,))
    for acts, several in (("space", made.groups.get(group, [])), ("intensity", made.values.get(name, []))):
        for each in several:
            for largest in (False, True):
                ended = _Ended(each.chosen, each.method, each.seed, each.owner, largest)
                numbers = ended.draws(0, "")
                drawn = each.call("move", numbers, [1.0] * 3) if acts == "space" else each.call("draw", numbers)
                alone = copy(made)
                alone.groups = {group: [ended]} if acts == "space" else {}
                alone.values, alone.cells = {name: [ended] if acts == "intensity" else []}, {}
                yield _title(ended, drawn, numbers.asked), partial(alone, epoch=0)
                if not numbers.asked and acts == "space":
                    break


def _title(ended: _Ended, drawn: Any, asked: bool) -> str:
    """The name of a transform with what it draws, or which end of its range that is."""
    declared = ended.chosen.declared
    if isinstance(drawn, dict) and 0 < len(drawn) <= _FEW:
        return f"{declared.name} {'/'.join(f'{value:.3g}' for value in drawn.values())}"
    options = ended.chosen.config.model_dump()
    main = options.get(declared.short) if declared.short != "chance" else None
    if isinstance(main, Sequence) and len(main) == _FEW:
        return f"{declared.name} {main[ended.largest]:.3g}"
    several = [f"{value:.3g}" for value in np.ravel(main)] if main is not None else []
    sign = ("+" if ended.largest else "-") if asked and several else ""
    return f"{declared.name} {sign}{'/'.join(several)}".strip()
