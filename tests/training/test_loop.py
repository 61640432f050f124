import csv

import pytest
import torch
from small_runs import STILL, Cohort, differing, network, weights

import fusionkit
from fusionkit.api import Config, Encoder
from fusionkit.data.batch import collate
from fusionkit.network.weights import read_tensors
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings


def settings(**changed):
    return TrainingSettings(**{"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "device": "cpu", **changed})


def test_a_run_learns_and_leaves_its_files(tmp_path):
    seen = []
    model = network()
    result = fit(model, Cohort(), Cohort(11, 1), settings(epochs=5), tmp_path,
                 progress=lambda epoch, step, steps, loss: seen.append((epoch, step, steps, loss)))
    assert result.model is model and not model.training
    assert result.history[-1]["train_loss"] < 0.9 * result.history[0]["train_loss"]
    assert [entry[:3] for entry in seen] == [(e, s, 5) for e in range(1, 6) for s in range(1, 6)]
    assert all(entry[3] > 0 for entry in seen)
    with (tmp_path / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    assert float(rows[2]["validation_loss"]) == pytest.approx(result.history[2]["validation_loss"], rel=1e-6)
    assert float(rows[0]["cases_per_second"]) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "history.csv", "last", "model.safetensors"]
    assert not list(tmp_path.rglob("*.part"))


def test_the_model_ends_with_its_best_weights(tmp_path):
    seen = {}
    model = network()

    def keep(epoch, step, steps, loss):
        seen[epoch] = weights(model)

    # So high a rate that later epochs are worse.
    result = fit(model, Cohort(), Cohort(11, 1), settings(epochs=4, learning_rate=0.2, schedule="constant"), tmp_path,
                 progress=keep)
    validation = [row["validation_loss"] for row in result.history]
    assert result.best_epoch == validation.index(min(validation)) + 1 < 4
    assert result.best_value == min(validation) and result.monitor == "loss"
    assert not differing(weights(model), seen[result.best_epoch])
    assert not differing(weights(model), read_tensors(tmp_path / "model.safetensors"))


def test_without_validation_the_last_weights_stay(tmp_path):
    model = network()
    seen = []
    result = fit(model, Cohort(), None, settings(), tmp_path, progress=lambda *_: seen.append(weights(model)))
    assert not differing(weights(model), seen[-1])
    assert not differing(weights(model), read_tensors(tmp_path / "model.safetensors"))
    assert result.best_epoch == 3 and result.best_value is None and "validation_loss" not in result.history[0]


def test_patience_ends_a_run_that_does_not_improve(tmp_path):
    stuck = settings(epochs=9, learning_rate=1e-12, monitor="accuracy", patience=2)
    result = fit(network(), Cohort(), Cohort(11, 1), stuck, tmp_path)
    assert result.state.stopped == "early" and result.epochs == 3 and result.best_epoch == 1
    assert result.best_value == result.history[0]["validation_accuracy_kind"]
    again = fit(network(), Cohort(), Cohort(11, 1), stuck, tmp_path, resume=True)
    assert again.epochs == 3 and again.state.stopped == "early"


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
def test_accumulated_batches_equal_a_large_one(optimiser, tmp_path):
    """Targets are missing unevenly, so that means of means would differ."""
    models = []
    for name, size, accumulate in (("whole", 8, 1), ("parts", 2, 4)):
        model = network(**STILL)
        fit(model, Cohort(), None, settings(batch_size=size, accumulate=accumulate, optimiser=optimiser,
                                            learning_rate=0.003, epochs=2), tmp_path / name)
        models.append(weights(model))
    for name, value in models[0].items():
        torch.testing.assert_close(models[1][name], value, atol=2e-5, rtol=1e-4)


def test_a_loss_is_the_mean_over_the_rows_that_count(tmp_path):
    model, cohort = network(**STILL), Cohort()
    batch = collate([cohort[index] for index in range(len(cohort))])
    with torch.no_grad():
        given = model(batch.inputs, {"table": batch.present["table"]})
        kinds = model.head("kind").loss(given["kind"], batch.targets["kind"])[cohort.has_kind]
        sizes = model.head("size").loss(given["size"], batch.targets["size"])[cohort.has_size]
    row = fit(model, cohort, None, settings(epochs=1, batch_size=23), tmp_path).history[0]
    assert row["train_loss_kind"] == pytest.approx(float(kinds.mean()), rel=1e-5)
    assert row["train_loss_size"] == pytest.approx(float(sizes.mean()), rel=1e-5)
    assert row["train_loss"] == pytest.approx(float(kinds.mean() + 0.5 * sizes.mean()), rel=1e-5)


def test_what_is_absent_changes_nothing(tmp_path):
    """NaN in absent inputs and in missing targets reaches neither weights nor losses."""
    class Spoilt(Cohort):
        def __getitem__(self, index):
            case = super().__getitem__(index)
            if not case["present"]["table"]:
                case["inputs"]["table"] = torch.full((3,), float("nan"))
            if not case["target_present"]["size"]:
                case["targets"]["size"] = torch.full((1,), float("nan"))
            if not case["target_present"]["kind"]:
                case["targets"]["kind"] = torch.tensor(-1)
            return case

    clean, spoilt = network(), network()
    fit(clean, Cohort(), Cohort(11, 1), settings(), tmp_path / "clean")
    fit(spoilt, Spoilt(), Spoilt(11, 1), settings(), tmp_path / "spoilt")
    assert not differing(weights(clean), weights(spoilt))


def test_a_frozen_node_stands_still(tmp_path):
    """Its weights, and the statistics of its batch norms too."""
    model = network(eyes={"freeze": True, "with": {"widths": [5, 7], "norm": "batch"}})
    before = weights(model)
    fit(model, Cohort(), Cohort(11, 1), settings(), tmp_path)
    changed = {name.partition(".")[0] for name in differing(before, weights(model))}
    assert changed == {"clinic", "kind", "size"}


def test_a_norm_over_the_batch_never_meets_one_case(tmp_path):
    model = network(eyes={"with": {"widths": [5, 7], "norm": "batch"}},
                    clinic={"with": {"width": 7, "hidden": [11], "norm": "batch"}})
    result = fit(model, Cohort(9), Cohort(11, 1), settings(batch_size=4, epochs=1), tmp_path)
    assert result.history[0]["train_loss"] > 0


class Nothing(Config):
    """No options."""


class Gap(torch.nn.Module):
    """Gives its input back, with the mean square of what it multiplies it by as a loss beside it."""

    def __init__(self, config, inputs):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(inputs[0].width))

    def forward(self, features):
        return features * self.scale, (features * self.scale).square().mean()


def test_auxiliary_losses_are_learnt_from(tmp_path):
    component = Encoder("gap", Nothing, Gap, rule="B c -> kept: B c, loss_gap: ()")
    graph = {"fusionkit": 1, "inputs": {"table": {"vector": [3]}},
             "nodes": {"gap": {"use": "encoder.gap", "from": "table"},
                       "kind": {"use": "head.classify", "from": "gap.kept", "with": {"classes": ["a", "b", "c"]}}}}
    model = fusionkit.build(graph, components=[component])
    result = fit(model, Cohort(gaps=False), None, settings(epochs=8), tmp_path)
    first, last = result.history[0], result.history[-1]
    assert last["train_loss_gap.loss_gap"] < first["train_loss_gap.loss_gap"]
    assert first["train_loss"] == pytest.approx(first["train_loss_kind"] + first["train_loss_gap.loss_gap"])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 on forking with threads
def test_workers_change_nothing_but_the_time(tmp_path):
    alone, helped = network(), network()
    fit(alone, Cohort(), None, settings(epochs=2), tmp_path / "alone")
    fit(helped, Cohort(), None, settings(epochs=2, workers=1), tmp_path / "helped")
    assert not differing(weights(alone), weights(helped))


def test_half_precision_trains_on_the_cpu(tmp_path):
    result = fit(network(), Cohort(), Cohort(11, 1), settings(precision="bf16", channels_last="on", clip_gradient=1.0),
                 tmp_path)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert all(value.dtype != torch.bfloat16 for value in result.model.state_dict().values())


def test_random_numbers_outside_a_run_go_on(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    fit(network(), Cohort(), None, settings(epochs=1), tmp_path)
    assert torch.equal(torch.rand(2), expected)
