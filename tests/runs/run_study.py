"""A study that trains in a second: two inputs, sixty cases of thirty patients, a small picture for some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from small_study import description, write_files, write_table
from small_study import read_table as table

GRAPH = """\
fusionkit: 1
name: small
inputs:
  picture: {image: [1, 4, 5], optional: true}
  table: {vector: [3]}
nodes:
  seen: {use: encoder.conv, from: picture, with: {widths: [2], output: pooled}}
  told: {use: encoder.mlp, from: table, with: {width: 4, hidden: [5]}}
  both: {use: fusion.concat, from: [seen, told], with: {availability: true}}
  result: {use: head.classify, from: both, with: {classes: [no, yes], dropout: 0.1}}
training: {epochs: 2, hold_out: 0, batch_size: 16, learning_rate: 0.01, schedule: constant, threads: 1}
"""
DATA = description({"picture": '{read: numpy, path: "pictures/{picture}"}',
                    "table": "{read: columns, numeric: [a, b], categorical: [s]}"}, {"result": "result"},
                   patient="patient")
FOLDS = DATA.replace("{column: split}", "{folds: 3, stratify: result}")


def write_study(folder: Path, data: str = DATA) -> Path:
    """Graph, data file, table and pictures in a folder."""
    (folder / "pictures").mkdir(parents=True)
    return write_files(folder, _cases(folder), GRAPH, data)


def _cases(folder: Path) -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(5)
    for case in range(60):
        label = case % 2
        np.save(folder / "pictures" / f"{case}.npy", rng.normal(label, 1, (1, 4, 5)).astype(np.float32))
        a, b = (f"{value:.3f}" for value in rng.normal(label, 1, 2))
        yield {"id": f"c{case}", "patient": f"p{case // 2}", "picture": "" if case % 6 == 5 else f"{case}.npy",
               "a": a, "b": b, "s": ["m", "f"][case // 2 % 2], "result": ["no", "yes"][label],
               "split": ["train", "validation", "test"][case // 2 % 3]}


def edit_table(path: Path, edit: Callable[[list[dict[str, str]]], object]) -> None:
    """Change the rows of a table in place; what `edit` returns, if anything, are the new rows."""
    rows = table(path)
    made = edit(rows)
    write_table(path, made if isinstance(made, list) else rows)
