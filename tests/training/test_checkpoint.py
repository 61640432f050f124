import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import Cohort, differing, losses, network, weights

from fusionkit.errors import UserError
from fusionkit.network.weights import read_tensors
from fusionkit.training import checkpoint as states
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.signals import Interrupted

SCRIPT = Path(__file__).with_name("launched.py")
SETTINGS = {"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "device": "cpu", "checkpoint_steps": 1, "threads": 1,
            "accumulate": 2}


def run(folder, resume=False, progress=None, **changed):
    model = network()
    result = fit(model, Cohort(), Cohort(11, 1), TrainingSettings(**{**SETTINGS, **changed}), folder, resume=resume,
                 progress=progress)
    return model, result


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    model, result = run(folder)
    return weights(model), losses(result.history), read_tensors(next((folder / "last").glob("*.safetensors")))


def agrees(folder, undisturbed, model, result):
    """Weights, history, and the optimiser's memory, bit for bit."""
    last = read_tensors(next((folder / "last").glob("*.safetensors")))
    assert not differing(weights(model), undisturbed[0])
    assert losses(result.history) == undisturbed[1]
    assert not differing(last, undisturbed[2])
    assert len((folder / "history.csv").read_text().splitlines()) == 1 + SETTINGS["epochs"]


@pytest.mark.slow  # over ten seconds: a process of its own imports torch and trains until it is killed
@pytest.mark.parametrize("where", [
    {"kill": [2, 2]},  # in the middle of an epoch
    {"kill_saving": 7},  # state.json of the fourth state is not yet in its place; its tensors are
], ids=["in an epoch", "while saving"])
def test_a_killed_run_ends_as_an_undisturbed_one(where, tmp_path, undisturbed):
    folder = tmp_path / "run"
    options = {"folder": str(folder), "settings": SETTINGS, **where}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, SCRIPT, json.dumps(options)], env=environment, capture_output=True,
                          text=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert states.has_state(folder / "last")
    if "kill_saving" in where:
        assert list((folder / "last").glob(".*.part")) and len(list((folder / "last").glob("tensors-*"))) == 2
    agrees(folder, undisturbed, *run(folder, resume=True))
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_can_be_used_and_resumed(number, tmp_path, undisturbed):
    def interrupt(epoch, step, steps, loss):
        if (epoch, step) == (2, 1):
            os.kill(os.getpid(), number)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        run(tmp_path, progress=interrupt)
    name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[number]
    assert str(caught.value).startswith(f"stopped by {name} in epoch 2 of 3, step 1 of 3")
    assert "--resume" in str(caught.value) and "epoch 1, the best so far" in str(caught.value)
    assert signal.getsignal(signal.SIGINT) is handler
    kept = states.read_state(tmp_path / "last")[0]
    assert (kept.epoch, kept.step) == (1, 1)
    best = states.weights_of(states.read_state(tmp_path / "best")[1])
    assert not differing(read_tensors(tmp_path / "model.safetensors"), best)
    agrees(tmp_path, undisturbed, *run(tmp_path, resume=True))


def test_a_state_holds_no_frozen_weights_and_knows_them_again(tmp_path):
    def interrupt(epoch, step, steps, loss):
        if (epoch, step) == (2, 1):
            os.kill(os.getpid(), signal.SIGINT)

    def trained(folder, seed=0, **how):
        model = network(seed, eyes={"freeze": True})
        return model, fit(model, Cohort(), Cohort(11, 1), TrainingSettings(**SETTINGS), folder, **how)

    whole, _ = trained(tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(tmp_path / "run", progress=interrupt)
    kept = {name.partition(".")[0] for name in states.weights_of(states.read_state(tmp_path / "run" / "last")[1])}
    assert kept == {"clinic", "kind", "size"}
    with pytest.raises(UserError, match="the frozen nodes have other weights than at the start"):
        trained(tmp_path / "run", seed=1, resume=True)
    resumed, _ = trained(tmp_path / "run", resume=True)
    assert not differing(weights(whole), weights(resumed))
    assert not differing(weights(whole), read_tensors(tmp_path / "run" / "model.safetensors"))


def test_a_run_interrupted_in_its_first_epoch_has_weights(tmp_path):
    model = network()
    with pytest.raises(Interrupted, match="the weights as they are now"):
        fit(model, Cohort(), Cohort(11, 1), TrainingSettings(**SETTINGS), tmp_path,
            progress=lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert not differing(weights(model), read_tensors(tmp_path / "model.safetensors"))


def test_a_run_interrupted_while_validating_does_not_train_again(tmp_path, undisturbed):
    class Interrupting(Cohort):
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGINT)
            return super().__getitem__(index)

    with pytest.raises(Interrupted, match="epoch 1 of 3, step 3 of 3"):
        fit(network(), Cohort(), Interrupting(1), TrainingSettings(**SETTINGS), tmp_path)
    agrees(tmp_path, undisturbed, *run(tmp_path, resume=True))


def test_a_second_signal_stops_at_once(tmp_path):
    def twice(*_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped immediately"):
        run(tmp_path, progress=twice)


def saved_epochs(monkeypatch, folder, **settings):
    """The epochs after which the state was saved."""
    epochs = []

    def save(place, state, tensors):
        if place.name == "last":
            epochs.append(state.epoch)
        states.save_state(place, state, tensors)

    monkeypatch.setattr("fusionkit.training.loop.save_state", save)
    run(folder, **{"checkpoint_steps": 0, "epochs": 5, **settings})
    return epochs


def test_short_epochs_are_saved_as_time_goes_by(tmp_path, monkeypatch):
    assert saved_epochs(monkeypatch, tmp_path / "short") == [1, 5]
    assert saved_epochs(monkeypatch, tmp_path / "each", checkpoint_seconds=0.0) == [1, 2, 3, 4, 5]
    monkeypatch.setattr("fusionkit.training.loop.EPOCH_SECONDS", 0.0)
    assert saved_epochs(monkeypatch, tmp_path / "long") == [1, 2, 3, 4, 5]


def test_a_kill_between_saved_epochs_costs_nothing_but_time(tmp_path, monkeypatch):
    """The state is that of the first epoch, whatever was trained since, and the best weights are found again."""
    def killed(epoch, step, steps, loss):
        if (epoch, step) == (4, 2):
            raise MemoryError("killed here")

    settings = {"checkpoint_steps": 0, "epochs": 5}
    model, whole = run(tmp_path / "whole", **settings)
    with pytest.raises(MemoryError):
        run(tmp_path / "killed", progress=killed, **settings)
    assert states.read_state(tmp_path / "killed" / "last")[0].epoch == 1
    again, result = run(tmp_path / "killed", resume=True, **settings)
    assert result.best_epoch == whole.best_epoch and losses(result.history) == losses(whole.history)
    assert not differing(weights(model), weights(again))


def test_resuming_where_nothing_was_saved_begins(tmp_path, undisturbed):
    agrees(tmp_path, undisturbed, *run(tmp_path, resume=True))


def test_a_finished_run_is_resumed_for_nothing_or_for_more_epochs(tmp_path, undisturbed):
    run(tmp_path)
    model, result = run(tmp_path, resume=True)
    assert losses(result.history) == undisturbed[1] and not differing(weights(model), undisturbed[0])
    _, longer = run(tmp_path, resume=True, epochs=4)
    assert longer.epochs == 4 and losses(longer.history)[: len(undisturbed[1])] == undisturbed[1]


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    run(tmp_path, epochs=1)
    with pytest.raises(UserError, match=r"already holds a run \[run-exists\]"):
        run(tmp_path)


def test_a_run_does_not_go_on_as_another(tmp_path):
    run(tmp_path, epochs=1)
    with pytest.raises(UserError) as caught:
        fit(network(), Cohort(22), None, TrainingSettings(**{**SETTINGS, "batch_size": 4, "optimiser": "sgd"}),
            tmp_path, resume=True)
    text = str(caught.value)
    assert [d.code for d in caught.value.diagnostics] == ["resume-differs"] * 3
    assert "'batch_size' was 5 and is 4" in text and "there were 23 training cases and are 22" in text


def test_a_state_of_another_network_is_refused(tmp_path):
    run(tmp_path, epochs=1)
    other = network(eyes={"with": {"widths": [11, 7]}})
    with pytest.raises(UserError, match="wrong-state"):
        fit(other, Cohort(), None, TrainingSettings(**SETTINGS), tmp_path, resume=True)


@pytest.mark.parametrize("spoil", ["json", "tensors", "outside", "format"])
def test_a_damaged_state_is_a_message(spoil, tmp_path):
    run(tmp_path, epochs=1)
    file = tmp_path / "last" / "state.json"
    text = file.read_text()
    if spoil == "json":
        file.write_text(text[: len(text) // 2])
    elif spoil == "tensors":
        next((tmp_path / "last").glob("*.safetensors")).write_bytes(b"\x08\x00\x00\x00nonsense")
    elif spoil == "outside":
        tensors = next((tmp_path / "last").glob("*.safetensors"))
        shutil.copy(tensors, tmp_path)
        file.write_text(text.replace(tensors.name, "../" + tensors.name))
    else:
        file.write_text(text.replace('"format": 2', '"format": 1'))
    with pytest.raises(UserError, match="unreadable-state"):
        run(tmp_path, resume=True)
