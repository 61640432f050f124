"""A study that trains in a second: two inputs, sixty cases of thirty patients, a small picture for some."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

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
training: {epochs: 2, batch_size: 16, learning_rate: 0.01, schedule: constant, threads: 1}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
patient: patient
split: {column: split}
inputs:
  picture: {read: numpy, path: "pictures/{picture}"}
  table: {read: columns, numeric: [a, b], categorical: [s]}
targets:
  result: {column: result}
"""
FOLDS = DATA.replace("{column: split}", "{folds: 3, stratify: result}")


def write_study(folder: Path, data: str = DATA) -> Path:
    """Graph, data file, table and pictures in a folder."""
    rng = np.random.default_rng(5)
    (folder / "pictures").mkdir(parents=True)
    with (folder / "cases.csv").open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(["id", "patient", "picture", "a", "b", "s", "result", "split"])
        for case in range(60):
            label = case % 2
            np.save(folder / "pictures" / f"{case}.npy", rng.normal(label, 1, (1, 4, 5)).astype(np.float32))
            picture = "" if case % 6 == 5 else f"{case}.npy"
            numbers = [f"{value:.3f}" for value in rng.normal(label, 1, 2)]
            sheet.writerow([f"c{case}", f"p{case // 2}", picture, *numbers, ["m", "f"][case // 2 % 2],
                            ["no", "yes"][label], ["train", "validation", "test"][case // 2 % 3]])
    (folder / "data.yaml").write_text(data)
    (folder / "graph.yaml").write_text(GRAPH)
    return folder


def edit_table(path: Path, edit: Callable[[list[dict[str, str]]], object]) -> None:
    """Change the rows of a table in place; what `edit` returns, if anything, are the new rows."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    made = edit(rows)
    rows = made if isinstance(made, list) else rows
    with path.open("w", newline="") as stream:
        sheet = csv.DictWriter(stream, list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
