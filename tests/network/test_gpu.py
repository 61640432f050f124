"""Every published graph on a GPU: forward, backward and sampled prediction, compared with the CPU."""

from __future__ import annotations

import copy

import pytest
import torch

import fusionkit
from fusionkit.data.batch import Batch
from fusionkit.inference.sampler import Sampler
from fusionkit.registry.lookup import discover

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]
GRAPHS = sorted(discover().graphs)
CASES = 3


@pytest.fixture(params=GRAPHS)
def pair(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, torch.nn.Module]:
    model = fusionkit.build(request.param).eval()
    return model, copy.deepcopy(model).to("cuda")


def inputs_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {value.name: torch.rand(CASES, *value.shape.sizes, generator=generator) for value in model.plan.inputs}


def batch_of(model: torch.nn.Module) -> Batch:
    inputs = inputs_of(model)
    everyone = {name: torch.ones(CASES, dtype=torch.bool) for name in inputs}
    return Batch(inputs, everyone, {}, {}, torch.arange(CASES))


def test_forward_is_that_of_the_cpu(pair: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    slow, fast = pair
    expected = slow(inputs_of(slow))
    given = fast({name: value.cuda() for name, value in inputs_of(slow).items()})
    for name, value in expected.items():
        torch.testing.assert_close(given[name].cpu(), value, atol=2e-3, rtol=2e-3)


def test_gradients_are_those_of_the_cpu(pair: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    slow, fast = pair
    sum(value.square().sum() for value in slow(inputs_of(slow)).values()).backward()
    moved = {name: value.cuda() for name, value in inputs_of(slow).items()}
    sum(value.square().sum() for value in fast(moved).values()).backward()
    for (name, one), (_, other) in zip(slow.named_parameters(), fast.named_parameters(), strict=True):
        scale = one.grad.abs().max().clamp_min(1e-3)
        assert (other.grad.cpu() - one.grad).abs().max() < 2e-2 * scale, name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_predict_runs_and_is_close(pair: tuple[torch.nn.Module, torch.nn.Module], precision: str) -> None:
    slow, fast = pair

    def on(device: str):
        return lambda: torch.autocast(device, torch.bfloat16, enabled=precision == "bf16" and device == "cuda")

    batch = batch_of(slow)
    with torch.inference_mode():
        expected = Sampler(slow).run(batch.inputs, batch.present, on("cpu")).once()
        moved = batch.to("cuda")
        run = Sampler(fast, 2**28).run(moved.inputs, moved.present, on("cuda"))
        given = run.once()
        sampled = list(run.samples(2))
    for name, value in expected.items():
        assert (given[name].cpu() - value).abs().max() < (2e-3 if precision == "fp32" else 5e-2)
        assert sampled[0][name].isfinite().all()
