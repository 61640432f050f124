"""Optimisers by name: torch's, timm's and those of plugins, their options checked, their state saved whole."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import Cohort, network
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from fusionkit.api import Config, Optimiser
from fusionkit.cli.parser import main
from fusionkit.errors import GraphError, UserError
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.testing.checks.optimisers import optimiser as check
from fusionkit.training import library_optimisers, loop
from fusionkit.training.library_optimisers import find, names
from fusionkit.training.loop import fit
from fusionkit.training.optimiser import make_optimiser
from fusionkit.training.optimiser_state import put_back_state, state_tensors
from fusionkit.training.settings import TrainingSettings, read_settings
from fusionkit.training.signals import Interrupted

COMPILED = ("kron", "kronc", "kronw")
"""Optimisers that compile their step, which takes half a minute."""


def settings(tree: str = "{}", **flags: Any) -> TrainingSettings:
    return read_settings(read(tree), {"device": "cpu", "epochs": 3, "batch_size": 5, **flags}, discover())


@pytest.mark.parametrize("name", [name for name in names() if name not in COMPILED])
def test_every_optimiser_of_torch_and_timm_holds_to_the_contract(name: str) -> None:
    component = find(name)
    assert component is not None and component.summary
    assert check(component, component.config()) is None


@pytest.mark.parametrize(("tree", "made", "option", "value"), [
    ("{optimiser: adamw}", AdamW, "betas", (0.9, 0.999)),
    ("{optimiser: {use: optimiser.adamw, with: {betas: [0.8, 0.9]}}}", AdamW, "betas", (0.8, 0.9)),
    ("{optimiser: sgd, momentum: 0.3}", SGD, "momentum", 0.3),
    ("{optimiser: 'sgd{nesterov: true}', momentum: 0.3}", SGD, "nesterov", True),
    ("{optimiser: momentum}", SGD, "momentum", 0.9),
    ("{optimiser: optimiser.adafactor}", torch.optim.Adafactor, "eps", (None, 0.001)),
])
def test_names_options_and_settings_reach_the_optimiser(tree: str, made: type, option: str, value: object) -> None:
    chosen = settings(tree, learning_rate=0.02, weight_decay=0.3)
    for again in (chosen, TrainingSettings.model_validate(chosen.model_dump(mode="json"))):
        optimiser = make_optimiser(network(), again)
        assert type(optimiser) is made and [group[option] for group in optimiser.param_groups] == [value, value]
        assert [(group["lr"], group["weight_decay"]) for group in optimiser.param_groups] == [(0.02, 0.3), (0.02, 0.0)]


def test_a_name_that_both_have_is_that_of_torch() -> None:
    kinds = {name: type(make_optimiser(network(), settings(optimiser=name))).__module__.partition(".")[0]
             for name in ("adafactor", "timm_adafactor", "muon", "lion")}
    assert kinds == {"adafactor": "torch", "timm_adafactor": "timm", "muon": "timm", "lion": "timm"}


@pytest.mark.parametrize(("tree", "says", "fix"), [
    ("{optimiser: lionn}", "1:13: there is no component 'optimiser.lionn' [unknown-component]", "optimiser.lion"),
    ("{optimiser: {use: optimiser.lion, with: {beta: 1}}}", "1:42: optimiser.lion has no option 'beta'", "betas"),
    ("{optimiser: {use: optimiser.lion, with: {betas: [0.9, x]}}}", "1:55: item 2 of option 'betas'", "betas"),
    ("{optimiser: {use: optimiser.lion, with: {betas: [0.9, 2]}}}", "1:19: optimiser.lion cannot be used", "options"),
    ("{optimiser: {use: metric.auroc}}", "1:19: metric.auroc cannot be used here [wrong-kind]", "plugins list"),
    ("{optimiser: bnblion}", "1:13: optimiser.bnblion cannot be used here [unusable-component]", "plugin"),
    ("{optimiser: lbfgs}", "1:13: optimiser.lbfgs cannot be used here [unusable-component]", "plugin"),
    ("{optimiser: 'lion,sgd'}", "1:13: 'optimiser' names 2 components", "one optimiser"),
    ("{optimiser: 3}", "1:13: option 'optimiser' of 'training' cannot be 3", "quote"),
    ("{optimiser: {use: optimiser.sgd, with: {lr: 1}}}", "1:41: optimiser.sgd has no option 'lr'", "nesterov"),
])
def test_what_is_wrong_is_refused_where_it_is_written(tree: str, says: str, fix: str) -> None:
    with pytest.raises(UserError) as caught:
        settings(tree)
    found, = caught.value.diagnostics
    assert says in found.render() and fix in str(found.fix)


def test_a_flag_is_refused_as_typed() -> None:
    with pytest.raises(UserError, match=r"--optimiser:1:1: there is no component 'optimiser.lio'"):
        settings(optimiser="lio{betas: [0.9, 0.99]}")


def test_a_library_optimiser_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(find("lion"))) is find("lion")


def test_settings_and_names_load_without_torch() -> None:
    code = ("import sys; from fusionkit.training.settings import TrainingSettings, read_settings\n"
            "from fusionkit.syntax.reader import read; from fusionkit.registry.lookup import discover\n"
            "read_settings(read('{optimiser: sgd}'), registry=discover()); TrainingSettings(optimiser='lion')\n"
            "assert not {'torch', 'timm'} & sys.modules.keys()")
    subprocess.run([sys.executable, "-c", code], check=True)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("optimiser", ["lion", "adafactor", "adan", "nadamlegacy", "lamb", "rmsprop{momentum: 0.5}"])
def test_a_resumed_run_gives_the_same_weights(optimiser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states have numbers, factors of other shapes, and counts in the groups."""
    chosen = settings(optimiser=optimiser, checkpoint_seconds=0.0)
    fit(network(), Cohort(), None, chosen, tmp_path / "whole")

    def stop(epoch: int, step: int, steps: int, loss: float) -> None:
        if (epoch, step) == (2, 3):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(network(), Cohort(), None, chosen, tmp_path / "parts", progress=stop)
    fit(network(1), Cohort(), None, chosen, tmp_path / "parts", resume=True)
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")
    assert loop.has_state(tmp_path / "parts" / "last")


class Steps(Optimizer):
    """Steps by the sign, less each time; `kept` is what a step leaves behind."""

    def __init__(self, groups: Any, config: Config, kept: Any = None) -> None:
        super().__init__(groups, {})
        self.kept = kept

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    state = self.state[weight]
                    state["count"] = state.get("count", 0) + 1
                    state["kept"] = self.kept
                    weight.sub_(weight.grad.sign(), alpha=group["lr"] / state["count"])


def test_an_optimiser_of_a_plugin_trains(tmp_path: Path) -> None:
    registry = discover(components=[Optimiser("steps", Config, Steps)])
    tree = read("{optimiser: steps, epochs: 9, batch_size: 8, learning_rate: 0.03, device: cpu}")
    chosen = read_settings(tree, registry=registry)
    result = fit(network(), Cohort(), None, chosen, tmp_path)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


@pytest.mark.parametrize("kept", [True, 3, 0.1 + 0.2, None, [torch.arange(3), [1, None], ()], (2, False)])
def test_state_of_every_form_comes_back(kept: Any) -> None:
    weight = nn.Parameter(torch.ones(2, 3))
    weight.grad = torch.ones(2, 3)
    made, again = (Steps([{"params": [weight], "lr": 0.1}], Config(), kept) for _ in range(2))
    made.step()
    put_back_state({"w": weight}, again, dict(sorted(state_tensors([("w", weight)], made).items())))
    assert repr(again.state[weight]) == repr(made.state[weight])
    assert type(again.state[weight]["kept"]) is type(kept)


def test_state_that_cannot_be_saved_is_refused_by_name() -> None:
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    made = Steps([{"params": [weight], "lr": 0.1}], Config(), {"a": 1})
    made.step()
    with pytest.raises(UserError, match=r"the state 'kept' of this optimiser cannot be saved \[unsaved-state\]"):
        state_tensors([("w", weight)], made)


def test_an_unknown_name_is_an_error_of_the_registry_too() -> None:
    with pytest.raises(GraphError, match=r"did you mean .optimiser\.lion"):
        discover().load("optimiser.lionn", of=Optimiser)


def test_the_commands_know_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["plugins", "show", "lion"]) == 0
    shown = capsys.readouterr().out
    assert f"timm {version('timm')}" in shown and "optimiser: {use: optimiser.lion}" in shown and "betas" in shown
    assert main(["plugins", "list", "--kind", "optimiser", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["by_name"]
    assert {"optimiser.adamw", "optimiser.lion", "optimiser.timm_adamw"} <= set(listed)
    assert main(["plugins", "new", "lion", "--kind", "optimiser", "-o", str(tmp_path / "lion")]) == 2
    assert "optimiser.lion is provided by timm" in capsys.readouterr().err


@pytest.mark.parametrize("tree", ["{optimiser: adamw}", "{optimiser: 'adam{amsgrad: true}'}", "{optimiser: sgd}",
                                  "{optimiser: 'sgd{nesterov: true}'}"])
def test_few_weights_are_changed_together_to_the_bits_of_one_after_the_other(
        tree: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for most in (0, 10**6):
        monkeypatch.setattr(library_optimisers, "_FEW", most)
        torch.manual_seed(3)
        made = network()
        optimiser = make_optimiser(made, settings(tree, weight_decay=0.1))
        assert optimiser.defaults["foreach"] is (True if most else None)
        for _ in range(5):
            for weight in made.parameters():
                weight.grad = torch.randn_like(weight)
            optimiser.step()
        found.append([weight.detach().clone() for weight in made.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
