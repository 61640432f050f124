"""The parts of a graph: inputs, references, steps and nodes, as plain immutable values."""

from __future__ import annotations

from dataclasses import dataclass, field

from fusionkit.components.kinds import kind_of
from fusionkit.errors import Span
from fusionkit.syntax.tree import Mapping, Tree


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the network; a size of None is `auto`, taken from the data.

    `masked`: tokens of another number for every case, whose first size is None, and at most `most` of them. `of` is
    another input, of whose tokens each of these is about one.
    """

    name: str
    layout: str
    sizes: tuple[int | None, ...]
    optional: bool
    span: Span
    masked: bool = False
    most: int | None = None
    of: str | None = None

    @property
    def auto(self) -> bool:
        """Whether the data have to tell a size."""
        return None in self.sizes[self.masked:]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a node reads: an input or node by name, optionally one of its named outputs, optionally at a port.

    An empty name replaces one that has already been reported.
    """

    name: str
    member: str | None
    port: str | None
    span: Span
    port_span: Span | None = None

    def __str__(self) -> str:
        return f"{self.name}.{self.member}" if self.member else self.name


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a component, with its options as written."""

    use: str
    options: Mapping | None
    span: Span

    @property
    def kind(self) -> str:
        """The part of the id before the dot."""
        return kind_of(self.use)


@dataclass(frozen=True, slots=True)
class Node:
    """One node: one step or several in a chain, and what it reads.

    `rate` is its learning rate as a factor of the run's, `unfreeze` the epoch, from 1, from which it learns.
    """

    name: str
    steps: tuple[Step, ...]
    sources: tuple[Reference, ...]
    each: bool
    share: bool
    freeze: bool
    weights: str | None
    loss: float
    span: Span
    rate: float = 1.0
    unfreeze: int = 1

    @property
    def is_head(self) -> bool:
        """Whether the node's output is a result of the network."""
        return self.steps[-1].kind == "head"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a release has the parameters of one component: under `prefix`, '' for the top level.

    `path` is the component's place in the network: `node`, `node.0` in a chain, `node.name` with `each`.
    """

    path: str
    prefix: str
    span: Span

    @property
    def node(self) -> str:
        """The node's name."""
        return self.path.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Graph:
    """A network as written: every name is known, there is no cycle, every node leads to a head."""

    name: str
    description: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    uncertainty: Step | None
    training: Tree | None
    tree: Tree
    reference: dict[str, tuple[Origin, ...]] = field(default_factory=dict)
    """For each release of authors' code that the network corresponds to: which component is which part of it."""

    @property
    def file(self) -> str:
        """The file from which the graph was read."""
        return self.tree.span.file
