"""Parts that are fitted on the training cases: on which, when, with which numbers, out of fold, and kept in a run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import NETWORK, Cohort, differing, weights
from test_distributed import TORCHRUN, free_port, on_loopback
from torch import Tensor, nn

import fusionkit
from fusionkit.api import Config, Fitted, Fusion, TensorShape, TrainingRows, fill_absent
from fusionkit.errors import RunError
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import read_tensors
from fusionkit.training.case_numbers import CaseNumbers
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.signals import Interrupted

SETTINGS = TrainingSettings(epochs=3, batch_size=6, learning_rate=0.01, device="cpu", threads=1, checkpoint_steps=1)
PATIENTS = tuple(f"patient {row % 9}" for row in range(23))


class Owned(Cohort):
    """Cases of nine patients."""

    patients = PATIENTS


class Bank(Fitted):
    """The mean of the inputs, and the mean over training cases of that; a training case sees that of other folds."""

    folds = 3

    def __init__(self, config: Config, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(1 + self.folds, inputs[0].width))
        self.scale = nn.Parameter(torch.tensor([0.5]))
        self.seen: list[TrainingRows] = []
        self.asked: list[tuple[Tensor | None, Tensor | None]] = []

    def fit(self, rows: TrainingRows) -> None:
        self.seen.append(rows)
        self.means[0 if rows.fold is None else 1 + rows.fold] = self._mean(rows.inputs, rows.present).mean(0)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        self.asked.append((self.cases, self.fold))
        own = torch.zeros(len(features[0]), dtype=torch.int64) if self.fold is None else 1 + self.fold
        return self._mean(features, present) - self.scale * self.means[own]

    def _mean(self, features: Sequence[Tensor], present: Tensor | None) -> Tensor:
        return torch.stack(fill_absent(features, present)).mean(0)


BANK = Fusion("bank", Config, Bank, rule="*features: B c -> B c", absent="drop")


def banked(seed: int = 0, **more: Any) -> FusionModel:
    nodes = {**NETWORK["nodes"], "both": {"use": "fusion.bank", "from": ["eyes", "clinic"], **more}}
    return fusionkit.build({**NETWORK, "nodes": nodes}, seed=seed, components=[BANK])


def test_a_part_is_fitted_before_the_first_epoch_and_after_each_on_the_training_cases_alone(tmp_path: Path) -> None:
    model, cases = banked(), Owned()
    fit(model, cases, Owned(11, 1), SETTINGS, tmp_path)
    bank = model.get_submodule("both")
    assert [rows.fold for rows in bank.seen] == [None, 0, 1, 2] * 4
    rows = bank.seen[0]
    assert rows.cases.tolist() == list(range(23)) and rows.patients.tolist() == [row % 9 for row in range(23)]
    assert torch.equal(rows.present[:, 1], cases.has_table) and rows.present[:, 0].all()
    assert torch.equal(rows.targets["kind"], cases.kinds) and torch.equal(rows.known["size"], cases.has_size)
    torch.testing.assert_close(rows.inputs[0], banked().eval().get_submodule("eyes")(cases.scans))
    for fold in range(3):
        out = set(rows.patients.tolist()) - set(bank.seen[1 + fold].patients.tolist())
        assert len(out) == 3 and len(bank.seen[1 + fold].cases) == sum(row % 9 not in out for row in range(23))


def test_what_is_fitted_is_validated_and_saved_with_the_weights_of_its_epoch(tmp_path: Path) -> None:
    model, cases = banked(), Owned()
    fit(model, cases, None, SETTINGS, tmp_path)
    bank = model.get_submodule("both")
    saved = read_tensors(tmp_path / "model.safetensors")
    assert torch.equal(saved["both.means"], bank.means)
    with torch.no_grad():
        eyes = model.get_submodule("eyes")(cases.scans)
    torch.testing.assert_close(bank.seen[-4].inputs[0], eyes)


def test_a_part_of_a_node_that_learns_later_is_fitted_from_its_epoch_on(tmp_path: Path) -> None:
    """Until then it keeps what it brings, as in a frozen node; resumed in between, the run is the same."""
    model, after = banked(unfreeze=3), {}
    longer = SETTINGS.model_copy(update={"epochs": 4})
    fit(model, Owned(), Owned(11, 1), longer, tmp_path / "whole",
        progress=lambda epoch, step, *_: after.update({(epoch, step): len(model.get_submodule("both").seen)}))
    assert [after[epoch, 1] for epoch in (1, 2, 3, 4)] == [0, 0, 4, 8]
    assert len(model.get_submodule("both").seen) == 12

    def interrupt(epoch: int, step: int, *_: object) -> None:
        if (epoch, step) == (2, 4):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        fit(banked(unfreeze=3), Owned(), Owned(11, 1), longer, tmp_path / "cut", progress=interrupt)
    resumed = banked(unfreeze=3)
    fit(resumed, Owned(), Owned(11, 1), longer, tmp_path / "cut", resume=True)
    assert not differing(weights(resumed), weights(model))


def test_training_rows_are_numbered_and_others_are_not(tmp_path: Path) -> None:
    model = banked()
    fit(model, Owned(), Owned(11, 1), SETTINGS, tmp_path)
    trained = [(cases, fold) for cases, fold in model.get_submodule("both").asked if cases is not None]
    assert len(trained) == 12 and sorted(torch.cat([cases for cases, _ in trained[:4]]).tolist()) == list(range(23))
    numbers = CaseNumbers(PATIENTS, 0)
    for cases, fold in trained:
        assert torch.equal(fold, numbers.folds(cases, 3))
    assert model.get_submodule("both").cases is None


def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole = banked()
    fit(whole, Owned(), Owned(11, 1), SETTINGS, tmp_path / "whole")
    for place in (1, 2), (2, 4), (3, 1):
        def interrupt(epoch: int, step: int, steps: int, loss: float, place: Any = place) -> None:
            if (epoch, step) == place:
                os.kill(os.getpid(), signal.SIGINT)

        folder, resumed = tmp_path / str(place), banked()
        with pytest.raises(Interrupted):
            fit(banked(), Owned(), Owned(11, 1), SETTINGS, folder, progress=interrupt)
        fit(resumed, Owned(), Owned(11, 1), SETTINGS, folder, resume=True)
        assert not differing(weights(resumed), weights(whole))


def test_a_frozen_part_keeps_what_it_has(tmp_path: Path) -> None:
    model = banked(freeze=True)
    fit(model, Owned(), None, SETTINGS, tmp_path)
    assert not model.get_submodule("both").seen


@pytest.mark.parametrize(("does", "told"), [
    (lambda *_: 1 / 0, "the node 'both' fails in 'fit': ZeroDivisionError"),
    (lambda bank, _: bank.register_buffer("means", torch.zeros(2, 7)), "gives its buffers other shapes in 'fit'"),
])
def test_a_part_that_cannot_be_fitted_is_named(does: Any, told: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(Bank, "fit", does)
    with pytest.raises(RunError, match=told):
        fit(banked(), Owned(), None, SETTINGS, tmp_path)


def test_the_inputs_of_a_branch_and_of_a_later_part_of_a_chain_are_those_it_is_called_with(tmp_path: Path) -> None:
    class Alone(Bank):
        folds = 0

    alone = Fusion("alone", Config, Alone, rule="*features: B c -> B c", absent="drop")
    nodes = {**NETWORK["nodes"],
             "clinic": {"from": "table", "chain": [{"use": "encoder.mlp", "with": {"width": 7, "hidden": [11]}},
                                                   {"use": "fusion.alone"}]},
             "near": {"use": "fusion.alone", "from": {"a": "eyes", "b": "clinic"}, "each": True}}
    nodes["both"] = {"use": "fusion.mean", "from": "near"}
    model, cases = fusionkit.build({**NETWORK, "nodes": nodes}, components=[alone]), Owned()
    fit(model, cases, None, SETTINGS.model_copy(update={"epochs": 1}), tmp_path)
    chained = model.get_submodule("clinic")[1]
    assert torch.equal(chained.seen[0].present[:, 0], cases.has_table)
    branches = dict(model.get_submodule("near").items())
    assert branches["a"].seen[0].present.all() and torch.equal(branches["b"].seen[0].present[:, 0], cases.has_table)
    # The branch comes after the chain, and is fitted to what that gives when it has been fitted.
    given = chained.seen[0].inputs[0]
    expected = given - 0.5 * given.where(cases.has_table[:, None], 0).mean(0)
    torch.testing.assert_close(branches["b"].seen[0].inputs[0][cases.has_table], expected[cases.has_table])


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
def test_two_processes_fit_as_one(tmp_path: Path) -> None:
    model = banked()
    fit(model, Owned(), Owned(11, 1), SETTINGS.model_copy(update={"epochs": 1}), tmp_path / "one")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from pathlib import Path; from test_fitting import *; f = Path(sys.argv[1])\n"
        "for s in ('ddp', 'fsdp'):\n    fit(banked(), Owned(), Owned(11, 1), SETTINGS.model_copy(update="
        "{'epochs': 1, 'strategy': s}), f / s)\n    m = banked(); fit(m, Owned(), None, SETTINGS.model_copy(update="
        "{'epochs': 1, 'learning_rate': 0, 'strategy': s}), f / s / 'still')\n")
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run([*TORCHRUN, *on_loopback(free_port(), "2"), str(script), str(tmp_path)],
                         env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path},
                         capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr[-3000:]
    still = banked()
    fit(still, Owned(), None, SETTINGS.model_copy(update={"epochs": 1, "learning_rate": 0}), tmp_path / "still")
    for strategy in ("ddp", "fsdp"):
        found = read_tensors(tmp_path / strategy / "still" / "model.safetensors")
        torch.testing.assert_close(found["both.means"], still.get_submodule("both").means, atol=1e-6, rtol=1e-5)
