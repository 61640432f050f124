"""encoder.kan: what a layer computes, starts with, keeps, moves and warns of."""

from __future__ import annotations

import copy
import pickle
import warnings
from itertools import pairwise
from typing import Any

import pytest
import torch
from fusionkit_plugins.blocks.splines import Recursion
from fusionkit_plugins.encoders.kan import KAN, KANConfig, KANLayer, component
from pydantic import ValidationError
from scipy.interpolate import BSpline
from torch import Tensor, nn

from fusionkit.shapes.layouts import shape_of


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        yield


def make(sizes: tuple[int, ...], **options: Any) -> KAN:
    return KAN(KANConfig.model_validate(options), [shape_of(sizes)]).eval()


def layer(inputs: int, outputs: int, **options: Any) -> KANLayer:
    made = make((inputs,), width=outputs, **options).layers[0]
    assert isinstance(made, KANLayer)
    return made


def inside(*sizes: int) -> Tensor:
    return 2 * torch.rand(*sizes) - 1


def numbers(module: nn.Module) -> int:
    return sum(part.numel() for part in module.parameters())


def count_stored(module: nn.Module) -> int:
    return sum(part.numel() for part in module.state_dict().values())


@pytest.mark.parametrize(("options", "order"), [({}, 3), ({"intervals": 8, "order": 2, "range": [-2.0, 2.0]}, 2)])
def test_a_layer_is_the_sum_of_its_splines(options: dict[str, Any], order: int):
    """Against SciPy, one pair after the other, in float64; beyond the last knots only the base function is left."""
    kan = layer(3, 5, **options).double()
    x = torch.cat([4 * torch.randn(40, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)])
    wanted = torch.zeros(41, 5, dtype=torch.float64)
    for i in range(3):
        for o in range(5):
            spline = BSpline(kan.grid[i].numpy(), kan.coef[:, i, o].detach().numpy(), order)
            t = torch.cat([kan.grid[i, :1], kan.grid[i, -1:]])
            value = Recursion(kan.grid[i].unsqueeze(1), order).values(x[:, i : i + 1]).squeeze(2) @ kan.coef[:, i, o]
            middle = (x[:, i] >= kan.config.range[0]) & (x[:, i] < kan.config.range[1])
            torch.testing.assert_close(value[middle].detach(), torch.tensor(spline(x[middle, i].numpy())))
            beyond = (x[:, i] < t[0]) | (x[:, i] >= t[1])
            assert beyond.any() and not value[beyond].any()
            wanted[:, o] += (kan.scale_base[i, o] * nn.functional.silu(x[:, i]) + kan.scale_sp[i, o] * value).detach()
    torch.testing.assert_close(kan(x).detach(), wanted, rtol=0, atol=1e-12)


def test_curves_are_the_terms_of_the_sum():
    kan = layer(3, 5, sparse=True, base="tanh")
    x = inside(7, 3)
    parts, splines = kan.curves(x)
    assert parts.shape == splines.shape == (7, 5, 3)
    torch.testing.assert_close(parts.sum(2), kan(x))


def test_parameters_are_those_of_the_specification():
    made = make((7,), width=24)
    assert numbers(made) == 1680
    assert count_stored(made) == 1932
    assert numbers(make((7,), width=24, hidden=[13])) == 10 * (7 * 13 + 13 * 24)
    assert numbers(make((7,), width=24, base="none")) == 1680 - 168


def test_the_start_is_fitted_to_the_noise():
    kan = layer(7, 24)
    ends = kan.grid[:, 3:-3].t()
    values = torch.einsum("pji,jio->pio", Recursion(kan.grid.t(), 3).values(ends), kan.coef)
    assert values.abs().max() <= 0.05 + 1e-6
    assert values.abs().mean().item() == pytest.approx(0.025, rel=0.15)
    # The fit in float32 would give coefficients about three times as large.
    assert kan.coef.abs().max() < 0.15
    assert kan.scale_base.abs().max() <= 7**-0.5
    assert (kan.scale_sp == 1).all()
    assert torch.allclose(layer(9, 4, scale_sp_init="fan_in").scale_sp, torch.tensor(1 / 3))
    assert not layer(7, 24, noise=0.0).coef.any()
    shifted = layer(16, 4, scale_base_mean=2.0, scale_base_spread=0.5).scale_base
    assert ((shifted >= 0.375) & (shifted <= 0.625)).all()


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 7), (7, 3), (5, 5), (2, 4), (1, 6)])
def test_sparse_layers_join_nearest_places(inputs: int, outputs: int):
    here = (torch.arange(inputs) + 0.5) / inputs
    there = (torch.arange(outputs) + 0.5) / outputs
    away = (here.unsqueeze(1) - there).abs()
    wanted = torch.zeros(inputs, outputs)
    wanted[torch.arange(inputs), away.argmin(1)] = 1
    wanted[away.argmin(0), torch.arange(outputs)] = 1
    found = layer(inputs, outputs, sparse=True)
    assert torch.equal(found.mask, wanted)
    blind = found.mask[0] == 0
    x = inside(5, inputs).requires_grad_()
    assert not torch.autograd.grad(found(x)[:, blind].sum(), x)[0][:, 0].any()


def test_squashing_brings_everything_into_the_range():
    kan, open_ended = layer(3, 5, squash=True, range=[0.0, 4.0]), layer(3, 5, range=[0.0, 4.0])
    open_ended.load_state_dict(kan.state_dict())
    x = 50 * torch.randn(11, 3)
    torch.testing.assert_close(kan(x), open_ended(2 + 2 * torch.tanh((x - 2) / 2)))


def test_knots_follow_the_samples_and_values_stay():
    kan = layer(2, 5).double()
    x = torch.cat([inside(60, 1) ** 3, torch.full((60, 1), 0.5)], 1).double()
    before, knots, coefficients = kan(x), kan.grid.clone(), kan.coef.detach().clone()
    kan.update_grid(x)
    torch.testing.assert_close(kan(x), before, rtol=0, atol=2e-2)
    shares = torch.histogram(x[:, 0], kan.grid[0, 3:-3]).hist / 60
    assert ((shares > 0.1) & (shares < 0.3)).all(), "about a fifth of the samples in each interval"
    assert torch.equal(kan.grid[1], knots[1]), "an input that never varies keeps its knots"
    assert torch.equal(kan.coef[:, 1], coefficients[:, 1])
    with pytest.raises(ValueError, match="not finite"):
        kan.update_grid(torch.full((5, 2), float("nan")))


def test_a_linear_continuation_is_kept_by_a_wider_grid():
    """Where the new grid reaches beyond the old one, the splines keep what they continued with."""
    kan = layer(1, 3, outside="linear").double()
    x = torch.linspace(-3, 3, 90, dtype=torch.float64).unsqueeze(1)
    before = kan(x)
    kan.update_grid(x)
    torch.testing.assert_close(kan(x), before, rtol=0, atol=0.05)


def test_all_layers_move_in_turn():
    made = make((4, 3), width=5, hidden=[2])
    x = inside(30, 4, 3)
    made.update_grid(x)
    hidden = made.layers[0](x.flatten(0, 1))
    torch.testing.assert_close(made.layers[1].grid[:, 3], hidden.min(0).values)
    torch.testing.assert_close(made.layers[1].grid[:, -4], hidden.max(0).values)


def test_knots_move_in_the_first_steps_of_training():
    kan, still = layer(2, 3, update_every=3, update_steps=5).train(), layer(2, 3, update_every=3).eval()
    grids = []
    for _ in range(9):
        kan(inside(50, 2))
        grids.append(kan.grid.clone())
    assert [bool((one != other).any()) for one, other in pairwise(grids)] == [
        False, False, True, False, False, False, False, False]
    assert int(kan.steps) == 9
    again = layer(2, 3, update_every=3, update_steps=5).train()
    again.load_state_dict(kan.state_dict())
    again(0.5 * inside(50, 2))
    assert torch.equal(again.grid, kan.grid), "a run that goes on counts on"
    before = still.grid.clone()
    still(inside(50, 2))
    assert torch.equal(before, still.grid)


def test_moved_knots_and_lost_pairs_come_with_the_weights():
    kan, x = layer(3, 5), inside(9, 3)
    kan.update_grid(inside(40, 3))
    kan.mask[1, 2] = 0
    kan.load_state_dict(kan.state_dict())
    fresh = layer(3, 5)
    fresh.load_state_dict(kan.state_dict())
    torch.testing.assert_close(fresh(x), kan(x))
    torch.testing.assert_close(fresh.curves(x)[0].sum(2), kan(x))
    for twin in (copy.deepcopy(kan), pickle.loads(pickle.dumps(kan))):
        assert torch.equal(twin(x), kan(x))


@pytest.mark.parametrize("moved", [False, True])
def test_knots_keep_their_digits(moved: bool):
    kan = layer(3, 5)
    if moved:
        kan.update_grid(inside(40, 3))
    exact = kan.grid.clone()
    assert torch.equal(kan.bfloat16().grid, exact)
    assert kan.coef.dtype == torch.bfloat16
    double = kan.double().grid
    torch.testing.assert_close(double.float(), exact, rtol=0, atol=1e-7)
    assert moved or torch.equal(double[0], -1 + 0.4 * torch.arange(-3, 9, dtype=torch.float64))
    with torch.device("meta"):
        empty = layer(3, 5)
    assert torch.equal(empty.to_empty(device="cpu").grid, layer(3, 5).grid)


def told(kan: nn.Module, x: Tensor) -> list[str]:
    """The component's own warnings: the compiler has others, by version."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kan(x)
    return [str(one.message) for one in caught if "encoder.kan" in str(one.message)]


def test_inputs_outside_the_grid_are_told_of_once():
    kan = make((4,), width=3).train()
    x = torch.cat([inside(3, 4), torch.full((1, 4), 1.01)])
    assert told(kan.eval(), x) == []
    (message,) = told(kan.train(), x)
    assert message == ("encoder.kan: 25 % of the inputs of layer 0 are outside its grid, where its splines fade to "
                       "zero; scale them into 'range', widen it, or set 'squash'")
    assert told(kan.eval().train(), x) == []
    assert told(make((4,), width=3, squash=True).train(), x) == []
    assert "straight lines" in told(make((4,), width=3, outside="linear").train(), x)[0]


def test_one_batch_of_each_epoch_is_looked_at():
    kan = make((4,), width=3).train()
    assert told(kan, inside(5, 4)) == []
    assert told(kan, 5 * torch.ones(5, 4)) == []
    assert told(kan.train(), 5 * torch.ones(5, 4)) == []
    assert len(told(kan.eval().train(), 5 * torch.ones(5, 4))) == 1


@pytest.mark.parametrize("options", [{}, {"order": 2}, {"update_every": 2}], ids=str)
def test_training_compiles_as_one_graph(options: dict[str, Any]):
    made = make((4,), width=3, **options).train()
    x = 3 * torch.randn(6, 4)
    torch._dynamo.reset()
    compiled = torch.compile(made, fullgraph=True, backend="eager", dynamic=False)
    assert told(compiled, x) == []
    torch.testing.assert_close(compiled(x), made.eval()(x))


def test_options_that_do_not_go_together_are_refused():
    with pytest.raises(ValidationError, match="its first number must be the smaller one"):
        KANConfig(range=[1.0, 1.0])
    with pytest.raises(ValidationError):
        KANConfig(range=[1.0])
    assert component.id == "encoder.kan"
