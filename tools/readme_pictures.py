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

from fusionkit.cli.parser import main as fusionkit
from fusionkit.data.batch import collate
from fusionkit.datasets.phantom_files import write_phantom
from fusionkit.evaluation import plots
from fusionkit.explanation.gradcam import grad_cam
from fusionkit.explanation.overlay_plot import Overlay, overlay_figure
from fusionkit.explanation.request import CaseOutput, Request, cases_of, resolve_request
from fusionkit.explanation.selection import ChosenCase
from fusionkit.inference.predict import Settings
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
    run = open_run(folder, discover())
    request = Request(class_name="malignant")
    resolved = resolve_request(run.model, request)
    cohort = cohort_of(run, None, require_targets=True)
    cases = cases_of(run, cohort, request, own=True, cache=None, settings=Settings(32, "cpu"))
    result = cases.results["diagnosis"]
    item = ChosenCase(int(np.where(result.targets == 1, result.values[:, 1], -1).argmax()), "diagnosis", "malignant")
    output, place = CaseOutput.of(resolved, cases, item), resolved.places[0]
    batch = collate([cases.dataset[item.place]])
    image = batch.inputs["ct"][0].double().numpy()
    heat = grad_cam(resolved.survey, place, item.head, output.column, batch.inputs, present=batch.present,
                    size=image.shape[1:])
    assert heat is not None, "the encoder lets gradients through; please report"
    with plots.style():
        figure = overlay_figure(Overlay(image, heat, (f"Grad-CAM of the CT at node {place.node}", output.line)), SLICES)
        plots.save(figure, FOLDER / "grad-cam", (".png",))


def main() -> None:
    """Make the pictures in a folder that is named, or in one that is deleted afterwards."""
    if sys.argv[1:]:
        make(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))


if __name__ == "__main__":
    main()
