"""`fusionkit weights convert`: a checkpoint becomes weights for a graph, and every tensor is accounted for.

The checkpoints are written here, under the names of the releases and at small widths.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fusionkit.cli.parser import main
from fusionkit.conversion.convert import parts_of
from fusionkit.conversion.name_mapping import pairs
from fusionkit.network.build import build
from fusionkit.network.model import FusionModel
from fusionkit.planning.open_graph import open_graph
from fusionkit.syntax.tree import to_plain

WIDTHS = ["inputs.ct.volume=[1,5,23,29]", "nodes.pyramid.with.blocks=[1,2,1]", "nodes.pyramid.with.width=16",
          "nodes.pyramid.with.stem_width=16", "nodes.pyramid.with.cardinality=4"]
CLASSIFIER = [item.replace("pyramid", "volume") for item in WIDTHS]


def as_release(model: FusionModel, name: str = "release") -> dict[str, Tensor]:
    """A network's weights under the names of a release; its two-class head as the one logit of a sigmoid."""
    own = model.state_dict()
    named = {theirs: own[ours].clone() for part in parts_of(model, name) for ours, theirs in pairs(part) if theirs}
    for last in ("weight", "bias"):
        for head in (f"fused_cls.0.{last}", f"classifier.fc.{last}"):
            if head in named:
                named[head] = named[head][1:] - named[head][:1]
    return named


def arguments(sets: list[str]) -> list[str]:
    return [part for item in sets for part in ("--set", item)]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["weights", "convert", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def stage_two(tmp_path: Path) -> tuple[FusionModel, Path]:
    model = build("mmcaf-net-image", sets=WIDTHS, seed=3).eval()
    state = as_release(model) | {"encoder.decoders.0.conv.weight": torch.zeros(2), "tab_cls.weight": torch.zeros(3)}
    path = tmp_path / "release.pth.tar"
    torch.save({"epoch": 30, "model_state": {f"module.{name}": value for name, value in state.items()}}, path)
    return model, path


def outputs(model: FusionModel) -> Tensor:
    case = torch.randn(2, 1, 5, 23, 29, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()({"ct": case})["subtype"].softmax(1)


def test_a_checkpoint_becomes_weights_that_a_graph_starts_from(
        stage_two: tuple[FusionModel, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, path = stage_two
    written = tmp_path / "weights.safetensors"
    code, said, _ = run(capsys, str(path), "--graph", "mmcaf-net-image", "-o", str(written), *arguments(WIDTHS))
    assert code == 0
    assert "unused by design (1): encoder.decoders.0.conv.weight" in said
    assert "unexpected (1): tab_cls.weight" in said
    graph = tmp_path / "graph.yaml"
    data = to_plain(open_graph("mmcaf-net-image", WIDTHS))
    for node in data["nodes"]:
        data["nodes"][node]["weights"] = f"weights.safetensors#{node}"
    graph.write_text(json.dumps(data))
    torch.testing.assert_close(outputs(build(graph)), outputs(model), rtol=0, atol=1e-6)


def test_the_report_as_data(stage_two: tuple[FusionModel, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, path = stage_two
    code, said, _ = run(capsys, str(path), "--graph", "mmcaf-net-image", "-o", str(tmp_path / "w.safetensors"),
                        "--json", *arguments(WIDTHS))
    told = json.loads(said)
    assert code == 0
    assert told["used"]["lesion.project.0.bias"] == "fc.0.bias"
    assert set(told["used"]) | {"subtype.weights"} >= {name for name, _ in model.named_parameters()}
    assert (told["missing"], told["unexpected"], told["uncovered"]) == ([], ["tab_cls.weight"], [])


def test_penet_sets_the_encoder_of_the_whole_network_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = build("mmcaf-net-penet", sets=WIDTHS, seed=7)
    torch.save(as_release(first), tmp_path / "penet.pt")
    code, said, _ = run(capsys, str(tmp_path / "penet.pt"), "--graph", "mmcaf-net", "--from", "penet",
                        "-o", str(tmp_path / "w.safetensors"), *arguments(WIDTHS))
    left = said.partition("nodes that the checkpoint does not cover (4): ")[2].partition("\n")[0]
    assert code == 0 and set(left.split(", ")) == {"lesion", "clinic", "fused", "subtype"}
    tensors = load_file(tmp_path / "w.safetensors")
    assert {name.partition(".")[0] for name in tensors} == {"pyramid"}
    own = first.state_dict()
    assert tensors and all(torch.equal(value, own[name]) for name, value in tensors.items())


def test_names_of_the_whole_network_are_those_of_the_release():
    state = as_release(build("mmcaf-net", sets=WIDTHS))
    assert {name.partition(".")[0] for name in state} == {"image_encoder", "kan", "multiscale_fusion", "fin_cls"}
    assert state.keys() >= {
        "image_encoder.encoder.in_conv.0.weight",
        "image_encoder.encoder.encoders.1.penet_blocks.1.se_block.excite.2.bias", "image_encoder.scale1.0.running_mean",
        "image_encoder.sab.conv.weight", "image_encoder.cab2.fc1.weight",
        "image_encoder.dcfb1.msdc.dwconvs.2.0.weight", "image_encoder.ucb1.up_dwc.2.weight",
        "image_encoder.bfpu1.adjust_c.bias", "image_encoder.fc.0.weight", "kan.coef", "kan.grid", "kan.mask",
        "multiscale_fusion.norm_tab.running_var", "multiscale_fusion.down2.0.weight",
        "multiscale_fusion.cross_attention3.v_proj.weight", "multiscale_fusion.sample_tab1.weight",
        "multiscale_fusion.SF2.fc1y.weight", "fin_cls.weight"}


def test_penet_s_classifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = build("penet-classifier", sets=CLASSIFIER, seed=7)
    torch.save({"state_dict": as_release(model)}, tmp_path / "penet.pt")
    code, _, _ = run(capsys, str(tmp_path / "penet.pt"), "--graph", "penet-classifier",
                     "-o", str(tmp_path / "w.safetensors"), *arguments(CLASSIFIER))
    weight = load_file(tmp_path / "w.safetensors")["finding.layers.1.weight"]
    own = model.state_dict()["finding.layers.1.weight"]
    assert code == 0
    assert torch.equal(weight, torch.stack([torch.zeros_like(own[0]), own[1] - own[0]]))


def test_what_is_missing_is_refused_unless_asked_for(
        stage_two: tuple[FusionModel, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, path = stage_two
    state = torch.load(path, weights_only=True)["model_state"]
    del state["module.fc.0.bias"]
    torch.save(state, path)
    out = tmp_path / "w.safetensors"
    words = (str(path), "--graph", "mmcaf-net-image", "-o", str(out), *arguments(WIDTHS))
    code, said, told = run(capsys, *words)
    assert code == 2 and not out.exists()
    assert "lacks 1 tensors" in told and "lesion.project.0.bias (fc.0.bias)" in told and "--partial" in told
    assert "missing in the checkpoint (1): lesion.project.0.bias (fc.0.bias)" in said
    code, _, _ = run(capsys, *words, "--partial", "--seed", "11")
    fresh = build("mmcaf-net-image", sets=WIDTHS, seed=11).state_dict()
    tensors = load_file(out)
    assert code == 0 and torch.equal(tensors["lesion.project.0.bias"], fresh["lesion.project.0.bias"])
    assert torch.equal(tensors["lesion.project.0.weight"], model.state_dict()["lesion.project.0.weight"])


@pytest.mark.parametrize("partial", [(), ("--partial",)])
def test_tensors_of_another_size_are_refused(stage_two: tuple[FusionModel, Path], tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str], partial: tuple[str, ...]):
    _, path = stage_two
    wider = [*WIDTHS[:-1], "nodes.pyramid.with.cardinality=8"]
    code, _, told = run(capsys, str(path), "--graph", "mmcaf-net-image", "-o", str(tmp_path / "w.safetensors"),
                        *partial, *arguments(wider))
    assert code == 2 and "4 of its tensors do not fit" in told
    assert "encoder.encoders.0.penet_blocks.0.conv2.weight is [16, 4, 3, 3, 3]" in told
    assert not (tmp_path / "w.safetensors").exists()


class Opaque:
    """Anything that is neither a tensor nor plain data."""


@pytest.mark.parametrize(("content", "message"), [
    ({"weight": torch.zeros(2)}, "no tensor of the checkpoint belongs"),
    ({"model_state": {"x": 1}}, "contains no named tensors"),
    ({"model": Opaque()}, "cannot read the weights"),
])
def test_files_that_are_no_such_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                           content: dict[str, Any], message: str):
    torch.save(content, tmp_path / "x.pt")
    code, _, told = run(capsys, str(tmp_path / "x.pt"), "--graph", "penet-classifier",
                        "-o", str(tmp_path / "w.safetensors"), *arguments(CLASSIFIER))
    assert code == 2 and message in told and "fix:" in told


def test_a_pickle_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "harmed",)

    (tmp_path / "x.pt").write_bytes(pickle.dumps(Harm()))
    code, _, _ = run(capsys, str(tmp_path / "x.pt"), "--graph", "penet-classifier", "-o",
                     str(tmp_path / "w.safetensors"), *arguments(CLASSIFIER))
    assert code == 2 and not (tmp_path / "harmed").exists()


def test_only_safetensors_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, _, told = run(capsys, "x.pt", "--graph", "penet-classifier", "-o", str(tmp_path / "w.pt"))
    assert code == 2 and ".safetensors" in told
