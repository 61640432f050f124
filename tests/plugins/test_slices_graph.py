"""The graph `slices-mil` with the data file of the page on bags: some slices of a phantom are drawn and learnt from."""

from __future__ import annotations

import re
from pathlib import Path

from small_study import without_plots as without_plots

from fusionkit.datasets.phantom_files import write_phantom
from fusionkit.network.model import FusionModel
from fusionkit.runs.setup import set_up
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

PAGE = Path(__file__).parents[2] / "docs" / "bags.md"


def test_slices_of_the_phantom_are_learnt_from(tmp_path: Path) -> None:
    write_phantom(tmp_path / "phantom", "missing", cases=24, seed=1, shares=(0.5, 0.25))
    found = re.findall(r"\n(    fusionkit-data: 1\n.*?diagnosis: .column: diagnosis.)\n", PAGE.read_text(), re.DOTALL)
    written = "\n".join(line[4:] for line in found[0].split("\n"))
    data = tmp_path / "phantom" / "slices.yaml"
    data.write_text(written.replace("neighbours: 3", "neighbours: 3, every: 9, most: 2, most_evaluate: 3") + "\n")
    setup = set_up("slices-mil", data)
    cohort = setup.cohort
    assert cohort.sizes["slices"] == (3, 3, 32, 32) and cohort.sizes["places"] == (3, 1)
    rows = cohort.split_rows("train")
    cases = cohort.dataset(rows, cohort.fit(rows))
    settings = TrainingSettings(epochs=2, batch_size=4, device="cpu", workers=0)
    result = fit(FusionModel(setup.plan), cases, cases, settings, tmp_path / "run")
    assert result.epochs == 2
