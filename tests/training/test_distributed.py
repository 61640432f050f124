"""Several processes, and several machines, on loopback: the losses of one process."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import FUSIONS, STILL, Cohort, fused, losses, network

from fusionkit.network.weights import read_tensors
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

SCRIPT = Path(__file__).with_name("launched.py")
SETTINGS = {"epochs": 3, "batch_size": 6, "learning_rate": 0.01, "device": "cpu", "accumulate": 2,
            "monitor": "auroc"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The losses of one process: 23 cases in batches of 6, so that the processes get different numbers of rows."""
    model = network(**STILL)
    return losses(fit(model, Cohort(), Cohort(11, 1), TrainingSettings(**SETTINGS),
                      tmp_path_factory.mktemp("alone")).history)


def start(arguments, folder, **options):
    told = json.dumps({"folder": str(folder), "settings": SETTINGS, "still": True, **options})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen([*TORCHRUN, *arguments, SCRIPT, told], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def printed(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-3000:]
    return [json.loads(line) for line in out.splitlines()]


def column(folder, name):
    with (folder / "history.csv").open() as stream:
        return [float(row[name]) for row in csv.DictReader(stream)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def on_loopback(port, *more):
    return [*more, "--master-addr", "127.0.0.1", "--master-port", port]


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
def test_two_processes_have_the_losses_of_one(tmp_path, alone):
    # A metric needs the results of all processes together.
    fit(network(**STILL), Cohort(), Cohort(11, 1), TrainingSettings(**SETTINGS), tmp_path / "alone")
    copied, divided = printed(start(on_loopback(free_port(), "2"), tmp_path, strategies=["ddp", "fsdp"]))
    assert copied == pytest.approx(alone, abs=1e-5)
    assert divided == pytest.approx(alone, abs=1e-5)
    measured = [column(tmp_path / name, "validation_auroc_kind") for name in ("alone", "ddp", "fsdp")]
    assert measured[1] == pytest.approx(measured[0]) and measured[2] == pytest.approx(measured[0])
    first, second = (read_tensors(tmp_path / name / "model.safetensors") for name in ("ddp", "fsdp"))
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
def test_nodes_learn_at_their_rate_and_from_their_epoch_in_two_processes(tmp_path):
    keys = {"eyes": {"unfreeze": 2, "rate": 0.5}, "clinic": {"unfreeze": 3}}
    model = network(**{name: {**STILL[name], **more} for name, more in keys.items()})
    expected = losses(fit(model, Cohort(), Cohort(11, 1), TrainingSettings(**SETTINGS), tmp_path / "alone").history)
    for found in printed(start(on_loopback(free_port(), "2"), tmp_path, strategies=["ddp", "fsdp"], nodes=keys)):
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow  # over ten seconds: two processes, which import torch, train five networks
def test_a_process_whose_rows_lack_an_input_keeps_step(tmp_path):
    """One case has a table: in every step one process, if not both, meets a batch without any."""
    names, expected = sorted(FUSIONS), []
    for name in names:
        result = fit(network(**fused(name)), Cohort().with_tables(5), Cohort(11, 1), TrainingSettings(**SETTINGS),
                     tmp_path / "alone" / name)
        expected.append(pytest.approx(losses(result.history), abs=1e-5))
    assert printed(start(on_loopback(free_port(), "2"), tmp_path, strategies=["ddp"], fusions=names,
                         tables=[5])) == expected


@pytest.mark.slow  # over ten seconds: two launches at once, each with a process that imports torch
def test_two_machines_have_the_losses_of_one(tmp_path, alone):
    port = free_port()
    agents = [start(on_loopback(port, "1", "--nnodes", "2", "--node-rank", str(rank)), tmp_path) for rank in (0, 1)]
    first, second = [printed(agent) for agent in agents]
    assert first == [pytest.approx(alone, abs=1e-5)] and second == []
