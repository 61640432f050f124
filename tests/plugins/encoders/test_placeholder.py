"""The learned stand-in for an absent input, and dropout."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.encoders.dropout import Dropout, DropoutConfig
from fusionkit_plugins.encoders.placeholder import Placeholder, PlaceholderConfig, component

from fusionkit.components.component import Fusion
from fusionkit.components.config import ContractError
from fusionkit.shapes.layouts import Image, TensorShape, Tokens, Vector, Volume

SHAPES = [Vector((5,)), Tokens((7, 5)), Image((5, 3, 7)), Volume((5, 2, 3, 7))]
PRESENT = torch.tensor([[True], [False], [True]])


def make(shape: TensorShape) -> Placeholder:
    torch.manual_seed(0)
    return Placeholder(PlaceholderConfig(), [shape])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_absent_rows_become_the_stand_in_and_present_rows_stay(shape: TensorShape) -> None:
    module, x = make(shape), torch.rand(3, *shape.sizes)
    x[1] = float("nan")
    given = module(x, present=PRESENT)
    assert torch.equal(given[0::2], x[0::2])
    assert torch.equal(given[1], module.stand_in.expand(shape.sizes))


def test_maps_have_one_number_a_channel_and_tokens_one_each() -> None:
    assert [tuple(make(shape).stand_in.shape) for shape in SHAPES] == [(5,), (7, 5), (5, 1, 1), (5, 1, 1, 1)]


def test_gradients_go_to_the_stand_in_from_absent_rows_alone() -> None:
    module, x = make(SHAPES[0]), torch.rand(3, 5, requires_grad=True)
    module(x, present=PRESENT).sum().backward()
    assert module.stand_in.grad.tolist() == [1.0] * 5
    assert x.grad.sum(1).tolist() == [5.0, 0.0, 5.0]


def test_with_everything_present_it_is_the_identity_and_takes_part_with_a_zero_gradient() -> None:
    module, x = make(SHAPES[2]), torch.rand(3, 5, 3, 7)
    given = module(x)
    given.sum().backward()
    assert torch.equal(given, x)
    assert module.stand_in.grad is not None
    assert not module.stand_in.grad.any()


def test_it_starts_where_the_option_says() -> None:
    assert make(Vector((997,))).stand_in.std().item() == pytest.approx(0.02, rel=0.1)
    assert not Placeholder(PlaceholderConfig(start="zeros"), [SHAPES[0]]).stand_in.any()


def test_only_encoders_stand_in() -> None:
    assert component.absent == "fill"
    with pytest.raises(ContractError, match="only an encoder"):
        Fusion("a", PlaceholderConfig, Placeholder, rule="B _ -> same", absent="fill")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", ["elementwise", "channel"])
def test_dropout_zeroes_at_its_rate_and_keeps_the_mean(shape: TensorShape, mode: str) -> None:
    torch.manual_seed(0)
    module = Dropout(DropoutConfig(rate=0.25, mode=mode), [shape])
    ones = torch.ones(499, *shape.sizes)
    given = module(ones)
    assert given.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (given == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(module.eval()(ones), ones)


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_channel_dropout_drops_a_feature_at_all_positions(shape: TensorShape) -> None:
    torch.manual_seed(0)
    given = Dropout(DropoutConfig(rate=0.5, mode="channel"), [shape])(torch.ones(31, *shape.sizes))
    features = given.transpose(1, 2) if shape.layout == "tokens" else given.flatten(2)
    assert torch.equal(features.amin(2), features.amax(2))
    assert features.amax(2).unique().numel() == 2


def mean_of(shape: TensorShape) -> Placeholder:
    return Placeholder(PlaceholderConfig(value="mean"), [shape]).train()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_mean_is_that_of_the_present_rows_of_training(shape: TensorShape) -> None:
    module, x = mean_of(shape), torch.rand(3, *shape.sizes)
    x[1] = float("nan")
    given = module(x, present=PRESENT)
    wanted = x[0::2].mean(0)
    if shape.spatial:
        wanted = wanted.flatten(1).mean(1).reshape(-1, *([1] * len(shape.spatial)))
    torch.testing.assert_close(module.stand_in, wanted)
    torch.testing.assert_close(given[1], wanted.expand(shape.sizes))
    assert not list(module.parameters())


def test_a_mean_averages_ten_steps_and_then_follows() -> None:
    module = mean_of(SHAPES[0])
    for step in range(10):
        module(torch.full((2, 5), float(step)))
    torch.testing.assert_close(module.stand_in, torch.full((5,), 4.5))
    module(torch.full((2, 5), 14.5))
    torch.testing.assert_close(module.stand_in, torch.full((5,), 5.5))


def test_a_mean_stays_in_evaluation_and_where_nothing_is_present() -> None:
    module = mean_of(SHAPES[0])
    module(torch.ones(3, 5), present=PRESENT)
    before = module.stand_in.clone()
    module(torch.full((3, 5), float("nan")), present=torch.zeros(3, 1, dtype=torch.bool))
    module.eval()(torch.full((3, 5), 7.0))
    assert torch.equal(module.stand_in, before)
    assert module.steps.item() == 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_prototype_is_the_centre_of_the_largest_cluster(shape: TensorShape) -> None:
    torch.manual_seed(0)
    module = Placeholder(PlaceholderConfig(value="prototype", prototypes=3), [shape])
    module.train()
    places = torch.tensor([0.0, 10.0, 10.0, -10.0, 0.0, 10.0, 10.0])
    for _ in range(5):
        x = places.reshape(-1, *[1] * len(shape.sizes)) + 0.1 * torch.randn(7, *shape.sizes)
        x[4] = float("nan")
        module(x, present=torch.tensor([[True]] * 4 + [[False]] + [[True]] * 2))
    given = module.eval()(torch.full((2, *shape.sizes), float("nan")), present=torch.tensor([[False], [False]]))
    torch.testing.assert_close(given, torch.full_like(given, 10.0), atol=0.3, rtol=0)
    assert not [*module.parameters()]


def test_a_prototype_learns_nothing_from_batches_without_a_row() -> None:
    module = Placeholder(PlaceholderConfig(value="prototype", prototypes=2), [SHAPES[0]]).train()
    module(torch.full((3, 5), float("nan")), present=torch.zeros(3, 1, dtype=torch.bool))
    assert module.steps == 0 and not module.centres.any()
    module(torch.arange(15.0).reshape(3, 5), present=PRESENT)
    assert module.steps == 1 and module.centres.isfinite().all()
