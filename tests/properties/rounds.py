"""How many graphs each property draws, from what, and what was drawn in the end."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nesting_components
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from fusionkit.testing.random_graphs.drawn import DrawnGraph
from fusionkit.testing.random_graphs.menu import Menu

GRAPHS = {"quick": 50, "full": 100, "thorough": 10_000}
_REGISTRY = nesting_components.registry()
LEFT_OUT = {"encoder.tabicl"}
"""Its context is computed once for a batch, so that it has no cost of a case that a plan could tell."""
# Where the type of an option is 'any text', or its default is for real images.
MENU = Menu(_REGISTRY, ids=set(_REGISTRY.ids) - LEFT_OUT, values={
    "encoder.timm": {"model": ["test_resnet", "test_efficientnet", "test_vit"]},
    "encoder.inceptionv3": {"taps": [["mixed0"], ["mixed3", "mixed10"]], "width": [1]},
    "encoder.resnet50v2": {"taps": [["conv2_block2_out"], ["conv3_block1_out", "post_relu"]]},
})


@dataclass
class Rounds:
    """The run at hand: its profile, its share of the graphs, a component that every graph has."""

    profile: str = "quick"
    share: tuple[int, int] = (1, 1)
    using: str | None = None


ROUNDS = Rounds()


@dataclass
class Drawn:
    """What was drawn, to be added up over the shares of a run."""

    graphs: int = 0
    sizes: Counter[int] = field(default_factory=Counter)
    uses: Counter[str] = field(default_factory=Counter)
    properties: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def note(self, name: str, graph: DrawnGraph | None = None) -> None:
        """One example of a property; only graphs that are right count as graphs."""
        self.properties[name] += 1
        if graph is not None:
            self.graphs += 1
            self.sizes[graph.size] += 1
            self.uses.update(graph.uses)

    def add(self, other: dict[str, Any]) -> None:
        """What another share wrote."""
        self.graphs += other["graphs"]
        self.sizes.update({int(size): count for size, count in other["sizes"].items()})
        self.uses.update(other["uses"])
        self.properties.update(other["properties"])
        self.failed.extend(other["failed"])

    def lines(self, ids: list[str]) -> list[str]:
        """The account for the end of a run."""
        reached = [name for name in ids if name in self.uses]
        spans = [(1, 2), (3, 5), (6, 10), (11, 15), (16, 20), (21, 25), (26, 99)]
        counted = [f"{low}-{high}: {sum(count for size, count in self.sizes.items() if low <= size <= high)}"
                   for low, high in spans]
        missing = [name for name in ids if name not in self.uses]
        return [f"{self.graphs} graphs, {sum(size * count for size, count in self.sizes.items())} nodes; "
                f"graphs by number of nodes: {', '.join(counted)}",
                f"{len(reached)} of {len(ids)} components" + (f", without {', '.join(missing)}" if missing else ""),
                "examples of each property: " + ", ".join(f"{name} {n}" for name, n in self.properties.items()),
                f"{len(self.failed)} properties failed" + "".join(f"\n  {name}" for name in self.failed)]


DRAWN = Drawn()


def read_record(path: Path) -> Drawn:
    """The sum over all shares that a file tells of."""
    total = Drawn()
    for line in path.read_text().splitlines():
        total.add(json.loads(line))
    return total


def append_record(path: Path) -> None:
    """Add this share to a file; one write, so that shares may end at the same time."""
    line = json.dumps(vars(DRAWN)) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def drawn(percent: int) -> Callable[[Any], Any]:
    """A property that draws so many of every hundred graphs.

    The quick and the full profile draw the same graphs every time, so that a change is judged and not the draw. Those
    of the thorough one are random; what fails is kept in .hypothesis and tried first the next time. A share of a run
    has a seed of its own, and draws the same graphs wherever it runs.
    """
    return _of(GRAPHS[ROUNDS.profile] * percent // 100 // ROUNDS.share[1])


def few(count: int) -> Callable[[Any], Any]:
    """So many examples of one of many cases, and five times as many of the thorough profile."""
    return _of((count * 5 if ROUNDS.profile == "thorough" else count) // ROUNDS.share[1])


def _of(examples: int) -> Callable[[Any], Any]:
    number, count = ROUNDS.share
    fixed = ROUNDS.profile != "thorough"
    chosen = settings(
        max_examples=max(1, examples), deadline=None, print_blob=True,
        # Without `explain`, which traces every line of torch to say which of them fail.
        derandomize=fixed, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        database=None if fixed else DirectoryBasedExampleDatabase(".hypothesis/examples"),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example,
                               HealthCheck.filter_too_much])
    return lambda test: seed(number)(chosen(test)) if count > 1 else chosen(test)
