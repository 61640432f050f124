"""Losses that compare the cases of a whole step: its gradients are those of one large batch, however it is divided."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from small_runs import NETWORK, STILL, Cohort, differing, network, weights
from step_networks import NETWORKS, PATIENTS, RANKED, Values, batch, contrasted, gradients, ranked, settings, still
from test_distributed import TORCHRUN, free_port, on_loopback

import fusionkit
from fusionkit.api import Config, Fusion
from fusionkit.components.config import ContractError
from fusionkit.data.batch import Batch
from fusionkit.errors import RunError, UserError
from fusionkit.network.model import FusionModel
from fusionkit.training.batch_norm_advice import divided_norms
from fusionkit.training.distributed import Processes
from fusionkit.training.loop import fit
from fusionkit.training.objective import Objective
from fusionkit.training.step import Stepper

ALL = list(range(23))
DIVISIONS = [[ALL[:6], ALL[6:12], ALL[12:18], ALL[18:]], [ALL[:1], ALL[1:2], ALL[2:]], [[*range(0, 23, 2)],
                                                                                      [*range(1, 23, 2)]]]
EXACT: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-13}


def stepper(model: FusionModel, folder: Path, **changed: Any) -> Stepper:
    chosen = settings(**changed)
    return Stepper(model, chosen, Processes(chosen, folder), patients=PATIENTS)


@pytest.mark.parametrize("word", sorted(NETWORKS))
@pytest.mark.parametrize("division", DIVISIONS, ids=["four", "single cases", "two"])
def test_a_step_of_several_batches_has_the_gradients_of_one(word: str, division: Any, tmp_path: Path) -> None:
    whole = gradients(stepper(NETWORKS[word](), tmp_path), [batch(ALL)])
    parts = gradients(stepper(NETWORKS[word](), tmp_path), [batch(rows) for rows in division])
    torch.testing.assert_close(parts[0], whole[0], **EXACT)
    assert parts[1] == pytest.approx(whole[1], rel=1e-12)
    assert "size.scale" not in whole[0] or whole[0]["size.scale"] != 0


def test_comparisons_of_a_step_differ_from_those_of_its_batches(tmp_path: Path) -> None:
    batches = [batch(ALL[:9]), batch(ALL[9:])]
    found = [gradients(stepper(contrasted(cases, same_patient=same), tmp_path), batches)[1]["near.loss_infonce"]
             for cases in ("step", "batch") for same in ("negative", "ignore")]
    assert len({round(value, 6) for value in found}) == 4 and found[0] > found[2] and found[0] > found[1]


def test_a_component_that_compares_nothing_cannot_compare_a_step(tmp_path: Path) -> None:
    silent = Fusion("silent", Config, Silent, rule="*features: B _ -> same, loss_silent: ()", cases="step")
    nodes = {**NETWORK["nodes"], "near": {"use": "fusion.silent", "from": ["eyes"]},
             "both": {"use": "fusion.mean", "from": ["near", "clinic"]}}
    made = fusionkit.build({**NETWORK, "nodes": nodes}, components=[silent])
    with pytest.raises(RunError, match=r"fusion\.silent is to compare the cases of a step, and its module has no"):
        stepper(made, tmp_path)


class Silent(torch.nn.Module):
    """Inputs unchanged, and a loss of 0."""

    def __init__(self, config: Config, inputs: Any) -> None:
        super().__init__()

    def forward(self, *features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return *features, features[0].new_zeros(())


def test_one_batch_is_run_once_and_several_batches_compare_only_cases_that_count(tmp_path: Path) -> None:
    model = still()
    counted = int(batch(ALL).target_present["size"].sum())
    for batches in [batch(ALL)], [batch(ALL[:9]), batch(ALL[9:])]:
        model.head("size").seen.clear()
        gradients(stepper(model, tmp_path), batches)
        assert model.head("size").seen == [counted]


def test_a_step_without_any_case_that_counts_has_no_gradient(tmp_path: Path) -> None:
    model = still()
    empty = [batch(ALL[:4]), batch(ALL[4:9])]
    for each in empty:
        each.target_present["size"][:] = False
    found, sums = gradients(stepper(model, tmp_path), empty)
    assert sums["size"] == 0 and not found["size.layer.weight"].any()
    assert any(value.any() for name, value in found.items() if name.startswith("kind"))


def test_both_passes_draw_the_same_dropout(tmp_path: Path) -> None:
    model, batches = ranked().double(), [batch(ALL[:9]), batch(ALL[9:])]
    torch.manual_seed(3)
    found, _ = gradients(stepper(model, tmp_path), batches)
    expected = _at_once(ranked().double(), batches)
    torch.testing.assert_close({name: found[name] for name in expected}, expected, **EXACT)


def _at_once(model: FusionModel, batches: list[Batch]) -> dict[str, torch.Tensor]:
    """Gradients of the compared loss alone, from outputs of all batches whose graphs are kept."""
    torch.manual_seed(3)
    outputs, targets = [], []
    for each in batches:
        given = model(each.inputs, {"table": each.present["table"]})["size"]
        outputs.append(given[each.target_present["size"]])
        targets.append(each.targets["size"][each.target_present["size"]])
    loss = model.head("size").loss(torch.cat(outputs), torch.cat(targets)).mean() * 0.5
    loss.backward()
    return {name: weight.grad for name, weight in model.named_parameters() if name.startswith("size")}


def test_a_network_that_differs_in_the_second_pass_is_refused(tmp_path: Path) -> None:
    model = still()
    draws = torch.Generator().manual_seed(0)
    model.get_submodule("eyes").register_forward_hook(
        lambda module, given, output: output * (torch.rand(7, generator=draws).double() > 0.5))
    with pytest.raises(RunError, match="in the second pass over a batch the network gives other results"):
        gradients(stepper(model, tmp_path), [batch(ALL[:9]), batch(ALL[9:])])


def test_statistics_of_batch_norms_are_counted_once(tmp_path: Path) -> None:
    batched = {"eyes": {"with": {"widths": [5, 7], "norm": "batch"}}}
    two, plain = ranked(**batched).double(), ranked(**batched).double()
    batches = [batch(ALL[:9]), batch(ALL[9:])]
    gradients(stepper(two, tmp_path), batches)
    with torch.no_grad():
        for each in batches:
            plain(each.inputs, {"table": each.present["table"]})
    expected = dict(plain.named_buffers())
    assert expected and all(torch.equal(value, expected[name]) for name, value in two.named_buffers())


def test_loss_scaling_acts_on_the_second_pass(tmp_path: Path) -> None:
    batches = [batch(ALL[:9]), batch(ALL[9:])]
    plain, _ = gradients(stepper(still(), tmp_path), batches)
    scaled = stepper(still(), tmp_path)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    scaled.processes.accelerator.scaler = scaler
    scaled.processes.accelerator.unscale_gradients = lambda *_: scaler.unscale_(scaled.optimiser)
    torch.testing.assert_close(gradients(scaled, batches)[0], plain, **EXACT)


def test_the_validation_compares_all_cases_at_once(tmp_path: Path) -> None:
    model = ranked()
    validated = fit(model, Cohort(), Cohort(11, 1), settings(batch_size=4, epochs=1), tmp_path / "four").history[0]
    cases = Cohort(11, 1)
    kept = cases.has_size
    with torch.no_grad():
        given = model(*_arrays(cases))["size"][kept]
        expected = model.head("size").loss(given, cases.tables[kept, :1] * 2).mean()
    assert validated["validation_loss_size"] == pytest.approx(float(expected), rel=1e-5)


def _arrays(cases: Cohort) -> Any:
    tables = cases.tables * cases.has_table[:, None]
    return {"scan": cases.scans, "table": tables}, {"table": cases.has_table}


def test_a_run_with_accumulated_batches_has_the_losses_of_one_with_large_ones(tmp_path: Path) -> None:
    histories = {}
    for name, size, times in (("large", 12, 1), ("small", 3, 4)):
        model = ranked(**STILL)
        run = settings(batch_size=size, accumulate=times, epochs=3)
        histories[name] = fit(model, Cohort(), Cohort(11, 1), run, tmp_path / name).history
    for large, small in zip(histories["large"], histories["small"], strict=True):
        for name in ("train_loss", "train_loss_size", "train_loss_kind", "validation_loss", "validation_loss_size"):
            assert small[name] == pytest.approx(large[name], rel=1e-4)


def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    run = {"batch_size": 3, "accumulate": 4}
    resumed, undisturbed = ranked(), ranked()
    fit(ranked(), Cohort(), None, settings(epochs=1, schedule="constant", **run), tmp_path / "parts")
    fit(resumed, Cohort(), None, settings(epochs=3, schedule="constant", **run), tmp_path / "parts", resume=True)
    fit(undisturbed, Cohort(), None, settings(epochs=3, schedule="constant", **run), tmp_path / "whole")
    assert not differing(weights(resumed), weights(undisturbed))


def test_batch_norms_on_the_way_are_warned_of_where_a_step_is_divided() -> None:
    batched = {"eyes": {"with": {"widths": [5, 7], "norm": "batch"}}, "clinic": {"use": "encoder.mlp"}}
    plan = ranked(**batched).plan
    [found] = divided_norms(plan, settings(accumulate=2))
    assert found.code == "divided-norm" and "'eyes'" in found.message and "'size'" in str(found.why)
    assert divided_norms(plan, settings()) == [] and divided_norms(ranked().plan, settings(accumulate=2)) == []
    assert divided_norms(network(**batched).plan, settings(accumulate=2)) == []


def test_which_cases_are_compared_may_be_an_option_and_is_checked() -> None:
    class Options(Values):
        compared: Literal["batch", "step", "bank"] = "step"

    made = replace(RANKED, config=Options, cases="compared")
    assert made.over_step(Options(values=["a"])) and not made.over_step(Options(values=["a"], compared="bank"))
    with pytest.raises(ContractError, match="write 'batch', 'step', or the name of an option"):
        replace(RANKED, cases="epoch")


def test_weights_that_fsdp_cannot_divide_are_named(tmp_path: Path) -> None:
    processes = Processes(settings(), tmp_path)
    processes.sharded = True
    with pytest.raises(UserError, match=r"without an axis: near\.align\.log_scale \[strategy-unsupported"):
        processes.prepare(Objective(contrasted()), unused=False)


@pytest.mark.slow  # over ten seconds: torchrun starts two processes, and each imports torch
@pytest.mark.parametrize("word", sorted(NETWORKS))
def test_two_processes_have_the_gradients_of_one(word: str, tmp_path: Path) -> None:
    whole, sums = gradients(stepper(NETWORKS[word](), tmp_path), [batch(ALL)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [*TORCHRUN, *on_loopback(free_port(), "2"), str(Path(__file__).with_name("launched_step.py")),
               str(tmp_path), word, json.dumps(DIVISIONS[2])]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["sums"] == pytest.approx(sums, rel=1e-12)
    for name, value in whole.items():
        torch.testing.assert_close(torch.tensor(found["gradients"][name], dtype=torch.float64), value.flatten(),
                                   **EXACT)
