"""Makes the README's pictures of a comparison and of Grad-CAM, from a synthetic cohort and fixed seeds.

Run: python tools/readme_pictures.py [FOLDER]     (ten minutes; FOLDER keeps cohort and runs, to go on with)

The numbers in them differ a little between processors, so no test asks whether they are fresh.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from draw_docs import FOLDER
from fusionkit_plugins.blocks.overlay_plot import Overlay, overlay_figure
from fusionkit_plugins.explanations.gradcam import grad_cam

from fusionkit.cli.parser import main as fusionkit
from fusionkit.data.batch import collate
from fusionkit.datasets.phantom_files import write_phantom
from fusionkit.evaluation.plots import style
from fusionkit.explanation.cases import CaseOutput
from fusionkit.explanation.selection import ChosenCase, explained_heads
from fusionkit.inference.predict import Settings
from fusionkit.interface.explained_runs import networks_of, part_of
from fusionkit.registry.lookup import discover
from fusionkit.runs.folder import cohort_of, open_run

SCENARIO, CASES, SEED = "additive", 600, 0
REFERENCE, CANDIDATES = "fusion.concat", "fusion.gmu{width: 32},fusion.sum{width: 32}"
SLICES = range(6, 10)
"""The middle of the volume, where the nodule is."""


def make(folder: Path) -> None:
    """Cohort, comparison, and both pictures."""
    data = folder / "cohort" / "data.yaml"
    if not data.exists():
        write_phantom(data.parent, SCENARIO, CASES, SEED)
    comparison = folder / "comparison"
    code = fusionkit(["compare", "phantom", str(data), "--node", "both", "--with", CANDIDATES, "--seed", str(SEED),
                      "--threads", "1", "-o", str(comparison)])
    if code:
        raise SystemExit(code)
    (FOLDER / "comparison.png").write_bytes((comparison / "diagnosis-rank.png").read_bytes())
    _gradcam(comparison / "runs" / REFERENCE / "repeat-1")


def _gradcam(folder: Path) -> None:
    """The middle slices of the malignant test case of which the network is most confident."""
    registry = discover()
    run = open_run(folder, registry)
    network = networks_of(run, registry, Settings(32, "cpu"))[0]
    heads, _ = explained_heads(network.plan, None, "malignant")
    cases = part_of(run, (network,), cohort_of(run, None, require_targets=True), (), own=True, cache=None).cases
    result = cases.results["diagnosis"]
    item = ChosenCase(int(np.where(result.targets == 1, result.values[:, 1], -1).argmax()), "diagnosis", "malignant")
    output, place = CaseOutput.of(heads, cases, item), network.survey.maps()[0][0]
    batch = collate([cases.dataset[item.place]])
    image = batch.inputs["ct"][0].double().numpy()
    heat = grad_cam(network.survey, place, item.head, output.column, batch.inputs, present=batch.present,
                    size=image.shape[1:])
    assert heat is not None, "the encoder lets gradients through; please report"
    with style.applied():
        figure = overlay_figure(Overlay(image, heat, (f"Grad-CAM of the CT at node {place.node}", output.line)), SLICES)
        style.save(figure, FOLDER / "grad-cam", (".png",))


def main() -> None:
    """Make the pictures in a folder that is named, or in one that is deleted afterwards."""
    if sys.argv[1:]:
        make(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))


if __name__ == "__main__":
    main()
