"""A small study of columns whose table (CSV, workbook, Parquet) or data file is damaged: checked, loaded, prepared."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tools.fuzz.mutations import damaged, garbled, written
from tools.fuzz.steps import ACCEPTED, Outcome, Step, command, of_findings
from tools.fuzz.workbook import packed, parts

CASES = 24
GRAPH = """\
fusionkit: 1
name: tables
inputs: {lab: {vector: auto}, site: {vector: [2], optional: true}}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 3, hidden: []}}
  seen: {use: encoder.embed, from: site, with: {categories: auto, width: 2}}
  both: {use: fusion.concat, from: [told, seen]}
  result: {use: head.classify, from: both, with: {classes: ["no", "yes"]}}
  dose: {use: head.regress, from: both, with: {values: [dose]}}
"""
HEADER = ("id", "patient", "age", "weight", "born", "scanned", "sex", "site", "result", "dose", "split", "fold")
DATA: dict[str, Any] = {
    "fusionkit-data": 1, "cases": "cases.csv", "id": "id", "patient": "patient", "blank": ["NA", -999],
    "split": {"column": "split"},
    "inputs": {"lab": {"read": "columns", "numeric": ["age", "weight"], "fill": "mean",
                       "date": {"born": {"before": "scanned"}, "scanned": {"since": "2000-01-01", "order": "dmy"}}},
               "site": {"read": "columns", "categorical": ["sex", "site"], "encode": "codes"}},
    "targets": {"result": {"column": "result", "values": {"0": "no", "1": "yes"}}, "dose": {"column": "dose"}}}
OTHERS: tuple[Any, ...] = (
    {"split": {"folds": 3, "stratify": "result", "seed": 0}, "decimal": ",", "thousands": "."},
    {"split": {"folds": {"column": "fold"}}, "sheet": "cases", "root": [".", "other"], "decimal": {"weight": ","}},
    {"split": {"fraction": {"validation": 0.2, "test": 0.2}, "stratify": "dose", "group": "none"},
     "inputs": {"lab": {"read": "columns", "numeric": ["a*", "weight"], "encode": "onehot", "fill": "indicator",
                        "standardise": False}}},
    {"targets": {"result": {"columns": ["age", "weight"], "values": {"x": None}}}})
CELLS = ("", " ", "NA", "-999", "82,700", "1.234,5", "1e400", "nan", "inf", "<0.6", "70 kg", "31/12/2024", "12/31/2024",
         "2024-02-30", "0000-00-00", "9999-12-31", "1-1-1", "December 31, 2024", "20240131", "yes", "No", "TRUE", "-1",
         "=1+1", "\x1b[31m", "\u202e", "a\0b", '"', '""', "a,b", "a;b", "x" * 3000, "9" * 400, "0x10", "\u0660",
         "\ufeff", "\u2212 1", "caf\xe9", "../x", "male", "m", "1_000", "1e-400", "+5", "5.", ".5", "\u00bd")


def prepare(material: Path) -> None:
    """Nothing: the study is written with each case."""


def make(draw: Random, material: Path, folder: Path) -> list[Step]:
    """Rows, then a file of them, then a data file, of which at least one is damaged."""
    chance = draw.random()
    rows = _rows(draw)
    if chance < 0.6:
        rows = _changed(draw, rows)
    name = draw.choice(("cases.csv", "cases.csv", "cases.csv", "cases.xlsx", "cases.parquet"))
    write = {"cases.csv": _as_csv, "cases.xlsx": _as_workbook, "cases.parquet": _as_parquet}[name]
    (folder / name).write_bytes(write(draw, rows, chance > 0.4))
    data = DATA | {"cases": name}
    hurt = written(draw, data, _block(data), OTHERS) if chance < 0.2 or chance > 0.7 else _block(data).encode()
    (folder / "data.yaml").write_bytes(hurt)
    (folder / "graph.yaml").write_text(GRAPH, encoding="utf-8")
    as_json = ["--json"] if draw.random() < 0.5 else []
    check = command("check", "data.yaml", *as_json)
    return [check, command("check", "graph.yaml", "--data", "data.yaml", *as_json), prepared]


def prepared() -> Outcome:
    """Load the cases as training does, fit the preprocessing, and take the first case."""
    from fusionkit.data.description import describe
    from fusionkit.data.loading import HeadTarget, InputNeed, load_cohort
    from fusionkit.errors import UserError

    try:
        heads = {"result": HeadTarget("multiclass", ("no", "yes"), None, 2, partial=True),
                 "dose": HeadTarget("regression", ("dose",), None, 1, partial=True)}
        cohort = load_cohort(describe("data.yaml"), heads, {"lab": InputNeed((None,)), "site": InputNeed((2,), True)},
                             True, workers=1)
        cohort.dataset([0], cohort.fit(range(len(cohort))))[0]
    except UserError as error:
        return of_findings([each.as_json() for each in error.diagnostics if each.severity == "error"], str(error))
    return ACCEPTED


def _rows(draw: Random) -> list[list[str]]:
    """The header and the cases, all well."""
    rows = [list(HEADER)]
    for case in range(CASES):
        label = case // 2 % 2
        rows.append([f"c{case}", f"p{case // 2}", f"{draw.gauss(60, 9):.1f}", f"{draw.gauss(75, 9):.1f}",
                     f"19{draw.randrange(40, 80)}-0{draw.randrange(1, 9)}-1{draw.randrange(9)}",
                     f"1{draw.randrange(9)}.1{draw.randrange(2)}.202{draw.randrange(5)}", draw.choice("mf"),
                     draw.choice(("north", "south")), str(label), f"{draw.gauss(label, 1):.2f}",
                     ("train", "validation", "test")[case // 4 % 3], str(case // 2 % 3)])
    return rows


def _changed(draw: Random, rows: list[list[str]]) -> list[list[str]]:
    """Rows with one to four changes of cells, columns or lines."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        row, column = draw.randrange(len(rows)), draw.randrange(len(HEADER))
        change = draw.choice(("cell", "cell", "column", "most", "copy", "remove", "shorten", "lengthen", "swap", "cut"))
        if change == "cell" and rows[row]:
            rows[row][column % len(rows[row])] = draw.choice(CELLS)
        elif change in ("column", "most"):
            cell = draw.choice(CELLS)
            for line in rows[1:]:
                if column < len(line) and (change == "column" or draw.random() < 0.7):
                    line[column] = cell
        elif change == "copy":
            rows.insert(draw.randrange(len(rows) + 1), list(rows[row]))
        elif change == "remove" and len(rows) > 1:
            del rows[row]
        elif change == "shorten":
            del rows[row][column:]
        elif change == "lengthen":
            rows[row].append(draw.choice(CELLS))
        elif change == "swap":
            rows[0] = draw.sample(rows[0], len(rows[0]))
        elif change == "cut":
            del rows[draw.randrange(1, 3):]
    return rows


def _as_csv(draw: Random, rows: Sequence[Sequence[str]], hurt: bool) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, delimiter=draw.choice(",,,;\t|"), lineterminator=draw.choice(("\n", "\r\n", "\r")),
               quoting=draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))).writerows(rows)
    text = stream.getvalue()
    if hurt and draw.random() < 0.5:
        text = garbled(draw, text)
    code = draw.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16", "cp1252"))
    content = text.encode(code, "replace")
    return damaged(draw, content) if hurt and draw.random() < 0.3 else content


def _as_workbook(draw: Random, rows: Sequence[Sequence[str]], hurt: bool) -> bytes:
    files = {name: text.encode("utf-8", "replace") for name, text in parts(rows).items()}
    if hurt and draw.random() < 0.6:
        name = draw.choice(list(files))
        files[name] = damaged(draw, files[name])
    if hurt and draw.random() < 0.1:
        del files[draw.choice(list(files))]
    content = packed(files)
    return damaged(draw, content) if hurt and draw.random() < 0.3 else content


def _as_parquet(draw: Random, rows: Sequence[Sequence[str]], hurt: bool) -> bytes:
    import pyarrow
    from pyarrow import parquet

    width = max(map(len, rows))
    columns = list(zip(*([*row, *[""] * (width - len(row))] for row in rows), strict=True))
    names, arrays = [column[0] for column in columns], [pyarrow.array(column[1:], pyarrow.string())
                                                        for column in columns]
    kind = draw.choice((None, pyarrow.binary(), pyarrow.dictionary(pyarrow.int8(), pyarrow.string())))
    if kind is not None and arrays:
        place = draw.randrange(len(arrays))
        arrays[place] = arrays[place].cast(kind)
    stream = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_arrays(arrays, names=names), stream)
    content = stream.getvalue()
    if hurt and draw.random() < 0.6:
        end = max(0, len(content) - 2500)  # where the header of a Parquet file is
        content = content[:end] + damaged(draw, content[end:]) if draw.random() < 0.7 else damaged(draw, content)
    return content


def _block(data: dict[str, Any]) -> str:
    from fusionkit.syntax.writer import write

    return write(data)
