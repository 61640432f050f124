"""Nodes with a learning rate of their own, and nodes that begin to learn in a later epoch."""

import os
import signal

import pytest
import torch
from small_runs import STILL, Cohort, Repeated, differing, losses, network, settings_of, unimodal, weights

from fusionkit.errors import UserError
from fusionkit.network.measure import measure
from fusionkit.network.weights import read_tensors
from fusionkit.planning.plan import advice_of
from fusionkit.training.checkpoint import read_state
from fusionkit.training.loop import fit
from fusionkit.training.optimiser import make_optimiser, set_rate
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.signals import Interrupted
from fusionkit.training.unfreezing import never_learning

BATCH_NORM = {"widths": [5, 7], "norm": "batch", "dropout": 0.1}


def settings(**changed):
    return TrainingSettings(**{"epochs": 4, "batch_size": 5, "learning_rate": 0.01, "device": "cpu", "threads": 1,
                               **changed})


def moved(before, after, node):
    return max(float((after[name] - value).abs().max()) for name, value in before.items() if name.startswith(node))


def test_a_step_is_as_long_as_the_rate_says(tmp_path):
    """With sgd without momentum and decay the first step is the gradient times the rate."""
    plain = settings(epochs=1, batch_size=23, optimiser="sgd", momentum=0.0, weight_decay=0.0, schedule="constant")
    steps = []
    for rate in (1, 0.25):
        model = network(**{**STILL, "eyes": {**STILL["eyes"], "rate": rate}})
        before = weights(model)
        fit(model, Cohort(), None, plain, tmp_path / str(rate))
        steps.append({name: value - before[name] for name, value in weights(model).items()})
    for name, step in steps[0].items():
        factor = 0.25 if name.startswith("eyes") else 1
        torch.testing.assert_close(steps[1][name], step * factor, atol=1e-7, rtol=1e-4)


def test_rates_follow_the_schedule_and_spare_biases_from_decay():
    optimiser = make_optimiser(network(eyes={"rate": 0.1}, kind={"rate": 3}), settings(weight_decay=0.3))
    assert [(group["lr"], group["weight_decay"]) for group in optimiser.param_groups] == [
        (0.01, 0.3), (0.01, 0.0), (0.001, 0.3), (0.001, 0.0), (0.03, 0.3), (0.03, 0.0)]
    set_rate(optimiser, 0.5)
    assert [group["lr"] for group in optimiser.param_groups] == [0.5, 0.5, 0.05, 0.05, 1.5, 1.5]
    assert len(make_optimiser(network(), settings()).param_groups) == 2


def test_a_node_begins_to_learn_in_its_epoch(tmp_path):
    """Before, neither its weights nor the statistics of its norms change, and nothing random happens in it."""
    model = network(eyes={"with": BATCH_NORM, "unfreeze": 3})
    seen, modes, before = {}, {}, weights(model)

    def look(epoch, step, steps, loss):
        seen[epoch] = weights(model)
        modes[epoch] = ({part.training for part in model.eyes.modules()},
                        {weight.requires_grad for weight in model.eyes.parameters()})

    fit(model, Cohort(), Cohort(11, 1), settings(), tmp_path, progress=look)
    assert moved(before, seen[2], "eyes") == 0 < moved(before, seen[2], "kind")
    assert moved(before, seen[3], "eyes") > 0
    assert modes == {1: ({False}, {False}), 2: ({False}, {False}), 3: ({True}, {True}), 4: ({True}, {True})}


def test_until_then_it_is_as_a_frozen_node(tmp_path):
    late, frozen = network(eyes={"with": BATCH_NORM, "unfreeze": 3}), network(eyes={"with": BATCH_NORM, "freeze": True})
    constant = settings(epochs=2, schedule="constant")
    fit(frozen, Cohort(), None, constant, tmp_path / "frozen")
    fit(late, Cohort(), None, constant, tmp_path / "late")
    assert not differing(weights(late), weights(frozen))


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "adagrad", "nadam", "adan", "lamb", "muon"])
def test_the_state_of_the_optimiser_begins_with_the_learning(optimiser, tmp_path):
    """A node that learns from epoch 3 has the state of one epoch fewer than the others, whatever its form."""
    chosen = settings(epochs=3, optimiser=optimiser, learning_rate=1e-3, patience=0)
    model = network(eyes={"unfreeze": 3, "rate": 0.5})
    cut = settings(**{**chosen.model_dump(), "epochs": 2, "steps": 0, "schedule": "constant"})
    fit(model, Cohort(), None, cut, tmp_path)
    held = read_state(tmp_path / "last")[1]
    assert not any(name.startswith("optimiser/eyes") for name in held)
    longer = settings(**{**cut.model_dump(), "epochs": 3})
    fit(network(eyes={"unfreeze": 3, "rate": 0.5}), Cohort(), None, longer, tmp_path, resume=True)
    whole = network(eyes={"unfreeze": 3, "rate": 0.5})
    fit(whole, Cohort(), None, longer, tmp_path / "whole")
    parted, undivided = (read_state(folder / "last")[1] for folder in (tmp_path, tmp_path / "whole"))
    assert any(name.startswith("optimiser/eyes") for name in parted) or optimiser == "sgd"
    assert not differing(parted, undivided)


@pytest.mark.parametrize("place", [(1, 2), (2, 5), (3, 1), (3, 5), (4, 2)],
                         ids=["before", "at its end", "first step", "its epoch's end", "after"])
@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_a_resumed_run_is_the_same(place, clip, tmp_path):
    nodes = {"eyes": {"unfreeze": 3, "rate": 0.3}, "clinic": {"unfreeze": 2}, "size": {"rate": 2.0}}
    chosen = settings(clip_gradient=clip, checkpoint_steps=1)

    def interrupt(epoch, step, steps, loss):
        if (epoch, step) == place:
            os.kill(os.getpid(), signal.SIGINT)

    whole = network(**nodes)
    result = fit(whole, Cohort(), Cohort(11, 1), chosen, tmp_path / "whole")
    with pytest.raises(Interrupted):
        fit(network(**nodes), Cohort(), Cohort(11, 1), chosen, tmp_path / "cut", progress=interrupt)
    resumed = network(**nodes)
    again = fit(resumed, Cohort(), Cohort(11, 1), chosen, tmp_path / "cut", resume=True)
    assert not differing(weights(resumed), weights(whole)) and losses(again.history) == losses(result.history)
    assert not differing(*(read_tensors(next((tmp_path / name / "last").glob("*.safetensors")))
                           for name in ("cut", "whole")))


def test_patience_begins_when_all_nodes_learn(tmp_path):
    stuck = settings(epochs=12, learning_rate=1e-12, monitor="accuracy", patience=2)
    result = fit(network(eyes={"unfreeze": 6}), Cohort(), Cohort(11, 1), stuck, tmp_path)
    assert result.state.stopped == "early" and result.epochs == 7 and result.best_epoch == 1


def test_a_network_that_learns_nothing_at_first_is_refused(tmp_path):
    late = {name: {"unfreeze": 2} for name in ("eyes", "clinic", "kind", "size")}
    with pytest.raises(UserError, match=r"no trainable weights in its first epoch.*\n.*remove 'unfreeze'"):
        fit(network(**late), Cohort(), None, settings(), tmp_path)


def test_what_never_learns_or_has_nothing_to_learn_is_told():
    model = network(eyes={"unfreeze": 9}, both={"rate": 0.5, "unfreeze": 2})
    (never,) = never_learning(model.plan, 8)
    assert never.code == "never-unfrozen" and "has 8 epochs and it begins in epoch 9" in never.message
    assert not never_learning(model.plan, 9)
    assert [warning.message for warning in advice_of(measure(model.plan))] == [
        f"{key!r} of node 'both' has no use: fusion.mean has no weights" for key in ("rate", "unfreeze")]


def test_a_training_method_sees_the_weights_that_learn(tmp_path):
    """It edits the gradients of a modality from the epoch in which its nodes begin to learn."""
    models = {}
    for method, epochs in (("none", 1), ("halved", 1), ("none", 2), ("halved", 2)):
        model = unimodal(eyes={"unfreeze": 2})
        chosen = settings_of({"epochs": epochs, "batch_size": 5, "device": "cpu", "method": method,
                              "optimiser": "sgd", "schedule": "constant"})
        fit(model, Repeated(), None, chosen, tmp_path / f"{method}{epochs}")
        models[method, epochs] = {name: value for name, value in weights(model).items() if name.startswith("eyes")}
    assert not differing(models["none", 1], models["halved", 1])
    assert differing(models["none", 2], models["halved", 2])
