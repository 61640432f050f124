"""A recorded case of a release, independent of the form of its file, and what the forms have in common."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Role = Literal["output", "tap", "gradient", "weight gradient", "after"]


@dataclass(frozen=True)
class Expected:
    """One recorded result: `array` in full or, with `stride`, as a sample with sums over all of it.

    The role `after` is a buffer after a pass in training mode; `name` is then its name in the release.
    """

    entry: str
    role: Role
    name: str
    array: NDArray[Any]
    stride: int = 0
    shape: tuple[int, ...] = ()
    sums: tuple[float, float] = (0.0, 0.0)


class Parameters(Mapping[str, Tensor]):
    """The release's parameters, each generated when read and not stored, so that large networks fit into memory."""

    def __init__(self, shapes: Mapping[str, Sequence[int]], fill: Callable[[str, Sequence[int]], Tensor],
                 without: frozenset[str] = frozenset()) -> None:
        self._names = [name for name in shapes if name not in without]
        self._shapes, self._fill = shapes, fill
        self._known = set(self._names)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            raise KeyError(name)
        return self._fill(name, self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._known


@dataclass
class Fixture:
    """A recorded case of a release, which implements `fusionkit.api.Recorded`, and the expected results."""

    name: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]] | None
    """The release's parameters and their shapes; None if the file has none."""
    kept: frozenset[str]
    """Those that keep their initial values."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    expected: tuple[Expected, ...]
    fill: Callable[[str, Sequence[int]], Tensor]
    """Gives the values of a parameter by its name and shape."""
    rest: Mapping[str, Tensor] = field(default_factory=dict)
    cotangents: Mapping[int, Tensor] = field(default_factory=dict)
    """The weights (cotangents) of each output, if stored in the file."""
    trains: bool = False
    """Whether the recorded pass was in training mode."""
    relative_gradients: bool = False
    """Whether gradient errors are relative to the largest entry."""

    @cached_property
    def parameters(self) -> Parameters:
        """Every filled parameter, by its name in the release."""
        return Parameters(self.shapes or {}, self.fill, self.kept)

    def without(self, names: set[str]) -> Parameters:
        """The parameters that were not assigned to any of ours."""
        return Parameters(self.shapes or {}, self.fill, self.kept | names)

    def drawn(self, key: str, shape: Sequence[int]) -> Tensor:
        """Standard-normal numbers that the key determines."""
        return torch.from_numpy(normal(key, shape))

    def cotangent(self, place: int, shape: Sequence[int]) -> Tensor:
        """The weights of output number `place` in the sum whose gradients are recorded."""
        if place in self.cotangents:
            return self.cotangents[place]
        return self.drawn(f"cotangent{place}", shape)


def normal(key: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard-normal numbers determined by a key, the same on every machine."""
    random = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    return np.asarray(random.standard_normal(tuple(shape)), dtype=np.float32)
