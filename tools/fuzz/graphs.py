"""Published graphs and graphs drawn at random, damaged: checked or built."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from tools.fuzz.mutations import as_yaml, written
from tools.fuzz.steps import Step, command

DRAWINGS, GRAPHS_EACH, MOST_NODES = 8, 4, 8
SMALL = ("breast-cancer", "centralnet", "ct-and-table", "daft", "late-fusion", "organs", "organs-image", "organs-table",
         "phantom", "phantom-image", "phantom-table", "unimodal-losses")
"""Published graphs that are planned in a tenth of a second."""


def prepare(material: Path) -> None:
    """Write every graph that cases start from, as a tree and as text."""
    from fusionkit.registry.lookup import discover
    from fusionkit.syntax.reader import read_file
    from fusionkit.syntax.tree import to_plain

    published = [{"name": name, "tree": to_plain(read_file(path)), "text": path.read_text(encoding="utf-8")}
                 for name, path in sorted(discover().graphs.items())]
    drawn = [{"tree": tree, "text": as_yaml(tree).decode()} for tree in _drawn()]
    (material / "graphs.json").write_text(json.dumps({"published": published, "drawn": drawn}), encoding="utf-8")


def _drawn() -> list[dict[str, Any]]:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    from fusionkit.testing.random_graphs.graphs import graphs

    found: list[dict[str, Any]] = []
    for number in range(DRAWINGS):
        @seed(number)
        @settings(max_examples=GRAPHS_EACH, database=None, deadline=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))
        @given(graphs(most_nodes=MOST_NODES))
        def draw(graph: Any) -> None:
            found.append(graph.data)

        draw()
    return found


def make(draw: Random, material: Path, folder: Path) -> list[Step]:
    """One graph with a few changes, sometimes parts of other graphs."""
    known = _known(material)
    chance = draw.random()
    pool = known["drawn"] if chance < 0.5 else known["small"] if chance < 0.9 else known["published"]
    graph = draw.choice(pool)
    others = [each["tree"] for each in known["published"] + known["drawn"]]
    (folder / "graph.yaml").write_bytes(written(draw, graph["tree"], graph["text"], others))
    words = [draw.choice(("check", "build")), "graph.yaml"]
    return [command(*words, *(["--json"] if draw.random() < 0.5 else []))]


_KNOWN: dict[Path, dict[str, Any]] = {}


def _known(material: Path) -> dict[str, Any]:
    if material not in _KNOWN:
        known = json.loads((material / "graphs.json").read_text(encoding="utf-8"))
        _KNOWN[material] = known | {"small": [each for each in known["published"] if each["name"] in SMALL]}
    return _KNOWN[material]
