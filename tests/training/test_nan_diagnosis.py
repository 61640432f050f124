import pytest
import torch
from small_runs import Cohort, network
from torch import nn

import fusionkit
from fusionkit.api import Config, Encoder
from fusionkit.errors import RunError
from fusionkit.training import checkpoint as states
from fusionkit.training.loop import fit
from fusionkit.training.settings import TrainingSettings

SETTINGS = TrainingSettings(epochs=3, batch_size=5, learning_rate=0.02, device="cpu", schedule="constant")


class Nothing(Config):
    """No options."""


class Log(nn.Module):
    """The logarithm, which is NaN below zero; in evaluation the identity."""

    def __init__(self, config, inputs):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(inputs[0].width))

    def forward(self, features):
        return (features * self.scale).log() if self.training else features


class Root(Log):
    """Finite, but with a gradient that is not: 0 times infinity."""

    def forward(self, features):
        return features + (self.scale * features * 0).abs().sqrt()


class Overflow(Log):
    """NaN in evaluation alone."""

    def forward(self, features):
        return features if self.training else features.log()


COMPONENTS = tuple(Encoder(name, Nothing, module, rule="B c -> B c")
                   for name, module in (("log", Log), ("root", Root), ("overflow", Overflow)))


def graph(use):
    return {"fusionkit": 1, "inputs": {"table": {"vector": [3]}},
            "nodes": {"first": {"use": "encoder.mlp", "from": "table", "with": {"width": 5}},
                      "odd": {"use": use, "from": "table"},
                      "both": {"use": "fusion.concat", "from": ["first", "odd"]},
                      "kind": {"use": "head.classify", "from": "both", "with": {"classes": ["a", "b", "c"]}}}}


def fails(model, folder, cohort=None, **changed):
    with pytest.raises(RunError) as caught:
        fit(model, cohort or Cohort(gaps=False), Cohort(11, 1, gaps=False), SETTINGS.model_copy(update=changed),
            folder)
    return str(caught.value)


class Positive(Cohort):
    """Above zero everywhere but for one number of one case."""

    def __init__(self):
        super().__init__(gaps=False)
        self.tables = self.tables.abs() + 0.1
        self.tables[13, 1] = -0.5


def test_the_node_whose_output_turned_first_is_named(tmp_path):
    text = fails(fusionkit.build(graph("encoder.log"), components=COMPONENTS), tmp_path, Positive())
    assert text.startswith("the loss turned NaN or infinite in epoch 1, step ")
    assert "node 'odd' (encoder.log) at <graph>:" in text
    assert "is the first whose output is not finite; its weights and what it reads are finite" in text
    assert "in 1 of the 5 cases of the batch: 'case 13'" in text or "in 1 of the 3 cases" in text
    assert "the learning rate was 0.02" in text and "'learning_rate' (0.002)" in text
    assert "no state had been saved" in text


def test_it_is_found_in_any_batch_of_a_step_and_after_good_epochs(tmp_path):
    model, cohort = fusionkit.build(graph("encoder.log"), components=COMPONENTS), Positive()
    cohort.tables[13, 1] = 0.5

    def spoil(epoch, step, steps, loss):
        if (epoch, step) == (2, 1):
            cohort.tables[:, 1] = -1.0

    with pytest.raises(RunError) as caught:
        fit(model, cohort, None, SETTINGS.model_copy(update={"accumulate": 2}), tmp_path, progress=spoil)
    assert "in epoch 2, step " in str(caught.value) and "node 'odd'" in str(caught.value)
    assert f"the last good state is in '{tmp_path / 'last'}'" in str(caught.value)
    kept, tensors = states.read_state(tmp_path / "last")
    assert kept.epoch == 1 and all(value.isfinite().all() for value in tensors.values())


def test_an_input_that_is_not_finite_is_named_with_its_case(tmp_path):
    cohort = Cohort()
    cohort.scans[7, 1, 2, 3] = float("nan")
    text = fails(network(), tmp_path, cohort)
    assert "the input 'scan' is not finite" in text and ": 'case 7'" in text


def test_a_gradient_that_is_not_finite_is_told_with_its_node(tmp_path):
    text = fails(fusionkit.build(graph("encoder.root"), components=COMPONENTS), tmp_path)
    assert text.startswith("the gradient turned NaN or infinite in epoch 1, step 1 of 5, while the loss was finite")
    assert "node 'odd' is the node closest to the loss whose gradient is not finite; also: none" in text


def test_a_loss_that_is_not_finite_over_finite_outputs_is_the_heads(tmp_path):
    class Far(Cohort):
        def __getitem__(self, index):
            case = super().__getitem__(index)
            if index == 5:
                case["targets"]["size"] = torch.full((1,), 3e38)  # finite, and its square is not
            return case

    text = fails(network(), tmp_path, Far(gaps=False))
    assert "the loss of head 'size' is the first that is not finite; its output is" in text
    assert "'case 5'" in text


def test_weights_that_ran_away_are_said_to(tmp_path):
    text = fails(network(), tmp_path, optimiser="sgd", learning_rate=1e30, epochs=9, momentum=0.0)
    assert "the loss turned NaN or infinite" in text or "the gradient turned NaN" in text
    assert "'clip_gradient: 1'" in text


def test_a_validation_that_is_not_finite_stops_the_run(tmp_path):
    text = fails(fusionkit.build(graph("encoder.overflow"), components=COMPONENTS), tmp_path)
    assert text.startswith("the loss turned NaN or infinite in the validation of epoch 1")
    assert "node 'odd' (encoder.overflow)" in text and "learning rate was" not in text
