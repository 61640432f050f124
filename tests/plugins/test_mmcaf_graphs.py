"""MMCAF-Net's graphs and the rows of its tables: their weights are counted, and each trains on phantom volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.datasets.phantom import draw_latents, stream
from fusionkit.datasets.phantom_image import render_image
from fusionkit.datasets.phantom_table import NUMERIC, render_table
from fusionkit.network.build import build, plan
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

PAGE = Path(__file__).parents[2] / "docs" / "papers" / "mmcaf-net.md"
PYRAMID = ["nodes.pyramid.with.blocks=[1,1,1]", "nodes.pyramid.with.width=16", "nodes.pyramid.with.stem_width=16",
           "nodes.pyramid.with.cardinality=4"]
VOLUME = ["inputs.ct.volume=[1,8,16,16]"]
IMAGE = [*VOLUME, *PYRAMID, "nodes.lesion.with.sab_kernel=3"]
BOTH = [*IMAGE, "nodes.clinic.with.range=[-4.0,4.0]"]
ROWS: dict[str, tuple[str, ...]] = {
    "PENet": ("mmcaf-net-penet", *VOLUME, *PYRAMID, "nodes.context.chain.0.with.width=16"),
    "PENet, four stages": (
        "penet-classifier", *VOLUME, "nodes.volume.with.blocks=[1,1,1,1]", "nodes.volume.with.stem_width=16",
        "nodes.volume.with.width=16", "nodes.volume.with.cardinality=4"),
    "PENet + E3D-MSCA": (
        "mmcaf-net-image", *IMAGE, "nodes.lesion.with.dropout=0.0", "nodes.lesion.with.vector_dropout=0.0"),
    "PENet + E3D-MSCA + dropout": ("mmcaf-net-image", *IMAGE),
    "SAM + E3D-MSCA": (
        "mmcaf-net-sam", *VOLUME, "nodes.slices.with.encoder.with.model=test_vit",
        "nodes.slices.with.encoder.with.taps=[0,1,2]", "nodes.pyramid.with.widths=[16,32,64]",
        "nodes.lesion.with.sab_kernel=3"),
    "MSCA": ("mmcaf-net", *BOTH),
    "Cross-Attention": ("mmcaf-net", *BOTH, "nodes.fused.use=fusion.simple_fuse"),
    "clip": ("mmcaf-net", *BOTH, "nodes.fused.use=fusion.clip_align"),
    "Late": ("mmcaf-net-late", *BOTH),
    "MedFuse": ("mmcaf-net", *BOTH, "nodes.fused.use=fusion.medfuse"),
    "PEfusion": ("mmcaf-net", *BOTH, "nodes.fused.use=fusion.pefusion"),
    "MMTM": ("mmcaf-net-mmtm", *BOTH),
    "DrFuse": ("mmcaf-net-drfuse", *BOTH),
    "DAFT": ("daft", *VOLUME),
    "focal loss": ("mmcaf-net", *BOTH, "nodes.subtype.with.gamma=2.0"),
}


class Phantoms(Dataset[Case]):
    """Cases of the phantom in memory: the volume on half its grid, seven columns, and the targets of every graph."""

    def __init__(self, count: int = 8) -> None:
        latents = draw_latents("additive", count, seed=1)
        columns = render_table(latents, seed=1)
        table = np.column_stack([*(columns[name] for name in NUMERIC), columns["sex"] == "f"]).astype(np.float32)
        volumes = np.stack([render_image(u, stream(1, "volumes", place)) for place, u in enumerate(latents.image)])
        windowed = torch.from_numpy((volumes.astype(np.float32) + 1000) / 1400).clamp(0, 1)
        self.volumes = torch.nn.functional.avg_pool3d(windowed.unsqueeze(1), 2)
        self.tables = torch.from_numpy((table - table.mean(0)) / (table.std(0) + 1e-6))
        self.labels = torch.from_numpy(latents.label)
        self.ids = tuple(f"case {place}" for place in range(count))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> Case:
        return {"index": place, "inputs": {"ct": self.volumes[place], "ehr": self.tables[place]},
                "present": {"ct": True, "ehr": True},
                "targets": dict.fromkeys(("subtype", "finding"), self.labels[place]),
                "target_present": dict.fromkeys(("subtype", "finding"), True)}


@pytest.fixture(scope="module")
def phantoms() -> Phantoms:
    return Phantoms()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_trains_for_a_few_steps(row: str, phantoms: Phantoms, tmp_path: Path):
    graph, *sets = ROWS[row]
    model = build(graph, sets=sets)
    first = {name: value.detach().clone() for name, value in model.named_parameters()}
    fit(model, phantoms, None, TrainingSettings(epochs=2, batch_size=4, learning_rate=0.01), tmp_path / "run")
    moved = {name.partition(".")[0] for name, value in model.named_parameters() if not torch.equal(value, first[name])}
    assert moved == {name.partition(".")[0] for name in first}, "every node that has weights learns"
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_three_stages_each_on_the_one_before(phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings = TrainingSettings(epochs=1, batch_size=4, learning_rate=0.01)
    held: list[str] = []
    stages = []
    for number, row in enumerate(("PENet", "PENet + E3D-MSCA + dropout", "MSCA"), start=1):
        graph, *sets = ROWS[row]
        fit(build(graph, sets=[*sets, *held]), phantoms, None, settings, Path(f"stage{number}"))
        stages.append(load_file(f"stage{number}/model.safetensors"))
        held = [f"nodes.{node}.{item}" for node in ("pyramid", "lesion")[:number]
                for item in ("freeze=true", f"weights=stage{number}/model.safetensors#{node}")]
    for earlier, later, node in ((0, 1, "pyramid"), (1, 2, "pyramid"), (1, 2, "lesion")):
        kept = {name: value for name, value in stages[later].items() if name.startswith(f"{node}.")}
        assert kept and all(torch.equal(value, stages[earlier][name]) for name, value in kept.items())
    own = "lesion.mix.1.project.1.running_mean"
    assert own in stages[2] and stages[2][own].any(), "a norm that moved in its own stage stands still in the next"


# What the release counts, less what no result depends on, and a second logit for each head; docs/papers/mmcaf-net.md.
@pytest.mark.parametrize(("graph", "release", "idle", "logit"), [
    ("penet-classifier", 28_398_705, 0, 2_049),
    ("mmcaf-net-penet", 28_119_602, 9_551_488 + 1_729, 257),
    ("mmcaf-net-image", 106_877_208, 8_063_232 + 9_551_488 + 1_729, 25),
    ("mmcaf-net", 106_884_063, 8_063_232 + 9_551_488 + 1_729 + 3 * 25 + 7 * (12 + 24), 25),
])
def test_the_weights_are_those_of_the_release(graph: str, release: int, idle: int, logit: int):
    total = plan(graph).total
    assert total and total.parameters == total.trainable == release - idle + logit
    row = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"{release:,}" in line)
    assert f"| {total.parameters:,} |" in row


def test_the_page_has_a_command_for_every_row():
    text = PAGE.read_text(encoding="utf-8")
    for graph, *sets in ROWS.values():
        assert f"`{graph}" in text
        for item in sets:
            if item.startswith(("nodes.fused.use", "nodes.lesion.with.dropout", "nodes.subtype.with.gamma")):
                assert f"--set {item}" in text
