import pytest
import torch
from networks import build
from small_runs import Cohort, differing, network, weights

from fusionkit.network.measure import measure
from fusionkit.training.estimate import Estimate, estimate, timed
from fusionkit.training.settings import TrainingSettings


def settings(**changed):
    return TrainingSettings(**{"batch_size": 5, "epochs": 3, "device": "cpu", **changed})


def test_the_memory_of_weights_gradients_and_optimiser():
    plan = measure(network(eyes={"freeze": True}).plan)
    needs = estimate(plan, settings(), 23)
    everything = sum(p.numel() for p in network().parameters())
    trained = everything - sum(p.numel() for p in network().get_submodule("eyes").parameters())
    assert (needs.parameters, needs.trainable) == (everything, trained)
    assert (needs.weight_bytes, needs.gradient_bytes, needs.optimiser_bytes) == (
        4 * everything, 4 * trained, 8 * trained)
    assert needs.case_bytes == plan.total.activation_bytes + 4 * (2 * 5 * 7 + 3)
    assert (needs.share, needs.batches, needs.seconds) == (5, 5, None)
    assert estimate(plan, settings(optimiser="sgd"), 23).optimiser_bytes == 4 * trained
    assert 4 * trained <= estimate(plan, settings(optimiser="lion"), 23).optimiser_bytes < 4.01 * trained
    assert estimate(plan, settings(optimiser="adafactor"), 23).optimiser_bytes < trained
    assert 8 * trained < estimate(plan, settings(optimiser="adan"), 23).optimiser_bytes
    assert estimate(plan, settings(precision="bf16"), 23).case_bytes < 0.6 * needs.case_bytes


def test_processes_share_a_batch(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    plan = measure(network().plan)
    assert estimate(plan, settings(), 23).share == 3
    assert estimate(plan, settings(strategy="fsdp"), 23).weight_bytes * 2 <= estimate(plan, settings(), 23).weight_bytes


def test_the_probe_tells_a_time_and_leaves_no_trace():
    model = network(eyes={"with": {"widths": [5, 7], "norm": "batch"}})
    before = weights(model)
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    needs = timed(estimate(measure(model.plan), settings(), 23), model, Cohort(), settings())
    assert needs.batch_seconds > 0 and needs.seconds == needs.batch_seconds * 15
    assert not differing(before, weights(model)) and all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.rand(2), expected)


def test_without_a_batch_to_train_on_there_is_no_time():
    model = network(eyes={"with": {"widths": [5, 7], "norm": "batch"}})
    needs = estimate(measure(model.plan), settings(), 1)
    assert timed(needs, model, Cohort(1), settings()) == needs


@pytest.mark.parametrize(("available", "seconds", "lines"), [
    (None, None, ["3,000,000 weights, 2,000,000 of them trainable",
                  "at most 68.0 MB of memory on cpu: weights 12.0 MB, gradients 8.0 MB, optimiser 16.0 MB, "
                  "16 cases at once 32.0 MB", "50 epochs of 25 batches"]),
    (10**9, 0.3, ["3,000,000 weights, 2,000,000 of them trainable",
                  "at most 68.0 MB of memory on cpu: weights 12.0 MB, gradients 8.0 MB, optimiser 16.0 MB, "
                  "16 cases at once 32.0 MB", "50 epochs of 25 batches: about 6.2 min (0.3 s a batch)"]),
])
def test_lines(available, seconds, lines):
    needs = Estimate(3_000_000, 2_000_000, 12_000_000, 8_000_000, 16_000_000, 2_000_000, available, 16, 25, 50, "cpu",
                     seconds)
    assert needs.lines() == lines


def test_too_little_memory_is_said():
    needs = Estimate(3, 2, 12, 8, 16, 2 * 10**9, 16 * 10**9, 16, 25, 50, "cuda")
    assert needs.lines()[-1].startswith("this may not fit into 16.0 GB;")


ITEMS = """
fusionkit: 1
inputs: {{views: {{items: {{image: [2, 7, 11]}}{most}}}, ehr: {{vector: [3]}}}}
nodes:
  seen: {{use: encoder.each_item, from: views, with: {{encoder: {{use: encoder.conv, with: {{widths: [3, 5]}}}}}}}}
  all_views: {{use: fusion.attention_pool, from: seen}}
  told: {{use: encoder.mlp, from: ehr, with: {{width: 5}}}}
  both: {{use: fusion.mean, from: [all_views, told]}}
  result: {{use: head.classify, from: both, with: {{classes: [x, y]}}}}
"""


def test_the_items_of_the_data_are_counted_and_not_those_of_the_plan():
    without, exact = (measure(build(ITEMS.format(most=most)).plan) for most in ("", ", max: 211"))
    planned, true = (estimate(plan, settings(), 23).case_bytes for plan in (without, exact))
    assert true > 3 * planned
    assert estimate(without, settings(), 23, {"views": 211}).case_bytes == pytest.approx(true, rel=0.01)
    assert estimate(exact, settings(), 23, {"views": 5}).case_bytes < 0.1 * true
    assert estimate(without, settings(), 23, {"other": 211}).case_bytes == planned
