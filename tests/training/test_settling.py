"""Heads that fit buffers after training: on which cases, with which weights, and that the run keeps and knows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from settled_head import component
from small_runs import NETWORK, STILL, Cohort, differing, weights
from small_study import without_plots as without_plots
from test_distributed import TORCHRUN, free_port, on_loopback
from tiny_study import write_study

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.data.batch import collate
from fusionkit.errors import GraphError, RunError
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import read_tensors
from fusionkit.registry.lookup import discover
from fusionkit.runs.folder import RUN, open_run
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.signals import Interrupted

PLUGIN = Path(__file__).with_name("settled_head.py")
SETTINGS = TrainingSettings(epochs=3, batch_size=5, learning_rate=0.01, device="cpu", threads=1, checkpoint_steps=1)


def centred(**more: Any) -> FusionModel:
    size = {"use": "head.centred", "from": "both", "with": {"values": ["length"]}, **more}
    nodes = {**NETWORK["nodes"], "size": size}
    nodes |= {name: {**nodes[name], **changed} for name, changed in STILL.items()}
    return fusionkit.build({**NETWORK, "nodes": nodes}, components=[component])


def residuals(model: FusionModel, cases: Cohort) -> torch.Tensor:
    """Of the cases that have a target, by the network as it is now."""
    batch = collate([cases[row] for row in range(len(cases))])
    with torch.no_grad():
        found = model.eval()(batch.inputs, {"table": batch.present["table"]})["size"]
    return (batch.targets["size"] - found)[batch.target_present["size"]]


def test_a_head_is_settled_on_the_training_cases_with_the_best_weights_and_saved(tmp_path: Path) -> None:
    model, cases = centred(), Cohort()
    result = fit(model, cases, Cohort(11, 1), SETTINGS, tmp_path)
    expected = residuals(model, cases)
    assert result.settled == ("size",) and model.head("size").cases == len(expected) < len(cases)
    torch.testing.assert_close(model.head("size").offset, expected.mean(0))
    saved = read_tensors(tmp_path / "model.safetensors")
    assert not differing(saved, weights(model)) and saved["size.offset"].any()


def test_an_interrupted_run_is_not_settled_and_a_resumed_one_as_an_undisturbed_one(tmp_path: Path) -> None:
    def interrupt(epoch: int, step: int, steps: int, loss: float) -> None:
        if (epoch, step) == (2, 3):
            os.kill(os.getpid(), signal.SIGINT)

    whole, parts, resumed = centred(), centred(), centred()
    fit(whole, Cohort(), Cohort(11, 1), SETTINGS, tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(parts, Cohort(), Cohort(11, 1), SETTINGS, tmp_path / "parts", progress=interrupt)
    assert not read_tensors(tmp_path / "parts" / "model.safetensors")["size.offset"].any()
    fit(resumed, Cohort(), Cohort(11, 1), SETTINGS, tmp_path / "parts", resume=True)
    assert not differing(weights(resumed), weights(whole))


def test_a_run_that_is_trained_on_is_as_one_that_was_never_settled(tmp_path: Path) -> None:
    def settings(epochs: int) -> TrainingSettings:
        return SETTINGS.model_copy(update={"epochs": epochs, "schedule": "constant"})

    whole, longer = centred(), centred()
    fit(whole, Cohort(), None, settings(3), tmp_path / "whole")
    fit(centred(), Cohort(), None, settings(1), tmp_path / "parts")
    fit(longer, Cohort(), None, settings(3), tmp_path / "parts", resume=True)
    assert not differing(weights(longer), weights(whole))


def test_a_head_without_targets_is_not_settled(tmp_path: Path) -> None:
    cases = Cohort()
    cases.has_size[:] = False
    model = centred()
    assert fit(model, cases, None, SETTINGS, tmp_path).settled == () and model.head("size").cases == 0


def test_a_frozen_head_is_not_settled(tmp_path: Path) -> None:
    model = centred(freeze=True)
    assert fit(model, Cohort(), None, SETTINGS, tmp_path).settled == () and model.head("size").cases == 0


@pytest.mark.parametrize(("does", "told"), [
    (lambda *_: 1 / 0, "the head 'size' fails in 'settle': ZeroDivisionError"),
    (lambda head, *_: head.register_buffer("offset", torch.zeros(2)), "gives its buffers other shapes in 'settle'"),
])
def test_a_head_that_cannot_be_settled_is_named(does: Any, told: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(centred().head("size")), "settle", does)
    with pytest.raises(RunError, match=told):
        fit(centred(), Cohort(), None, SETTINGS, tmp_path)


def test_every_network_of_a_run_is_settled_on_what_it_learned_from_and_the_run_says_so(tmp_path: Path) -> None:
    graph, data = write_study(tmp_path)
    text = Path(graph).read_text().replace("head.classify", "head.centred").replace(
        'classes: ["no", "yes"], dropout: 0.1', "values: [a]").replace(
        "uncertainty: {use: uncertainty.mc_dropout, with: {samples: 2}}\n", "")
    Path(graph).write_text(text)
    table = Path(data).read_text().replace("{column: result}", "{column: a}").replace("numeric: [a, b]", "numeric: [b]")
    Path(data).write_text(table.replace("split: {column: split}\n", ""))
    Path(graph).write_text(text.replace("{vector: [2]}", "{vector: [1]}").replace("batch_size: 8", "hold_out: folds"))
    run, plugin = tmp_path / "RUN", ["--plugin", str(PLUGIN)]
    assert main(["train", graph, data, "-o", str(run), *plugin]) == 0
    about = json.loads((run / RUN).read_text())
    assert about["settled"] == ["result"]
    opened = open_run(run, discover(files=[str(PLUGIN)]))
    counts = [int(network.head("result").cases) for network in opened.networks(1)]
    learned = [len(about["train"]) - len(member["held_out"]) for member in about["members"]]
    assert counts == learned and len(counts) == 5
    del about["settled"]
    (run / RUN).write_text(json.dumps(about))
    with pytest.raises(GraphError, match=r"the head 'result' of .* has not been settled"):
        open_run(run, discover(files=[str(PLUGIN)]))


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
def test_two_processes_settle_as_one(tmp_path: Path) -> None:
    model = centred()
    fit(model, Cohort(), Cohort(11, 1), SETTINGS.model_copy(update={"batch_size": 6}), tmp_path / "one")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    code = ("import sys; from pathlib import Path; from test_settling import *; f = Path(sys.argv[1]); "
            "[fit(centred(), Cohort(), Cohort(11, 1), SETTINGS.model_copy(update={'batch_size': 6, 'strategy': s}), "
            "f / s) for s in ('ddp', 'fsdp')]")
    script = tmp_path / "script.py"
    script.write_text(code)
    environment["PYTHONPATH"] = os.pathsep.join([str(PLUGIN.parent), str(PLUGIN.parent.parent),
                                                 environment.get("PYTHONPATH", "")])
    ran = subprocess.run([*TORCHRUN, *on_loopback(free_port(), "2"), str(script), str(tmp_path)], env=environment,
                         capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr[-3000:]
    for strategy in ("ddp", "fsdp"):
        found = read_tensors(tmp_path / strategy / "model.safetensors")
        torch.testing.assert_close(found, weights(model), atol=1e-5, rtol=1e-4)
