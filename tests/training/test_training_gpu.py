"""Training on a GPU against the CPU; skipped, and counted as skipped, where there is none."""

import pytest
import torch
from small_runs import STILL, Cohort, losses, network, weights
from test_augmented import CT, IDS, batch, several

from fusionkit.data.augmentation import Augmentation
from fusionkit.training.augmented import Augmented, noise
from fusionkit.training.estimate import estimate, timed
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]


def settings(**changed):
    return TrainingSettings(**{"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "device": "cuda", **changed})


@pytest.fixture
def exact():
    """Single precision that is single precision."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_the_losses_are_those_of_the_cpu(tmp_path, exact):
    cpu = fit(network(**STILL), Cohort(), Cohort(11, 1), settings(device="cpu"), tmp_path / "cpu")
    gpu = fit(network(**STILL), Cohort(), Cohort(11, 1), settings(), tmp_path / "gpu")
    assert losses(gpu.history) == pytest.approx(losses(cpu.history), abs=1e-3)
    assert all(value.is_cuda for value in gpu.model.state_dict().values())


@pytest.mark.parametrize("changed", [
    {"precision": "bf16"}, {"precision": "fp16"}, {"precision": "bf16", "channels_last": "off"},
    {"precision": "fp16", "clip_gradient": 1.0}, {"channels_last": "on"}, {"compile": True},
], ids=str)
def test_it_learns_in_every_mode(changed, tmp_path):
    result = fit(network(), Cohort(), Cohort(11, 1), settings(**changed), tmp_path)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert all(value.dtype != torch.float16 for value in result.model.state_dict().values())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_goes_on(precision, tmp_path):
    changed = {"precision": precision, "schedule": "constant"}
    fit(network(**STILL), Cohort(), None, settings(**changed, epochs=1), tmp_path / "parts")
    parts = fit(network(**STILL), Cohort(), None, settings(**changed), tmp_path / "parts", resume=True)
    whole = fit(network(**STILL), Cohort(), None, settings(**changed), tmp_path / "whole")
    for name, value in weights(parts.model).items():
        torch.testing.assert_close(value, whole.model.state_dict()[name], atol=1e-3, rtol=1e-3)


def test_the_probe_runs(tmp_path):
    from fusionkit.network.measure import measure

    model = network()
    needs = timed(estimate(measure(model.plan), settings(), 23), model, Cohort(), settings(precision="bf16"))
    assert needs.device == "cuda" and needs.batch_seconds > 0 and needs.available_bytes > 0


def test_cases_are_changed_as_on_the_cpu(exact):
    values = torch.rand(3, 1, *CT.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noise(values.cuda(), [1, 2, 3]).cpu(), noise(values, [1, 2, 3]))
    for way in ({"rotate": {}, "zoom": {}, "shift": {}, "elastic": {}}, {"flip": {"chance": 1.0}},
                {"gamma": {}, "contrast": {}, "blur": {}, "low_resolution": {}, "noise": {}}):
        made = Augmented(Augmentation({"x": several(**way)}), IDS, {"x": [CT] * 3}, seed=0)
        given = batch(3, x=values)
        found = made(given.to("cuda"), 1).inputs["x"]
        assert found.is_cuda and (found.cpu() - made(given, 1).inputs["x"]).abs().max() < 1e-4
