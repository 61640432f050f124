"""The requirements of a network on the data: one for each head and each input, by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from fusionkit.components.task import Task
from fusionkit.data.readers.reader import Sizes
from fusionkit.errors import Span
from fusionkit.registry.tasks import task_named


@dataclass(frozen=True, slots=True)
class HeadTarget:
    """The target of a head; the data file has a target of the same name.

    `classes` are in the order of the head's outputs; `size` is the number of outputs. `partial`: some labels or
    values of a case may be known and others not. `found` is the task that `task` names, where it was looked up before.
    `positive`: every number must be above 0. `scaled`: the head scales the numbers by itself.
    """

    task: str
    classes: tuple[str, ...] = ()
    span: Span | None = None
    size: int = 1
    partial: bool = False
    found: Task | None = field(default=None, repr=False, compare=False)
    positive: bool = False
    scaled: bool = False

    @property
    def declared_task(self) -> Task:
        """The task: how cells are read, and what is made of results."""
        return self.found or task_named(self.task)


@dataclass(frozen=True, slots=True)
class InputNeed:
    """The sizes of an input of the network without the batch axis, None if taken from the data (`auto`).

    `sizes` as a whole is None where no network is there and any number of axes will do. `masked`: tokens of another
    number for every case, at most `most`. `known`: a component asks which cells of its columns are not blank.
    `layout` is that of the graph, '' where no network is there. `joined` are the inputs with which it is joined voxel
    by voxel.
    """

    sizes: Sizes | None
    optional: bool = False
    span: Span | None = None
    masked: bool = False
    most: int | None = None
    known: bool = False
    layout: str = ""
    joined: frozenset[str] = frozenset()


def fits(sizes: Sizes, others: Sizes) -> bool:
    """Whether two sizes are compatible, None matching any."""
    return len(sizes) == len(others) and all(
        one is None or other is None or one == other for one, other in zip(sizes, others, strict=True)
    )
