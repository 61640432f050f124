"""A study that trains in a second: a table of 24 cases in train, validation and test, and a graph of two layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from small_study import description, write_files

GRAPH = """\
fusionkit: 1
name: small
inputs: {table: {vector: [2]}}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 3, hidden: []}}
  result: {use: head.classify, from: told, with: {classes: ["no", "yes"], dropout: 0.1}}
uncertainty: {use: uncertainty.mc_dropout, with: {samples: 2}}
training: {epochs: 2, batch_size: 8, learning_rate: 0.01, device: cpu, checkpoint_steps: 1}
"""
DATA = description({"table": "{read: columns, numeric: [a, b]}"}, {"result": "result"})


def write_study(folder: Path, ids: list[str] | None = None) -> tuple[str, str]:
    """Write it and give the paths of graph and data."""
    write_files(folder, _cases(ids or [f"c{case}" for case in range(24)]), GRAPH, DATA)
    return str(folder / "graph.yaml"), str(folder / "data.yaml")


def _cases(ids: Sequence[str]) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(3)
    for case, name in enumerate(ids):
        label, part = case % 2, ("train", "train", "validation", "test")[case // 2 % 4]
        yield {"id": name, "a": f"{rng.normal(label):.3f}", "b": f"{rng.normal(-label):.3f}",
               "result": ("no", "yes")[label], "split": part}
