from typing import get_args

import pytest
import torch
from small_runs import Cohort, network

from fusionkit.errors import UserError
from fusionkit.syntax.reader import read
from fusionkit.syntax.writer import write
from fusionkit.training.loop import fit
from fusionkit.training.optimiser import learning_rate, make_optimiser
from fusionkit.training.settings import RESUMABLE, Tracker, TrainingSettings, read_settings


def test_flags_win_over_the_file_and_the_file_over_defaults():
    tree = read("{epochs: 7, batch_size: 3, optimiser: sgd, learning_rate: 1}")
    settings = read_settings(tree, {"epochs": 9, "trackers": ["tensorboard"]})
    assert (settings.epochs, settings.batch_size, settings.optimiser, settings.learning_rate) == (9, 3, "sgd", 1.0)
    assert settings.patience == "auto" and settings.trackers == ["tensorboard"]
    assert read_settings(None) == TrainingSettings()


def test_explicit_epochs_win_over_the_default_steps():
    """1,000 steps of 3 batches are 334 epochs; 7 epochs, in the file or as a flag, are 7."""
    assert read_settings(None).for_network(0, 80).epochs == 334
    assert read_settings(read("{epochs: 7}")).for_network(0, 80).epochs == 7
    assert read_settings(read("{epochs: 7, steps: 30}")).for_network(0, 80).epochs == 10
    assert read_settings(read("{steps: 30}"), {"epochs": 4}).for_network(0, 80).epochs == 4
    assert read_settings(read("{epochs: 4}"), {"steps": 30}).for_network(0, 80).epochs == 10
    assert read_settings(None).for_network(0, 10_000).epochs == 50


@pytest.mark.parametrize(("cases", "held"), [(30, "folds"), (499, "folds"), (500, 0.15), (10_000, 0.15)])
def test_what_is_held_out_depends_on_the_number_of_cases(cases, held):
    assert read_settings(None).hold_out_for(cases) == held
    assert read_settings(read("{hold_out: 0}")).hold_out_for(cases) == 0


@pytest.mark.parametrize(("epochs", "steps", "validated"), [
    (1000, 1, [10, 20, 30]), (334, 3, [4, 7, 10]), (72, 14, [1, 2, 3]), (50, 1, [1, 2, 3]), (300, 1, [3, 6, 9])])
def test_validations_are_ten_steps_apart_and_a_hundredth_of_a_short_run(epochs, steps, validated):
    settings = TrainingSettings(epochs=epochs)
    found = [epoch for epoch in range(1, epochs + 1) if settings.validates(epoch, steps)]
    assert found[:3] == validated and found[-1] == epochs


@pytest.mark.parametrize(("epochs", "steps", "patience"), [
    (1000, 1, 250), (334, 3, 84), (50, 266, 13), (8, 10, 25), (8, 64, 10)])
def test_a_run_has_patience_for_a_quarter_of_its_epochs_or_250_steps(epochs, steps, patience):
    assert TrainingSettings(epochs=epochs).patience_epochs(steps) == patience
    assert TrainingSettings(epochs=epochs, patience=3).patience_epochs(steps) == 3


def test_settings_are_read_back_as_they_are_written():
    settings = TrainingSettings(epochs=3, learning_rate=3e-4, trackers=["wandb"], fold=2)
    assert read_settings(read(write(settings.model_dump(mode="json", exclude_none=True)))) == settings


def test_every_fault_of_the_section_is_told_at_its_place():
    tree = read("training:\n  epoch: 3\n  batch_size: 0\n  balance: class\n  compile: 'yes'\n", "graph.yaml")
    with pytest.raises(UserError) as caught:
        read_settings(tree.get("training"))
    found = {(d.code, d.span.line, d.span.column) for d in caught.value.diagnostics}
    assert found == {("unknown-option", 2, 3), ("bad-option", 3, 15), ("bad-option", 4, 12), ("bad-option", 5, 12)}
    assert "did you mean 'epochs'?" in str(caught.value)


@pytest.mark.parametrize(("flags", "told"), [
    ({"batch_size": 0}, "--batch-size cannot be 0 [bad-option]"),
    ({"precision": "fp8"}, "--precision cannot be 'fp8'"),
    ({"epoch": 3}, "training has no setting 'epoch' [unknown-option]\n  fix: did you mean 'epochs'?"),
    ({"warmup_epochs": 60.0}, "'warmup_epochs' is 60 and 'epochs' only 50"),
    ({"learning_rate": float("nan")}, "--learning-rate cannot be nan"),
])
def test_a_wrong_flag_is_told_as_a_flag(flags, told):
    with pytest.raises(UserError) as caught:
        read_settings(read("{batch_size: 4}"), flags)
    assert told in str(caught.value)


def test_every_setting_is_described():
    assert all(field.description for field in TrainingSettings.model_fields.values())
    assert set(TrainingSettings.model_fields) >= RESUMABLE


def test_trackers_are_those_of_accelerate():
    from accelerate.utils import LoggerType

    assert set(get_args(Tracker)) <= {str(name.value) for name in LoggerType}


@pytest.mark.parametrize(("schedule", "expected"), [
    ("constant", [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ("linear", [0.25, 0.5, 0.75, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
    ("step", [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]),
])
def test_the_rate_of_every_step(schedule, expected):
    settings = TrainingSettings(epochs=3, schedule=schedule, warmup_epochs=1, step_epochs=2, step_factor=0.5,
                                learning_rate=0.2)
    rates = [learning_rate(settings, step, 4) for step in range(12)]
    assert rates == pytest.approx([0.2 * factor for factor in expected])


def test_a_cosine_begins_at_the_full_rate_and_ends_near_none():
    settings = TrainingSettings(epochs=5, learning_rate=0.3)
    rates = [learning_rate(settings, step, 20) for step in range(100)]
    assert rates[0] == 0.3 and rates[50] == pytest.approx(0.15) and 0 < rates[99] < 1e-3
    assert rates == sorted(rates, reverse=True)


def test_biases_and_norms_are_not_decayed():
    optimiser = make_optimiser(network(), TrainingSettings(weight_decay=0.3))
    decayed, free = optimiser.param_groups
    assert decayed["weight_decay"] == 0.3 and all(p.dim() > 1 for p in decayed["params"])
    assert free["weight_decay"] == 0 and all(p.dim() < 2 for p in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(list(network().parameters()))


def frozen():
    return network(**{name: {"freeze": True} for name in ("eyes", "clinic", "kind", "size")})


@pytest.mark.parametrize(("changed", "model", "cases", "code"), [
    ({"patience": 2}, network, Cohort(), "no-validation"),
    ({}, network, Cohort(0), "no-cases"),
    ({}, frozen, Cohort(), "nothing-to-train"),
    ({"batch_size": 1}, lambda: network(eyes={"with": {"widths": [5, 7], "norm": "batch"}}), Cohort(),
     "batch-too-small"),
    ({"precision": "fp16", "device": "cpu"}, network, Cohort(), "precision-unsupported"),
    ({"patience": 1, "monitor": "accuracy"}, network, Cohort(0), "no-validation"),
    ({"trackers": ["clearml"]}, network, Cohort(), "tracker-missing"),
])
def test_what_does_not_fit_together_is_refused(changed, model, cases, code, tmp_path):
    with pytest.raises(UserError) as caught:
        fit(model(), cases, None, TrainingSettings(**changed), tmp_path)
    assert code in {d.code for d in caught.value.diagnostics}
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match="no-gpu"):
        fit(network(), Cohort(), None, TrainingSettings(device="cuda"), tmp_path)


def test_a_launcher_that_is_not_supported_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UserError, match="launcher-unsupported"):
        fit(network(), Cohort(), None, TrainingSettings(), tmp_path)


def test_heads_without_classes_have_neither_accuracy_nor_balance(tmp_path):
    model = network(kind={"use": "head.regress", "with": {"values": ["x"]}})
    for changed, code in (({"monitor": "accuracy"}, "no-accuracy"), ({"balance": "classes"}, "cannot-balance")):
        with pytest.raises(UserError, match=code):
            fit(model, Cohort(), None, TrainingSettings(device="cpu", **changed), tmp_path)
