"""Training methods that balance modalities give their authors' numbers; what they see of a batch and of the cases."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.min_norm import min_norm
from fusionkit_plugins.training.agm import AGM, AGMConfig
from fusionkit_plugins.training.inforeg import InfoReg, InfoRegConfig
from fusionkit_plugins.training.mmpareto import MMPareto, MMParetoConfig
from fusionkit_plugins.training.pmr import PMR, PMRConfig
from recorded import GOLDEN
from small_runs import STILL, Cohort, differing, network, weights
from test_distributed import TORCHRUN, free_port, on_loopback
from torch import Tensor, nn
from torch.utils.data import Dataset

import fusionkit
from fusionkit.api import Config, Encoder, TensorShape, Training, TrainingMethod
from fusionkit.conversion.verification.case import normal
from fusionkit.data.batch import Batch, Case, collate
from fusionkit.errors import RunError
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import read_tensors
from fusionkit.registry.lookup import discover
from fusionkit.training.case_reading import CaseReader
from fusionkit.training.checkpoint import read_state
from fusionkit.training.distributed import Processes
from fusionkit.training.loop import fit
from fusionkit.training.method_cases import MethodCases
from fusionkit.training.settings import TrainingSettings, read_settings
from fusionkit.training.signals import Interrupted
from fusionkit.training.step import Stepper

METHODS = GOLDEN / "methods"
OUT = "out"
INPUTS = ("audio", "visual")
OWN = ("head_audio", "head_video")
HEADS = (OUT, *OWN)


class ToyConfig(Config):
    """Options of the encoder."""

    width: int = 6


class Toy(nn.Sequential):
    """Two linear layers with a tanh between them."""

    def __init__(self, config: ToyConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(nn.Linear(inputs[0].width, config.width), nn.Tanh(), nn.Linear(config.width, config.width))


TOY = Encoder("toy", ToyConfig, Toy, rule="features: B _ -> B {width}")


def toy(case: Any, prefix: str = "", width: int = 6, own: Sequence[str] = ()) -> FusionModel:
    """The network of the recorded cases, with their weights; `own` are the names of heads on the encoders."""
    classes = {"classes": list("abcdef")}
    nodes: dict[str, Any] = {f"{name}_net": {"use": "encoder.toy", "from": name, "with": {"width": width}}
                             for name in INPUTS}
    nodes |= {"both": {"use": "fusion.concat", "from": ["audio_net", "visual_net"]},
              OUT: {"use": "head.classify", "from": "both", "with": classes}}
    nodes |= {head: {"use": "head.classify", "from": f"{name}_net", "with": classes}
              for name, head in zip(INPUTS, own, strict=False)}
    model = fusionkit.build({
        "fusionkit": 1, "inputs": {"audio": {"vector": [4], "optional": True},
                                   "visual": {"vector": [3], "optional": True}}, "nodes": nodes}, components=[TOY])
    with torch.no_grad():
        for name, weight in model.named_parameters():
            key = prefix + recorded_name(name)
            shape = json.loads(str(case["state"]))[key][0]
            values = normal(key, shape)
            scale = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.1
            weight.copy_(torch.from_numpy(values * np.float32(scale)))
    return model


def recorded_name(name: str) -> str:
    return name.replace("out.layers.1.", "head.").replace(".layers.1.", ".")


def batch(audio: Any, visual: Any, labels: Any) -> Batch:
    return collate([Cases(audio, visual, labels)[row] for row in range(len(labels))])


class Cases(Dataset[Case]):
    """Recorded inputs as cases."""

    def __init__(self, audio: Any, visual: Any, labels: Any) -> None:
        self.inputs = {"audio": torch.tensor(np.array(audio)), "visual": torch.tensor(np.array(visual))}
        self.labels = torch.tensor(np.array(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Case:
        return {"index": index, "inputs": {name: value[index] for name, value in self.inputs.items()},
                "present": dict.fromkeys(self.inputs, True), "targets": dict.fromkeys(HEADS, self.labels[index]),
                "target_present": dict.fromkeys(HEADS, True)}


def using(hooks: type[TrainingMethod], options: type[Config], values: Any = None, requires: Any = "", **more: Any
          ) -> TrainingSettings:
    method = Training("probe", options, hooks, requires=requires)
    return read_settings(None, {"device": "cpu", "threads": 1, "method": {
        "use": "training.probe", "with": values or {}}, **more}, discover(components=[method]))


def stepper_of(model: FusionModel, settings: TrainingSettings, folder: Path, cases: Cases | None = None) -> Stepper:
    processes = Processes(settings, folder)
    stepper = Stepper(model, settings, processes)
    if cases is not None:
        stepper.method.view.reading = MethodCases(stepper, CaseReader(cases, settings, processes))
    return stepper


def gradients(stepper: Stepper, given: Batch, epoch: int, step: int) -> tuple[dict[str, Tensor], dict[str, float]]:
    outcome = stepper.gradients([given], stepper.totals([given])[0], epoch, step)
    logged = {name.removeprefix("method/"): value for name, value in outcome.logged.items() if name[0] != "#"}
    return {recorded_name(name): weight.grad for name, weight in stepper.network.named_parameters()
            if weight.grad is not None}, logged


def near(found: dict[str, Tensor], case: Any, prefix: str) -> None:
    expected = {key.removeprefix(prefix): torch.tensor(case[key]) for key in case.files if key.startswith(prefix)}
    assert expected
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-4 * float(value.abs().max()))


@pytest.mark.parametrize("name", ["alpha1_two_steps", "alpha2_epoch2"])
def test_gradients_of_agm_are_those_of_the_release(name: str, tmp_path: Path) -> None:
    case = np.load(METHODS / "agm" / f"{name}.npz")
    about = json.loads(str(case["meta"]))
    model = toy(case, "net.core.")
    stepper = stepper_of(model, using(AGM, AGMConfig, {"alpha": about["alpha"], "absent": "zeros"}), tmp_path)
    before = about["running_scores_before"]
    stepper.method.method.state = {"steps": (about["epoch"] - 1) * about["steps_per_epoch"],
                                   "score_audio": before[0], "score_visual": before[1]}
    for step in range(2):
        model.zero_grad()
        given = batch(case[f"input{2 * step}"], case[f"input{2 * step + 1}"], case[f"labels{step}"])
        found, logged = gradients(stepper, given, about["epoch"] - 1, step)
        assert [logged[f"factor_{name}"] for name in INPUTS] == pytest.approx(case[f"out_coefficients{step}"], rel=1e-5)
        if found["head.weight"].abs().max() > 1:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        near({name: weight.grad for name, weight in zip(found, model.parameters(), strict=True)}, case,
             f"out_grad{step}__")


def test_with_equal_factors_agm_is_plain_training(tmp_path: Path) -> None:
    case = np.load(METHODS / "agm" / "alpha1_two_steps.npz")
    given = batch(case["input0"], case["input1"], case["labels0"])
    found, logged = gradients(stepper_of(toy(case, "net.core."), using(AGM, AGMConfig, {"alpha": 0.0}), tmp_path),
                              given, 0, 0)
    plain, _ = gradients(stepper_of(toy(case, "net.core."), TrainingSettings(device="cpu"), tmp_path), given, 0, 0)
    assert set(logged.values()) == {1.0}
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["step_audio_strong", "step_visual_strong"])
def test_prototypes_and_gradients_of_pmr_are_those_of_the_release(name: str, tmp_path: Path) -> None:
    case = np.load(METHODS / "pmr" / f"{name}.npz")
    about = json.loads(str(case["meta"]))
    options = {"alpha": about["alpha"], "momentum": about["momentum"]}
    cases = Cases(case["proto_cases_a"], case["proto_cases_v"], case["proto_labels"])
    stepper = stepper_of(toy(case), using(PMR, PMRConfig, options), tmp_path, cases)
    stepper.method.begin_epoch(0)
    state = stepper.method.method.state
    torch.testing.assert_close(state["audio"], torch.tensor(case["out_proto_first_a"]), rtol=1e-5, atol=1e-6)
    later = Cases(0.5 * case["proto_cases_a"][::-1], 2 * case["proto_cases_v"][::-1], case["proto_labels"])
    stepper.method.view.reading = MethodCases(stepper, CaseReader(later, stepper.settings, stepper.processes))
    stepper.method.end_epoch(1)
    for modality in INPUTS:
        expected = torch.tensor(case[f"out_proto_{modality[0]}"])
        torch.testing.assert_close(state[modality], expected, rtol=1e-5, atol=1e-6)
        state[modality] = torch.tensor(case[f"in_proto_{modality[0]}"])
    assert all(part.training for part in stepper.network.modules())
    found, logged = gradients(stepper, batch(case["input0"], case["input1"], case["labels"]), 0, 0)
    assert logged["ratio_audio"] == pytest.approx(float(case["out_ratio_audio"]), rel=1e-5)
    for modality in INPUTS:
        assert logged[f"loss_{modality}"] == pytest.approx(float(case[f"out_loss_proto_{modality[0]}"]), rel=1e-5)
    near(found, case, "out_grad__")


@pytest.mark.parametrize("name", ["epoch0_audio_weak", "epoch0_visual_weak", "epoch5_window_open",
                                  "epoch20_window_closed"])
def test_gradients_and_traces_of_inforeg_are_those_of_the_release(name: str, tmp_path: Path) -> None:
    case = np.load(METHODS / "inforeg" / f"{name}.npz")
    about = json.loads(str(case["meta"]))
    model = toy(case, width=512)
    weak = "audio" if name == "epoch0_audio_weak" else "visual"
    with torch.no_grad():
        model.get_submodule(f"{weak}_net")[2].weight.mul_(0.05)
    stepper = stepper_of(model, using(InfoReg, InfoRegConfig, {"mode": "release"}), tmp_path)
    method = stepper.method.method
    method.state["traces/audio"] = torch.tensor(about["audio_trace_history_before"], dtype=torch.float64)
    stepper.method.begin_epoch(about["epoch"])
    for step in range(2):
        model.zero_grad()
        given = batch(case[f"input{2 * step}"], case[f"input{2 * step + 1}"], case[f"labels{step}"])
        found, _ = gradients(stepper, given, about["epoch"], step)
        near(found, case, f"out_grad{step}__")
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 0.05 * weight.grad
    for modality in INPUTS:
        assert method.state[f"trace/{modality}"] == pytest.approx(float(case[f"out_trace_{modality}64"]), rel=1e-5)


@pytest.mark.parametrize("name", ["agree", "conflict", "conflict_one_tensor_shorter"])
def test_gradients_of_mmpareto_are_those_of_the_release(name: str, tmp_path: Path) -> None:
    case = np.load(METHODS / "mmpareto" / f"{name}.npz")
    model = toy(case, own=OWN)
    stepper = stepper_of(model, using(MMPareto, MMParetoConfig, requires="heads"), tmp_path)
    with torch.no_grad():
        for weight, part in changed_heads(model, str(json.loads(str(case["meta"]))["note"])):
            weight.copy_(part)
    found, logged = gradients(stepper, batch(case["input0"], case["input1"], case["labels"]), 0, 0)
    for modality in INPUTS:
        assert logged[f"own_{modality}"] == pytest.approx(float(case[f"out_weights_{modality}"][1]), rel=1e-4)
    near(found, case, "out_grad__")


def changed_heads(model: FusionModel, note: str) -> list[tuple[Tensor, Tensor]]:
    """The heads on the encoders that a recorded case makes of the joint head, so that gradients conflict."""
    joint, audio, video = (model.get_submodule(f"{name}.layers.1").weight for name in HEADS)
    if "-3 head.weight[:, :6]*0.25" in note:
        return [(audio, -0.75 * joint[:, :6]), (video, joint[:, 6:])]
    return [(audio, -3 * joint[:, :6]), (video, joint[:, 6:])] if "head_audio.weight = " in note else []


@pytest.mark.parametrize("name", ["first_dominated", "second_dominated", "interior", "three"])
def test_the_shortest_point_is_that_of_the_release(name: str) -> None:
    case = np.load(METHODS / "mmpareto" / f"solver_{name}.npz")
    vectors = torch.stack([torch.tensor(case[key]) for key in sorted(case.files) if key.startswith("in_vec")]).double()
    weights = min_norm(vectors @ vectors.T)
    torch.testing.assert_close(weights, torch.tensor(case["out_weights"]).double(), rtol=1e-5, atol=1e-6)
    if not name.endswith("dominated"):
        # Of an end that dominates, the recorded length is that of the end, not of the point with 0.001 of the other.
        point = weights @ vectors
        assert float(point @ point) == pytest.approx(float(case["out_cost"]), rel=1e-4)


def test_lengths_over_the_encoder_keep_the_direction(tmp_path: Path) -> None:
    case = np.load(METHODS / "mmpareto" / "conflict.npz")
    found = {}
    for per in ("tensor", "encoder"):
        model = toy(case, own=OWN)
        with torch.no_grad():
            for weight, part in changed_heads(model, str(json.loads(str(case["meta"]))["note"])):
                weight.copy_(part)
        settings = using(MMPareto, MMParetoConfig, {"per": per, "gamma": 1.0}, requires="heads")
        found[per], _ = gradients(stepper_of(model, settings, tmp_path), batch(
            case["input0"], case["input1"], case["labels"]), 0, 0)
    share = float(case["out_weights_audio"][1])
    for name, value in found["encoder"].items():
        if name.startswith("audio"):
            joint, own = (torch.tensor(case[f"in_grad_{loss}__{name}"]) for loss in ("joint", "audio"))
            direction = (1 - share) * joint + share * own
            ratio = (value / direction).flatten()
            found.setdefault("ratios", torch.tensor([]))
            found["ratios"] = torch.cat([found["ratios"], ratio])
    assert float(found["ratios"].std() / found["ratios"].mean()) < 1e-3
    assert differing(found["encoder"], found["tensor"])


def recorded_cases() -> Cases:
    case = np.load(METHODS / "pmr" / "step_audio_strong.npz")
    return Cases(case["proto_cases_a"], case["proto_cases_v"], case["proto_labels"])


def test_a_run_with_prototypes_of_the_training_cases_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    case = np.load(METHODS / "pmr" / "step_audio_strong.npz")
    settings = using(PMR, PMRConfig, {"share": 0.7}, epochs=4, batch_size=4, checkpoint_steps=1)

    def run(name: str, **more: Any) -> dict[str, Tensor]:
        model = toy(case)
        fit(model, recorded_cases(), recorded_cases(), settings, tmp_path / name, **more)
        return weights(model)

    whole = run("whole")
    for place in (1, 2), (3, 1):
        def interrupt(epoch: int, step: int, steps: int, loss: float, place: Any = place) -> None:
            if (epoch, step) == place:
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(Interrupted):
            run(str(place), progress=interrupt)
        assert not differing(run(str(place), resume=True), whole)


def test_a_share_of_the_training_cases_is_drawn_in_each_epoch_anew_and_all_are_in_order(tmp_path: Path) -> None:
    drawn: list[list[int]] = []

    class Looks(TrainingMethod):
        def begin_epoch(self, view: Any) -> None:
            for share in (0.5, 0.5, 1.0):
                seen = list(view.training_cases(share))
                drawn.append(torch.cat([each.batch.index for each in seen]).tolist())
                assert not any(each.logits(OUT).requires_grad for each in seen)

    model = toy(np.load(METHODS / "pmr" / "step_audio_strong.npz"))
    fit(model, recorded_cases(), None, using(Looks, Config, epochs=2, batch_size=4), tmp_path)
    assert drawn[0] == drawn[1] and len(drawn[0]) == 7 and drawn[2] == drawn[5] == list(range(14))
    assert drawn[0] != drawn[3] and len(drawn[3]) == 7


def test_an_input_that_is_not_optional_cannot_be_absent_in_a_further_pass(tmp_path: Path) -> None:
    class Lacking(TrainingMethod):
        def total(self, losses: Any, view: Any) -> Tensor:
            return sum(losses.values()) + 0 * view.batch.again(absent=["scan"])["kind"].sum()

    with pytest.raises(RunError, match="the input 'scan' cannot be absent in a further pass"):
        fit(network(), Cohort(), None, using(Lacking, Config, epochs=1), tmp_path)


def test_features_are_what_meets_the_others_and_are_zeros_where_absent(tmp_path: Path) -> None:
    seen: dict[str, Tensor] = {}

    class Looks(TrainingMethod):
        def total(self, losses: Any, view: Any) -> Tensor:
            seen.update({name: view.batch.features(name).detach() for name in view.modalities},
                        present=view.batch.present["table"])
            return super().total(losses, view)

    model = network()
    plain = network()
    fit(model, Cohort(), None, using(Looks, Config, epochs=1, batch_size=23), tmp_path / "looks")
    fit(plain, Cohort(), None, TrainingSettings(epochs=1, batch_size=23, device="cpu", threads=1), tmp_path / "plain")
    assert seen["scan"].shape == seen["table"].shape == (23, 7)
    assert not seen["table"][~seen["present"]].any() and seen["table"][seen["present"]].any()
    assert not differing(weights(model), weights(plain))


class Further(TrainingMethod):
    """Adds the loss without the table, and pulls the scan's features to their mean over the training cases."""

    def begin_epoch(self, view: Any) -> None:
        self.state["mean"] = torch.cat([each.features("scan") for each in view.training_cases()]).mean(0)

    def total(self, losses: Any, view: Any) -> Tensor:
        without = view.batch.again(absent=["table"])["kind"]
        added = view.batch.loss("kind", view.scale(without + 0 * self.state["mean"].sum(), 0.5))
        return sum(losses.values()) + added


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
def test_further_passes_and_training_cases_are_those_of_all_processes(tmp_path: Path) -> None:
    model = network(**STILL)
    fit(model, Cohort(), None, using(Further, Config, epochs=2, batch_size=6), tmp_path / "one")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from pathlib import Path; from test_balancing_methods import *\n"
        "fit(network(**STILL), Cohort(), None, using(Further, Config, epochs=2, batch_size=6), "
        "Path(sys.argv[1]) / 'two')")
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run([*TORCHRUN, *on_loopback(free_port(), "2"), str(script), str(tmp_path)],
                         env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": path},
                         capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr[-3000:]
    torch.testing.assert_close(read_tensors(tmp_path / "two" / "model.safetensors"), weights(model), atol=1e-5,
                               rtol=1e-4)
    states = [read_state(tmp_path / name / "last")[1]["method/mean"] for name in ("one", "two")]
    torch.testing.assert_close(states[0], states[1], atol=1e-5, rtol=1e-4)
