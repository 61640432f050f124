"""What an author declares for the conformance kit to try a component with, where it cannot guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Probes:
    """Inputs and options that the conformance kit tries, beside what it derives from the rule and the options class.

    `sizes`: sets of inputs, each with the sizes of every input without the batch axis: [((3, 64, 64),)] is one image.
    `values`: values of an option in place of guessed ones, {'heads': range(1, 9), 'patch': [4, 8]}; of a range the
    first, the middle and the last are tried. `together`: sets of options that go together, {'width': 48, 'heads': 3};
    the first of them also gives the required options, and all of its options where the defaults alone are refused.
    """

    sizes: Sequence[Sequence[Sequence[int]]] = ()
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    together: Sequence[Mapping[str, Any]] = ()

    @property
    def options(self) -> set[str]:
        """The names of all options in it."""
        return set(self.values).union(*self.together)

    def tried(self, option: str) -> list[Any]:
        """The values to try of an option, none where nothing is declared of it."""
        values = self.values.get(option, ())
        if isinstance(values, range):
            return list(dict.fromkeys((values[0], values[len(values) // 2], values[-1]))) if values else []
        return list(values)
