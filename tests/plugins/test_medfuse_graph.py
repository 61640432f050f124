"""The graph `medfuse` with the data file of the page on time series, whose other inputs are read as well."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_study import without_plots as without_plots

from fusionkit.network.model import FusionModel
from fusionkit.runs.setup import set_up
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

PAGE = Path(__file__).parents[2] / "docs" / "time-series.md"
SMALL = ["inputs.cxr={image: [3, 16, 16], optional: true}", "nodes.course.with.width=6",
         "nodes.seen={use: encoder.conv, from: cxr, with: {widths: [5]}}", "nodes.fused.with.width=7"]


def write(folder: Path, cases: int = 10) -> Path:
    """The tables of the page, a radiograph of every second case, and its data file with smaller pictures."""
    random = np.random.default_rng(0)
    stays = ["stay,admitted,index,split,died"]
    chart = ["stay,charttime,storetime,name,value,unit"]
    (folder / "cxr").mkdir()
    for case in range(cases):
        stays.append(f"s{case},2026-03-01T10:00,2026-03-02T{10 + case % 3}:00,{'test' if case > 7 else 'train'},"
                     f"{'died' if case % 2 else 'survived'}")
        for hour in range(11, 15):
            when = f"s{case},2026-03-01T{hour}:20,2026-03-01T{hour}:40"
            chart += [f"{when},heart rate,{random.integers(60, 120)},/min", f"{when},GCS,{random.integers(3, 16)},"]
        chart.append(f"s{case},2026-03-01T12:05,2026-03-01T13:40,lactate,{18 if case % 3 else 2},"
                     f"{'mg/dL' if case % 3 else 'mmol/L'}")
        if case % 2:
            Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / "cxr" / f"s{case}.png")
    (folder / "stays.csv").write_text("\n".join(stays))
    (folder / "chart.csv").write_text("\n".join(chart))
    written = re.search(r"\n(    fusionkit-data: 1\n.*?mortality: .column: died.)\n", PAGE.read_text(), re.DOTALL)
    assert written
    data = folder / "icu.yaml"
    data.write_text("".join(f"{line[4:]}\n" for line in written[1].split("\n")).replace("[224, 224]", "[16, 16]"))
    return data


def test_a_record_and_a_radiograph_that_may_be_missing_are_learnt_from(tmp_path: Path) -> None:
    data, page = write(tmp_path), PAGE.read_text()
    sets = re.findall(r"--set (inputs.ehr.tokens=\S+)", page)
    setup = set_up("medfuse", data, [*sets, *SMALL])
    cohort = setup.cohort
    assert cohort.sizes["ehr"] == (26, 18) and cohort.gathered["ehr"].units == {"heart rate": "/min",
                                                                                "lactate": "mmol/L"}
    lactate = cohort.gathered["ehr"].names.index("lactate")
    assert {round(float(array[-1, lactate]), 3) for array in cohort.gathered["ehr"].arrays} == {1.998, 2}
    rows = cohort.split_rows("train")
    cases = cohort.dataset(rows, cohort.fit(rows))
    settings = TrainingSettings(epochs=2, batch_size=4, device="cpu", workers=0)
    assert fit(FusionModel(setup.plan), cases, cases, settings, tmp_path / "run").epochs == 2


def test_the_variables_of_the_benchmarks_are_the_columns_of_the_graph(tmp_path: Path) -> None:
    data = write(tmp_path)
    block = re.search(r"\n(        names:\n          Capillary.*?          pH: .*?\n)", PAGE.read_text(), re.DOTALL)
    assert block
    table = re.sub(r"    (unit|convert): .*\n", "", data.read_text())
    start, end = table.index("    names:"), table.index("  cxr:")
    data.write_text(table[:start] + "".join(line[4:] for line in block[1].splitlines(True)) + table[end:])
    chart = tmp_path / "chart.csv"
    chart.write_text(chart.read_text().replace("heart rate", "Heart Rate").replace("GCS", "Glascow coma scale total"))
    setup = set_up("medfuse", data, ["inputs.ehr.max=32", *SMALL])
    found = setup.cohort.gathered["ehr"]
    assert setup.cohort.sizes["ehr"] == (26, 76) and found.counts["not_named"] == 10  # lactate
    first = dict(zip(found.names, found.arrays[0][0].tolist(), strict=True))
    assert first["Glascow coma scale motor response=6 Obeys Commands"] == 1 and first["Weight"] == 81
    assert sum(value for name, value in first.items() if "response=" in name) == 2
    assert [first[f"{name} measured"] for name in ("Heart Rate", "Weight")] == [0, 0]
    assert found.arrays[0][1, list(found.names).index("Heart Rate measured")] == 1


@pytest.mark.parametrize("written", re.findall(r"^    (labs: \{read: .*?0h\].*?\})$", PAGE.read_text(),
                                               re.DOTALL | re.MULTILINE))
def test_the_other_inputs_of_the_page_are_read(written: str, tmp_path: Path) -> None:
    data = write(tmp_path)
    lines = " ".join(line.strip() for line in written.split("\n"))
    table = data.read_text()
    start, end = table.index("  ehr:"), table.index("  cxr:")
    data.write_text(f"{table[:start]}  {lines}\n{table[end:]}")
    steps = "read: steps" in written
    sizes = "{series: [null, 3]}" if steps else "{events: 256, variables: 5}"
    use = "encoder.grud" if steps else "encoder.strats"
    graph = tmp_path / "graph.yaml"
    graph.write_text(f"fusionkit: 1\ninputs:\n  labs: {sizes}\nnodes:\n"
                     f"  seen: {{use: {use}, from: labs, with: {{width: 4}}}}\n"
                     "  mortality: {use: head.classify, from: seen, with: {classes: [survived, died]}}\n")
    setup = set_up(str(graph), data)
    case = setup.cohort.dataset(setup.cohort.rows, setup.cohort.fit(setup.cohort.rows))[0]
    assert bool(torch.isfinite(case["inputs"]["labs"]).all())
