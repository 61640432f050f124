"""Graphs against fixtures at sizes of their own: nothing is told by hand, all is read off the release's tensors.

The fixtures are written here by the networks themselves, so they show that sizes are found, not that numbers are right.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fusionkit.conversion.convert import parts_of
from fusionkit.conversion.name_mapping import pairs, transfer
from fusionkit.conversion.verification import check
from fusionkit.conversion.verification.case import Parameters, normal
from fusionkit.conversion.verification.state_form import filled
from fusionkit.network.build import build
from fusionkit.network.model import FusionModel

IMAGE = ["inputs.ct.volume=[1,7,27,35]", "nodes.pyramid.with.blocks=[2,1,1]", "nodes.pyramid.with.width=32",
         "nodes.pyramid.with.stem_width=16", "nodes.pyramid.with.cardinality=8", "nodes.lesion.with.width=32",
         "nodes.lesion.with.sab_kernel=3"]
BOTH = [*IMAGE, "inputs.ehr.vector=[5]", "nodes.clinic.with.width=32"]
KEPT = ("num_batches_tracked", "grid", "mask")


def state_of(model: FusionModel) -> dict[str, tuple[list[int], str]]:
    """The release's names, with the shapes and dtypes that it would have at these sizes."""
    own, found = model.state_dict(), {}
    for part in parts_of(model):
        for ours, theirs in pairs(part):
            if theirs is None or ours == "subtype.weights":
                continue
            shape = list(own[ours].shape)
            if ours.startswith("subtype."):
                shape[0] = 1
            elif theirs.endswith("kan.coef"):
                shape = [*shape[1:], shape[0]]
            found[theirs] = shape, str(own[ours].dtype).removeprefix("torch.")
    return found


def fixture(path: Path, model: FusionModel, outputs: list[str]) -> Path:
    """What a network computes, as a fixture of its release."""
    model.eval()
    state = state_of(model)
    parameters = Parameters({name: tuple(shape) for name, (shape, _) in state.items()}, filled)
    report = transfer(parts_of(model), parameters, [name for name in state if name.endswith(KEPT)])
    assert not report.missing and not report.misfits
    sizes = [[2, *value.shape.sizes] for value in model.plan.inputs]
    inputs = {value.name: torch.from_numpy(normal(f"input{place}", sizes[place]))
              for place, value in enumerate(model.plan.inputs)}
    results: dict[str, Tensor] = {}
    hook = model.get_submodule("lesion").register_forward_hook(lambda *given: results.update(feature=given[2]))
    with torch.no_grad():
        logits = model(inputs)["subtype"]
    hook.remove()
    results["logit"] = logits[:, 1:] - logits[:, :1]
    meta = {"case": "small", "inputs": sizes, "outputs": {name: list(results[name].shape) for name in outputs}}
    np.savez(path, meta=np.array(json.dumps(meta)), state=np.array(json.dumps(state)),
             **{f"out_{name}": results[name].numpy() for name in outputs})
    return path


@pytest.mark.parametrize(("graph", "sets", "outputs"), [
    ("mmcaf-net-image", IMAGE, ["feature", "logit"]), ("mmcaf-net", BOTH, ["logit"])])
def test_a_graph_takes_its_sizes_from_the_fixture(graph: str, sets: list[str], outputs: list[str], tmp_path: Path):
    found = check(graph, fixture(tmp_path / "small.npz", build(graph, sets=sets), outputs))
    assert found.ok and len(found.rows) == len(outputs)
