"""The interface for authors of transforms: how training cases are changed at random, anew in every epoch.

Axes: B cases, c channels, then (h, w) or (d, h, w).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field

from fusionkit.arrays import Bools, Floats
from fusionkit.components.config import Config, ContractError
from fusionkit.components.declaration import Declaration

if TYPE_CHECKING:
    from torch import Tensor

Acts = Literal["space", "intensity", "cells", "preset"]


class TransformConfig(Config):
    """The option of every transform; derive the options of a transform from it."""

    chance: float = Field(1.0, ge=0, le=1, description="Probability that a case is changed in an epoch.")


class Draws:
    """The random numbers of one transform for one case in one epoch; nothing else changes them.

    They use `Generator.random` alone, whose stream NumPy keeps from version to version.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def numbers(self, *sizes: int) -> Floats:
        """Numbers from 0 (included) to 1 (not included). *Shape*: `sizes`."""
        return self._random.random(sizes)

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * float(self._random.random())

    def factor(self, low: float, high: float) -> float:
        """A number from `low` to `high`, both positive, uniform in its logarithm."""
        return math.exp(self.between(math.log(low), math.log(high)))


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the values of a changed case come from: a place p of the result shows `linear` p + `shift` + bend(p).

    Places are in mm along right, anterior and superior of the patient, from the middle of the array, or of the first of
    several that move alike. A `linear` of 0.5 enlarges by 2. `bend` has the displacements at the control points of a
    uniform cubic B-spline, `step` mm apart, around the middle. In pictures and arrays whose files tell no directions,
    w, h, d stand for right, anterior, superior.

    *Shapes*: `linear` (3, 3), `shift` (3,), `bend` (3, n, n, n): the first axis is right, anterior, superior, the
    others are the axes of the array nearest to superior, anterior, right.
    """

    linear: Floats | None = None
    shift: Floats | None = None
    bend: Floats | None = None
    step: float = 0.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A column of a table, by the places of its numbers in the vector of a case.

    `deviation` is that of a measurement in the unit of the vector, 0 for categories and for numbers of few values, such
    as stages. `blank` has what the places hold where the cell is blank, None if it may not be. With `marked` the last
    place says whether it is.
    """

    column: str
    places: tuple[int, ...]
    deviation: float = 0.0
    blank: tuple[float, ...] | None = None
    marked: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    """One case of an input of columns. *Shapes*: `values` (width,); `known` (width,), True = the cell is not blank."""

    values: Floats
    known: Bools
    cells: Sequence[Cell]


class TransformMethod:
    """What a transform does. A base class: override `move` where it acts in space, `change` where it acts on the cells
    of a table, else `draw` and `apply`.

    The result depends on the options, the drawn numbers and the values of the case alone: a case is changed alike in
    every batch, in every order, and after resuming. `mirrors` says whether it exchanges left and right.
    """

    mirrors = False

    def __init__(self, config: Any) -> None:
        self.config = config

    def move(self, random: Draws, extent: Sequence[float]) -> Motion:
        """The motion of one case. `extent` is the size of the array along superior, anterior, right in mm; 0 for an
        axis of one voxel, along which nothing may move.
        """
        raise NotImplementedError

    def change(self, random: Draws, row: TableRow, other: Callable[[float], TableRow]) -> TableRow:
        """The changed cells of one case; `other` gives another training case for a number from 0 to 1."""
        raise NotImplementedError

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The numbers by which `apply` changes one case."""
        return {}

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The changed cases; `values` are not written over. Each `drawn` is (B,), one number a case, float32.

        `noise()` gives random numbers of mean 0 and standard deviation 1 in the shape of `values`, the same on every
        device.
        *Shapes*: `values` (B, c, ...) float32, kept.
        """
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Transform(Declaration):
    """A random change of training cases, which the section `augment` of a data file names.

    `acts`: in `space`, so that inputs that belong together move alike and all motions of a case are one interpolation;
    on the `intensity`; on the `cells` of a table; or a `preset`, whose `module(config)` gives the options of several
    transforms by their names. Otherwise `module(config)` returns a `TransformMethod`, and the options derive from
    `TransformConfig`. `short` is the option that is meant by `NAME: VALUE` in place of `NAME: {OPTION: VALUE}`.
    `channels` is the number of channels that it changes, such as 3 for colours, None for any.

    Raises: ContractError if `acts`, `short` or the class of options is not valid.
    """

    _: KW_ONLY
    acts: Acts = "intensity"
    short: str = ""
    channels: int | None = None
    kind: ClassVar[str] = "transform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.acts not in get_args(Acts):
            raise ContractError(f"{self.id}: acts={self.acts!r}; choose one of {', '.join(get_args(Acts))}")
        if self.acts != "preset" and not issubclass(self.config, TransformConfig):
            raise ContractError(f"{self.id}: the options must derive from fusionkit.api.TransformConfig")
        if self.short and self.short not in self.config.model_fields:
            raise ContractError(f"{self.id}: short={self.short!r} is not an option")

    @property
    def facts(self) -> Mapping[str, str]:
        """Where it acts."""
        return {"acts": {"space": "in space", "intensity": "on the values", "cells": "on cells of tables",
                         "preset": "by other transforms"}[self.acts]}
