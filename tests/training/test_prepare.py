"""Heads that are shown the targets before training: which, how often, and that a frozen head keeps what it brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from settled_head import Centred, component
from small_runs import NETWORK, STILL, Cohort
from torch import Tensor

import fusionkit
from fusionkit.data.batch import collate
from fusionkit.errors import RunError
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import read_tensors
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

SETTINGS = TrainingSettings(epochs=2, batch_size=5, learning_rate=0.01, device="cpu", threads=1)


def prepared(**more: Any) -> FusionModel:
    size = {"use": "head.centred", "from": "both", "with": {"values": ["length"]}, **more}
    nodes = {**NETWORK["nodes"], "size": size}
    nodes |= {name: {**nodes[name], **changed} for name, changed in STILL.items()}
    return fusionkit.build({**NETWORK, "nodes": nodes}, components=[component])


@pytest.fixture
def calls(monkeypatch: Any) -> list[str]:
    told: list[str] = []

    def prepare(head: Any, target: Tensor) -> None:
        told.append("prepare")
        head.offset.copy_(target.mean(0))

    monkeypatch.setattr(Centred, "prepare", prepare, raising=False)
    monkeypatch.setattr(Centred, "begin_epoch", lambda head: told.append("epoch"), raising=False)
    monkeypatch.setattr(Centred, "settle", None)
    return told


def test_a_head_is_shown_the_targets_once_and_told_of_each_epoch(calls: list[str], tmp_path: Path) -> None:
    model, cases = prepared(), Cohort()
    fit(model, cases, None, SETTINGS, tmp_path)
    batch = collate([cases[row] for row in range(len(cases))])
    known = batch.targets["size"][batch.target_present["size"]]
    assert calls == ["prepare", "epoch", "epoch"] and 0 < len(known) < len(cases)
    torch.testing.assert_close(read_tensors(tmp_path / "model.safetensors")["size.offset"], known.mean(0))


def test_a_frozen_head_keeps_what_it_brings(calls: list[str], tmp_path: Path) -> None:
    model = prepared(freeze=True)
    fit(model, Cohort(), None, SETTINGS, tmp_path)
    assert "prepare" not in calls and not model.head("size").offset.any()


def test_a_head_that_fails_is_named(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(Centred, "prepare", lambda *_: 1 / 0, raising=False)
    with pytest.raises(RunError, match="the head 'size' fails in 'prepare': ZeroDivisionError"):
        fit(prepared(), Cohort(), None, SETTINGS, tmp_path)
