"""Small studies that tests train on: a table of cases, its description and a graph in one folder.

`GRAPH` and `DATA` are one that fuses two tables and trains in a second: `write_study` writes it, `write_files` one of
other cases.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from fusionkit.cli.parser import main

GRAPH = """\
fusionkit: 1
name: small
inputs:
  lab: {vector: [3]}
  scan: {vector: [5], optional: true}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 7, hidden: [11]}}
  seen: {use: encoder.mlp, from: scan, with: {width: 7, hidden: [11]}}
  both: {use: fusion.concat, from: [told, seen], with: {availability: true}}
  result: {use: head.classify, from: both, with: {classes: [no, yes]}}
training: {epochs: 2, hold_out: 0, batch_size: 16, learning_rate: 0.01}
"""


def description(inputs: Mapping[str, str], targets: Mapping[str, str], *, id_column: str = "id",
                patient: str | None = None) -> str:
    """The description of `cases.csv`: how each input is read, and the column of each target."""
    return "\n".join([
        "fusionkit-data: 1", "cases: cases.csv", f"id: {id_column}", *([f"patient: {patient}"] if patient else []),
        "split: {column: split}", "inputs:", *(f"  {name}: {text}" for name, text in inputs.items()),
        "targets:", *(f"  {name}: {{column: {column}}}" for name, column in targets.items()), ""])


DATA = description({"lab": "{read: columns, numeric: [a, b, c]}",
                    "scan": "{read: columns, numeric: [d, e, f, g], categorical: [site]}"},
                   {"result": "result"}, patient="patient")


def write_table(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """A table of which each row has the same columns."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        sheet = None
        for row in rows:
            if sheet is None:
                sheet = csv.DictWriter(stream, list(row))
                sheet.writeheader()
            sheet.writerow(row)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_files(folder: Path, rows: Iterable[Mapping[str, object]], graph: str | Mapping[str, object], data: str
                ) -> Path:
    """`cases.csv`, `graph.yaml` and `data.yaml`; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "cases.csv", rows)
    (folder / "graph.yaml").write_text(graph if isinstance(graph, str) else json.dumps(graph))
    (folder / "data.yaml").write_text(data)
    return folder


def train(folder: Path, *arguments: str, run: str = "run") -> Path:
    """The run of a study by the command that a user types."""
    command = ["train", str(folder / "graph.yaml"), str(folder / "data.yaml"), "-o", str(folder / run), *arguments]
    assert main(command) == 0
    return folder / run


def write_study(folder: Path, graph: str = GRAPH, data: str = DATA) -> tuple[str, str]:
    """Sixty-six cases of thirty-three patients, a sixth of them without a scan; the paths of graph and data."""
    write_files(folder, _cases(), graph, data)
    return str(folder / "graph.yaml"), str(folder / "data.yaml")


def _cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(7)
    for case in range(66):
        label = (case // 2) % 2
        lab = [f"{value:.3f}" for value in rng.normal(label, 1.5, 3)]
        scan = [f"{value:.3f}" for value in rng.normal(label, 1.5, 4)] + ["north" if case % 5 else "south"]
        yield {"id": f"c{case}", "patient": f"p{case // 2}", **dict(zip("abc", lab, strict=True)),
               **dict(zip(("d", "e", "f", "g", "site"), [""] * 5 if case % 6 == 5 else scan, strict=True)),
               "result": ["no", "yes"][label], "split": "test" if case // 2 % 3 == 2 else "train"}


@pytest.fixture(scope="module", autouse=True)
def without_plots() -> Iterator[None]:
    """For modules that import it: the plots of an evaluation have tests of their own and take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fusionkit.evaluation.report_files.draw_figures", lambda report, folder: [])
        without_curves(patch)
        yield


def without_curves(patch: pytest.MonkeyPatch) -> None:
    """Empty pictures in place of the ranks over folds and the learning curves of a comparison, for its report."""
    def orders(folder: Path, found: Mapping[str, object]) -> None:
        for head in found:
            (folder / f"{head}-order.svg").write_text("<svg/>")

    patch.setattr("fusionkit.interface.compare.draw_orders", orders)
    patch.setattr("fusionkit.interface.compare.draw_learning",
                  lambda folder, found: (folder / "learning-curves.svg").write_text("<svg/>"))
