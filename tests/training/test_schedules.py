"""Schedules by name: torch's, timm's and those of plugins, each a function of the step alone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import Cohort, network

from fusionkit.api import Config, Schedule
from fusionkit.errors import UserError
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.testing.checks.schedules import schedule as check
from fusionkit.training.library_schedules import find, names
from fusionkit.training.loop import fit
from fusionkit.training.optimiser import learning_rate
from fusionkit.training.settings import TrainingSettings, read_settings
from fusionkit.training.signals import Interrupted

NEEDED = {"step_size": 3, "gamma": 0.9, "milestones": [2, 5], "T_0": 4}


def settings(tree: str = "{}", **flags: Any) -> TrainingSettings:
    return read_settings(read(tree), {"device": "cpu", "epochs": 3, "batch_size": 5, **flags}, discover())


@pytest.mark.parametrize("name", names())
def test_every_schedule_of_torch_and_timm_holds_to_the_contract(name: str) -> None:
    component = find(name)
    assert component is not None
    fields = component.config.model_fields
    decay = {"timm_multistep": [2, 5], "timm_wsd": 1, "wsd": 1}.get(name, 3)
    needed = {**NEEDED, "decay_t": decay}
    config = component.config.model_validate({key: needed[key] for key in fields if fields[key].is_required()})
    assert check(component, config) is None


def test_the_rate_is_that_of_the_scheduler() -> None:
    chosen = settings("{schedule: {use: schedule.multistep, with: {milestones: [2, 5], gamma: 0.5}}}",
                      learning_rate=0.1)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 5], 0.5)
    for step in range(9):
        assert learning_rate(chosen, step, 3) == pytest.approx(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()


def test_warm_up_comes_first() -> None:
    chosen = settings("{schedule: cosineannealing, warmup_epochs: 1}", learning_rate=0.1)
    own = settings("{schedule: cosine, warmup_epochs: 1}", learning_rate=0.1)
    assert [learning_rate(chosen, step, 3) for step in range(9)] == pytest.approx(
        [learning_rate(own, step, 3) for step in range(9)])


@pytest.mark.parametrize(("tree", "says"), [
    ("{schedule: onecycl}", "1:12: there is no component 'schedule.onecycl'"),
    ("{schedule: plateau}", "1:12: schedule.plateau cannot be used here [unusable-component]"),
    ("{schedule: exponential}", "1:12: schedule.exponential needs the option 'gamma'"),
    ("{schedule: {use: schedule.exponential, with: {gama: 1}}}", "1:47: schedule.exponential has no option 'gama'"),
    ("{schedule: {use: schedule.onecycle, with: {pct_start: 3.0}}}", "1:18: schedule.onecycle cannot be used"),
    ("{schedule: {use: schedule.exponential, with: {gamma: 9e9}}}", "1:18: schedule.exponential cannot be used"),
])
def test_what_is_wrong_is_refused_where_it_is_written(tree: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        settings(tree)
    assert says in "".join(found.render() for found in caught.value.diagnostics)
    assert all(found.fix for found in caught.value.diagnostics)


def test_a_resumed_run_gives_the_same_weights(tmp_path: Path) -> None:
    falling = Schedule("falling", Config, lambda step, steps, config: 1 / (1 + step))
    chosen = read_settings(read("{schedule: falling, device: cpu, epochs: 3, batch_size: 5}"),
                           registry=discover(components=[falling]))
    whole = fit(network(), Cohort(), None, chosen, tmp_path / "whole")

    def stop(epoch: int, step: int, steps: int, loss: float) -> None:
        if (epoch, step) == (2, 3):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(network(), Cohort(), None, chosen, tmp_path / "parts", progress=stop)
    fit(network(1), Cohort(), None, chosen, tmp_path / "parts", resume=True)
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() == (
        tmp_path / "parts" / "model.safetensors").read_bytes()
    assert [row["learning_rate"] for row in whole.history] == pytest.approx([1e-3 / 5, 1e-3 / 10, 1e-3 / 15])


@pytest.mark.parametrize(("module", "seen"), [
    (lambda step, steps, config: -1.0, "at step 0 of 1 it gives -1.0"),
    (lambda step, steps, config, seen=[]: float(len(seen.append(1) or seen)), "in another order"),
])
def test_the_check_sees_what_is_wrong(module: Any, seen: str) -> None:
    found = check(Schedule("it", Config, module), Config())
    assert found is not None and seen in found.seen
