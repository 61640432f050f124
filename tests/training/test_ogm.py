"""`training.ogm`: what is scaled and by how much, noise, epochs, processes, resuming, what is refused."""

from __future__ import annotations

import math
import os
import signal
from typing import Any

import pytest
import torch
from fusionkit_plugins.training.ogm import factors
from small_runs import Repeated, differing, losses, unimodal, weights
from test_distributed import SETTINGS as LAUNCHED
from test_distributed import free_port, on_loopback, printed, start

import fusionkit
from fusionkit.data.batch import Batch, collate
from fusionkit.errors import UserError
from fusionkit.network.model import FusionModel
from fusionkit.network.weights import read_tensors
from fusionkit.training.distributed import Processes
from fusionkit.training.loop import fit
from fusionkit.training.modalities import own_heads, own_weights
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.signals import Interrupted
from fusionkit.training.step import Stepper

CLASSES = {"use": "head.classify", "with": {"classes": ["a", "b", "c"]}}
Gradients = dict[str, torch.Tensor]


def batch(start: int = 0, count: int = 23) -> Batch:
    cases = Repeated()
    return collate([cases[row] for row in range(start, count)])


def ogm(**options: Any) -> dict[str, Any]:
    """The settings of training by it."""
    return {"method": {"use": "training.ogm", "with": {"alpha": 0.6, **options}}}


def gradients(folder: Any, batches: list[Batch], epoch: int = 0, number: int = 0, **changed: Any
              ) -> tuple[Gradients, FusionModel]:
    """The gradients of one step of the small network."""
    settings = TrainingSettings(**{"device": "cpu", **changed})
    model = unimodal()
    stepper = Stepper(model, settings, Processes(settings, folder))
    outcome = stepper.gradients(batches, stepper.totals(batches)[0], epoch, number)
    assert outcome.finite and set(outcome.sums) == {"kind", "by_scan", "by_table"}
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}, model


def mean_of_the_true_class(model: FusionModel, given: Batch, head: str) -> float:
    """By hand, over the rows that have the target and, for the table, the table."""
    with torch.no_grad():
        scores = model(given.inputs, {"table": given.present["table"]})[head].softmax(1)
    rows = given.target_present[head] & (given.present["table"] if head == "by_table" else True)
    return float(scores[rows, given.targets[head][rows]].mean())


def test_the_encoder_of_the_stronger_modality_is_scaled_by_the_ratio(tmp_path):
    plain, model = gradients(tmp_path, [batch()])
    scaled, _ = gradients(tmp_path, [batch()], **ogm())
    scan, table = (mean_of_the_true_class(model, batch(), head) for head in ("by_scan", "by_table"))
    stronger = "eyes." if scan > table else "clinic."
    factor = 1 - math.tanh(0.6 * max(scan, table) / min(scan, table))
    assert 0 < factor < 0.5
    for name, value in plain.items():
        expected = value * factor if name.startswith(stronger) else value
        torch.testing.assert_close(scaled[name], expected, rtol=1e-5, atol=0)
    assert any(name.startswith(stronger) and value.any() for name, value in plain.items())


def test_a_step_of_several_batches_is_that_of_one(tmp_path):
    whole, _ = gradients(tmp_path, [batch()], **ogm(noise=True))
    parts, _ = gradients(tmp_path, [batch(0, 8), batch(8, 23)], **ogm(noise=True), accumulate=2)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-6)


def test_noise_has_the_deviation_of_the_gradient_that_it_is_added_to(tmp_path):
    plain, _ = gradients(tmp_path, [batch()])
    scaled, _ = gradients(tmp_path, [batch()], **ogm())
    noisy, _ = gradients(tmp_path, [batch()], **ogm(noise=True))
    changed = differing(scaled, plain)
    assert changed and differing(noisy, scaled) == changed
    ratios = [(noisy[name] - scaled[name]) / plain[name].std(correction=0) for name in changed]
    drawn = torch.cat([ratio.flatten() for ratio in ratios])
    assert len(drawn) > 100 and abs(drawn.mean()) < 4 / len(drawn) ** 0.5
    assert abs(drawn.std() - 1) < 4 / (2 * len(drawn)) ** 0.5


def test_noise_is_a_function_of_seed_epoch_and_step(tmp_path):
    def drawn(*moment: int, seed: int = 0) -> Gradients:
        return gradients(tmp_path, [batch()], *moment, **ogm(noise=True), seed=seed)[0]

    first = drawn(2, 3)
    torch.manual_seed(9)
    assert not differing(first, drawn(2, 3))
    assert all(differing(first, other) for other in (drawn(1, 3), drawn(2, 4), drawn(2, 3, seed=1)))


def test_it_is_done_in_its_epochs_alone(tmp_path):
    plain, _ = gradients(tmp_path, [batch()])
    window = ogm(first_epoch=2, last_epoch=3)
    changed = [bool(differing(plain, gradients(tmp_path, [batch()], epoch, **window)[0])) for epoch in range(5)]
    assert changed == [False, True, True, False, False]


def test_a_modality_that_no_case_has_is_compared_with_nothing(tmp_path):
    lonely = batch()
    lonely.present["table"][:] = False
    assert not differing(gradients(tmp_path, [lonely])[0], gradients(tmp_path, [lonely], **ogm(noise=True))[0])


def test_each_of_several_is_compared_with_the_mean_of_the_others():
    found = factors({"a": 0.6, "b": 0.3, "c": 0.5}, 0.7)
    assert found == pytest.approx({"a": 1 - math.tanh(0.7 * 0.6 / 0.4), "b": 1.0,
                                   "c": 1 - math.tanh(0.7 * 0.5 / 0.45)})
    assert factors({"a": 0.5, "b": 0.5}, 0.7) == {"a": 1, "b": 1}
    assert factors({"a": 0.5}, 0.7) == {"a": 1} and factors({}, 0.7) == {}
    assert factors({"a": 0.5, "b": 0.0}, 0.7) == {"a": 0.0, "b": 1.0}


def graph(**nodes: Any) -> FusionModel:
    every = {"left": {"use": "encoder.mlp", "from": "a", "with": {"width": 5}},
             "fused": {"use": "fusion.sum", "from": ["a", "b", "c"]},
             "out": {**CLASSES, "from": "fused"}, "by_a": {**CLASSES, "from": "left"}, **nodes}
    inputs = {name: {"vector": [5]} for name in ("a", "b", "c")}
    return fusionkit.build({"fusionkit": 1, "nodes": every, "inputs": inputs})


def modulated(model: FusionModel) -> dict[str, set[str]]:
    """The modules whose weights belong to one modality, by the head that it is scored by."""
    return {head: {".".join(name.split(".")[: 2 if name.startswith("both") else 1])
                   for name in own_weights(model, modality)} for modality, head in own_heads(model.plan).items()}


def test_lanes_belong_to_their_inputs_and_shared_ones_to_nobody():
    lanes = {"use": "encoder.mlp", "from": ["b", "c"], "each": True, "with": {"width": 5}}
    model = graph(both=lanes, by_b={**CLASSES, "from": "both.b"}, by_c={**CLASSES, "from": "both.c"},
                  joined={"use": "fusion.sum", "from": "both"}, other={**CLASSES, "from": "joined"})
    assert modulated(model) == {"by_a": {"left"}, "by_b": {"both.b"}, "by_c": {"both.c"}}
    shared = graph(both={**lanes, "share": True}, by_b={**CLASSES, "from": "both.b"},
                   joined={"use": "fusion.sum", "from": "both"}, other={**CLASSES, "from": "joined"})
    assert modulated(shared) == {"by_a": {"left"}, "by_b": set()}


@pytest.mark.parametrize(("nodes", "told"), [
    ({}, "only 'by_a'"),
    ({"by_a": {"use": "head.regress", "from": "left", "with": {"values": ["y"]}}}, "there is none"),
    ({"again": {**CLASSES, "from": "left"}}, "only 'by_a'"),
    ({"by_b": {"use": "head.classify", "from": "b", "with": {"classes": ["x", "y"]}}}, "only 'by_b'"),
], ids=["one head", "no classes", "one input", "other classes"])
def test_it_needs_two_heads_that_see_one_input_each(nodes, told, tmp_path):
    with pytest.raises(UserError) as caught:
        fit(graph(**nodes), Repeated(), None, TrainingSettings(device="cpu", **ogm(noise=True)), tmp_path / "run")
    (found,) = caught.value.diagnostics
    assert found.code == "cannot-modulate" and told in found.message and found.span is not None
    assert found.fix is not None and "head.classify" in found.fix


SETTINGS = {"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "device": "cpu", "checkpoint_steps": 1, "threads": 1,
            "accumulate": 2, **ogm(noise=True)}


def test_a_run_that_was_interrupted_ends_as_an_undisturbed_one(tmp_path):
    def interrupt(epoch: int, step: int, steps: int, loss: float) -> None:
        if (epoch, step) == (2, 1):
            os.kill(os.getpid(), signal.SIGINT)

    def run(name: str, **more: Any) -> tuple[Gradients, list[float]]:
        model = unimodal()
        result = fit(model, Repeated(), Repeated(11, 1), TrainingSettings(**SETTINGS), tmp_path / name, **more)
        return weights(model), losses(result.history)

    undisturbed = run("whole")
    with pytest.raises(Interrupted):
        run("parts", progress=interrupt)
    resumed = run("parts", resume=True)
    assert not differing(resumed[0], undisturbed[0]) and resumed[1] == undisturbed[1]


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
@pytest.mark.parametrize("strategy", ["fsdp", "ddp"])
def test_two_processes_have_the_losses_of_one(strategy, tmp_path):
    settings = {**LAUNCHED, **ogm(noise=True)}
    model = unimodal()
    alone = losses(fit(model, Repeated(), Repeated(11, 1), TrainingSettings(**settings), tmp_path / "alone").history)
    [found] = printed(start(on_loopback(free_port(), "2"), tmp_path, unimodal=True, settings=settings,
                            strategies=[strategy]))
    assert found == pytest.approx(alone, abs=1e-5)
    torch.testing.assert_close(read_tensors(tmp_path / strategy / "model.safetensors"), weights(model), atol=1e-5,
                               rtol=1e-4)
