"""Training methods: what their hooks see and when, what is saved of them, and what is refused of names and settings."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import Cohort, Repeated, differing, losses, network, settings_of, unimodal, weights
from test_distributed import SETTINGS as LAUNCHED
from test_distributed import free_port, on_loopback, printed, start

from fusionkit.api import EpochWindow, Training, TrainingMethod
from fusionkit.data.batch import Batch, collate
from fusionkit.errors import RunError, UserError
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import read_tensors
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.training.distributed import Processes
from fusionkit.training.loop import fit
from fusionkit.training.result import setting_differences
from fusionkit.training.settings import TrainingSettings, read_settings
from fusionkit.training.signals import Interrupted
from fusionkit.training.step import Stepper

SETTINGS = {"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "device": "cpu", "checkpoint_steps": 1, "threads": 1}


def using(hooks: type[TrainingMethod], requires: Any = "", **settings: Any) -> TrainingSettings:
    """Settings that train by these hooks."""
    component = Training("probe", EpochWindow, hooks, requires=requires)
    options = settings.pop("options", {})
    return read_settings(None, {**SETTINGS, "method": {"use": "training.probe", "with": options}, **settings},
                         discover(components=[component]))


def stepped(settings: TrainingSettings, folder: Path, batches: list[Batch], model: FusionModel | None = None
            ) -> tuple[Stepper, dict[str, torch.Tensor]]:
    """A stepper after the gradients of one step, and these."""
    model = model or unimodal()
    stepper = Stepper(model, settings, Processes(settings, folder))
    stepper.gradients(batches, stepper.totals(batches)[0], 0, 0)
    return stepper, {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def batch(start: int = 0, stop: int = 23) -> Batch:
    return collate([Repeated()[row] for row in range(start, stop)])


def test_hooks_are_called_in_order_and_in_their_epochs_alone(tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []

    class Hooks(TrainingMethod):
        def begin_epoch(self, view: Any) -> None:
            calls.append(("begin", view.epoch, view.step))

        def edit(self, modality: str, gradients: Any, view: Any) -> None:
            calls.append(("edit", modality, view.step))

        def end_step(self, view: Any) -> None:
            calls.append(("step", view.epoch, view.step))

        def end_epoch(self, view: Any) -> None:
            calls.append(("end", view.epoch, view.step))

    fit(unimodal(), Repeated(10), None, using(Hooks, options={"first_epoch": 2, "last_epoch": 2}), tmp_path)
    steps = [each for step in (1, 2) for each in (("edit", "scan", step), ("edit", "table", step), ("step", 2, step))]
    assert calls == [("begin", 2, 0), *steps, ("end", 2, 0)]


def test_the_view_has_what_the_step_counts_and_only_weights_of_one_input(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    class Hooks(TrainingMethod):
        def end_step(self, view: Any) -> None:
            seen.update(rows=dict(view.rows), scores=dict(view.scores), heads=dict(view.heads),
                        weights={name: set(view.weights(name)) for name in view.modalities})

    given = batch()
    stepper, _ = stepped(using(Hooks, "heads"), tmp_path, [given])
    assert seen["heads"] == {"scan": "by_scan", "table": "by_table"} and seen["rows"] == stepper.totals([given])[0].rows
    model = stepper.network
    assert seen["weights"] == {name: {key for key, _ in model.named_parameters() if key.startswith(node)}
                               for name, node in (("scan", "eyes."), ("table", "clinic."))}
    assert set(seen["scores"]) == {"scan", "table"} and all(0 < score < 1 for score in seen["scores"].values())


class Parted(TrainingMethod):
    """Takes only the gradients of the own heads."""

    def parts(self, modality: str, view: Any) -> tuple[str, ...]:
        return (view.heads[modality],)

    def edit(self, modality: str, gradients: Any, view: Any) -> None:
        for name, total in gradients.total.items():
            total.copy_(gradients.parts[view.heads[modality]][name])


@pytest.mark.parametrize("batches", [[(0, 23)], [(0, 9), (9, 23)]], ids=["one batch", "two"])
def test_gradients_of_single_losses_are_those_of_a_network_with_these_alone(batches: Any, tmp_path: Path) -> None:
    _, found = stepped(using(Parted, "heads"), tmp_path, [batch(*each) for each in batches], unimodal(own=1))
    _, alone = stepped(TrainingSettings(**SETTINGS), tmp_path, [batch()], unimodal(joint=0, own=1))
    for name in found:
        if name.startswith(("eyes", "clinic")):
            torch.testing.assert_close(found[name], alone[name], rtol=1e-4, atol=1e-7)


def test_losses_are_weighed_by_total(tmp_path: Path) -> None:
    class Joint(TrainingMethod):
        def total(self, losses: Any, view: Any) -> torch.Tensor:
            assert set(losses) == {"kind", "by_scan", "by_table"}
            return losses["kind"] * 2 + 0 * (losses["by_scan"] + losses["by_table"])

    _, found = stepped(using(Joint), tmp_path, [batch()], unimodal(own=1))
    _, alone = stepped(TrainingSettings(**SETTINGS), tmp_path, [batch()], unimodal(joint=2, own=0))
    torch.testing.assert_close(found, alone)


def test_a_modality_whose_head_counts_no_case_is_left_alone(tmp_path: Path) -> None:
    class Zero(TrainingMethod):
        def edit(self, modality: str, gradients: Any, view: Any) -> None:
            assert modality == "scan"
            for gradient in gradients.total.values():
                gradient.zero_()

    lonely = batch()
    lonely.present["table"][:] = False
    _, found = stepped(using(Zero, "heads"), tmp_path, [lonely])
    assert not any(value.any() for name, value in found.items() if name.startswith("eyes"))


def test_loss_scaling_is_undone_before_the_hooks_and_an_overflow_is_no_step(tmp_path: Path) -> None:
    class Counted(Parted):
        def end_step(self, view: Any) -> None:
            self.state["steps"] = self.state.get("steps", 0) + 1

    settings = using(Counted, "heads")
    _, plain = stepped(settings, tmp_path, [batch()], unimodal(own=1))
    for loss, scale in ((1, 2.0**10), (1e9, 2.0**127)):
        model, processes = unimodal(joint=loss, own=loss), Processes(settings, tmp_path)
        stepper = Stepper(model, settings, processes)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        processes.accelerator.scaler = scaler
        processes.accelerator.unscale_gradients = lambda *_: scaler.unscale_(stepper.optimiser)  # noqa: B023
        stepper.gradients([batch()], stepper.totals([batch()])[0])
        found = {name: weight.grad for name, weight in model.named_parameters()}
        assert stepper.method.numbers() == ({"steps": 1} if loss == 1 else {})
        if loss == 1:
            torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-8)


class Remembering(TrainingMethod):
    """A mean of gradients in its state, which it adds; and a number that grows."""

    def begin_epoch(self, view: Any) -> None:
        self.state |= {f"start/{name}": value.clone() for name, value in view.weights("scan").items()}
        self.state["epochs"] = self.state.get("epochs", 0) + 1

    def edit(self, modality: str, gradients: Any, view: Any) -> None:
        for name, gradient in gradients.total.items():
            mean = self.state.setdefault(name, torch.zeros_like(gradient))
            mean += (gradient - mean) / 3
            gradient += mean * self.state["epochs"] + 0.1 * gradients.noise(name)
            if modality == "scan":
                gradient += 0.01 * (view.weights("scan")[name] - self.state[f"start/{name}"])

    def end_epoch(self, view: Any) -> None:
        self.state["sum"] = self.state.get("sum", 0.5) * 1.25
        view.log("sum", self.state["sum"])


@pytest.mark.parametrize("place", [(1, 1), (2, 2), (2, 5), (3, 1)])
def test_a_run_that_was_interrupted_ends_as_an_undisturbed_one(place: tuple[int, int], tmp_path: Path) -> None:
    def interrupt(epoch: int, step: int, steps: int, loss: float) -> None:
        if (epoch, step) == place:
            os.kill(os.getpid(), signal.SIGINT)

    def run(name: str, **more: Any) -> tuple[dict[str, torch.Tensor], list[Any]]:
        model = unimodal()
        result = fit(model, Repeated(), Repeated(11, 1), using(Remembering), tmp_path / name, **more)
        return weights(model), [row["method_sum"] for row in result.history]

    undisturbed = run("whole")
    with pytest.raises(Interrupted):
        run("parts", progress=interrupt)
    resumed = run("parts", resume=True)
    assert not differing(resumed[0], undisturbed[0])
    assert resumed[1] == undisturbed[1] == [0.625, 0.78125, 0.9765625]


def failing(hook: str, does: Callable[..., Any]) -> type[TrainingMethod]:
    return type("Failing", (TrainingMethod,), {hook: does})


@pytest.mark.parametrize(("hook", "does", "told"), [
    ("edit", lambda *_: 1 / 0, "training.probe fails in 'edit': ZeroDivisionError: division by zero"),
    ("parts", lambda *_: ("nowhere",), "the loss 'nowhere', which this network has not; its losses are by_scan"),
    ("end_step", lambda self, view: self.state.update(names=["a"]), r"state\['names'\] is neither a number nor"),
])
def test_a_method_that_fails_is_named(hook: str, does: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=told):
        fit(unimodal(), Repeated(10), None, using(failing(hook, does)), tmp_path)


def test_gradients_of_single_losses_are_refused_of_a_compiled_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.probe cannot be used with 'compile'"):
        fit(unimodal(), Repeated(), None, using(Parted, "heads", compile=True), tmp_path)


def test_a_method_without_requirements_trains_a_network_without_such_heads(tmp_path: Path) -> None:
    class Halved(TrainingMethod):
        def edit(self, modality: str, gradients: Any, view: Any) -> None:
            view.log(f"tensors_{modality}", len(gradients.total))

    result = fit(network(), Cohort(), None, using(Halved), tmp_path)
    assert {"method_tensors_scan", "method_tensors_table"} <= result.history[0].keys()


@pytest.mark.parametrize(("written", "told"), [
    ("{method: omg}", "there is no component 'training.omg' [unknown-component]"),
    ("{method: {use: training.ogm, with: {alpha: 0}}}", "option 'alpha' of training.ogm cannot be 0 [bad-option]"),
    ("{method: {use: training.ogm, with: {alhpa: 1}}}", "training.ogm has no option 'alhpa' [unknown-option]"),
    ("{method: {use: training.ogm, with: {first_epoch: 3, last_epoch: 2}}}", "contradict each other"),
    ("{method: {use: metric.mae}}", "metric.mae cannot be used here [wrong-kind]"),
    ("{method: 'ogm,ogm'}", "'method' names 2 components [bad-option]"),
    ("{method: ogm, modulation: ogm}", "'modulation' is now an option of 'method'"),
    ("{modulation: omg}", "'modulation' was none, ogm or ogm_ge, and is now 'method'"),
])
def test_what_is_wrong_is_refused_at_its_place(written: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(read(written, "graph"), None, discover())
    assert told in str(caught.value) and "graph:1:" in str(caught.value)


@pytest.mark.parametrize(("former", "now"), [
    ({"modulation": "none", "modulation_alpha": 0.5}, "none"),
    ({"modulation": "ogm", "modulation_alpha": 0.3, "modulation_first_epoch": 1, "modulation_last_epoch": 0}, "ogm"),
    ({"modulation": "ogm_ge", "modulation_alpha": 0.7, "modulation_first_epoch": 2, "modulation_last_epoch": 9},
     "ogm{noise: true, alpha: 0.7, first_epoch: 2, last_epoch: 9}"),
])
def test_runs_of_earlier_versions_are_read_and_resumed(former: dict[str, Any], now: str) -> None:
    assert TrainingSettings(**former).method == now
    assert setting_differences(former, {"method": now}) == []
    assert setting_differences(former, {"method": "ogm{alpha: 0.123}"})


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
def test_gradients_of_single_losses_are_those_of_all_processes(tmp_path: Path) -> None:
    settings = {**LAUNCHED, "method": "halved", "accumulate": 2}
    model = unimodal()
    alone = losses(fit(model, Repeated(), Repeated(11, 1), settings_of(settings), tmp_path / "alone").history)
    [found] = printed(start(on_loopback(free_port(), "2"), tmp_path, unimodal=True, settings=settings,
                            strategies=["ddp"]))
    assert found == pytest.approx(alone, abs=1e-5)
    torch.testing.assert_close(read_tensors(tmp_path / "ddp" / "model.safetensors"), weights(model), atol=1e-5,
                               rtol=1e-4)
