"""What a component is tried on: pairs of primes, few inputs too, small networks where the author gives examples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import gcd, isqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from wrong_components import Adds, Fixed, Linear, Width

from fusionkit.api import ComponentError, Config, Encoder, Fusion, Probes, TensorShape
from fusionkit.testing.checks.declared import Exceptions
from fusionkit.testing.conformance import Kit, check_component
from fusionkit.testing.faults import Fault
from fusionkit.testing.places import place_of_attribute, place_of_forward, place_of_option
from fusionkit.testing.probing.selection import probe_of, probes_of

HERE = Path(__file__).parent


class Keeps(nn.Module):
    def __init__(self, config: Config, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, *features: Tensor) -> tuple[Tensor, ...] | Tensor:
        return features if len(features) > 1 else features[0]


def prime(number: int) -> bool:
    return number > 1 and all(number % part for part in range(2, isqrt(number) + 1))


@pytest.mark.parametrize("rule", ["a: B n c, b: B _ n -> same", "a: B _ ..., b: B _ _... -> same",
                                  "a: B _, b: B _ _ -> same"])
def test_each_free_axis_is_a_prime_and_then_another(rule: str) -> None:
    class Pair(Keeps):
        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
            return a, b

    for probe in probes_of(Fusion("pair", Config, Pair, rule=rule)).accepted:
        first, other = ([size for shape in witness.inputs for size in shape.sizes] for witness in probe.witnesses)
        assert all(map(prime, [*first, *other]))
        assert not any(one == two for one, two in zip(first, other, strict=True))
        batches = [witness.output.batch for witness in probe.witnesses]
        assert all(map(prime, batches))
        assert gcd(*batches) == 1


def test_a_port_of_many_is_tried_with_one_two_three_and_five() -> None:
    probes = probes_of(Fusion("adds", Width, Adds, rule="*features: B w -> B w")).accepted
    assert [(probe.choice.label, len(probe.inputs)) for probe in probes] == [
        ("defaults", 3), ("defaults", 1), ("defaults", 2), ("defaults", 5), ("width=3", 3)]


class Sized(Config):
    """Options of a network that is large by default."""

    width: PositiveInt = Field(8192, examples=[3], description="Width.")
    bias: bool = Field(True, description="Whether there is one.")


class Wide(Config):
    """Options of a network that costs much."""

    bias: bool = Field(True, description="Whether there is one.")


class Large(nn.Module):
    def __init__(self, config: Sized, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs[0].width, config.width), nn.Linear(config.width, config.width))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def test_examples_stand_for_a_large_network() -> None:
    probes = probes_of(Encoder("large", Sized, Large, rule="B _ -> B {width}"))
    assert [probe.choice.label for probe in probes.accepted] == [
        "defaults", "width=3", "width=2", "width=3, bias=False"]
    assert "defaults" not in {probe.choice.label for probe in probes.few}
    assert probes.few[0].choice.label == "width=3"


class Convolved(nn.Module):
    """Costly on volumes; refuses the smallest grids."""

    def __init__(self, config: Wide, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if min(inputs[0].spatial) < 32:
            raise ComponentError("too small", "", "")
        self.layers = nn.Conv3d(inputs[0].width, 128, 3, bias=config.bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).mean((2, 3, 4))


def test_a_costly_network_is_tried_on_small_volumes_in_batches_of_three() -> None:
    component = Encoder("costly", Wide, Convolved, rule="image: B _ d h w -> B 128")
    kit = Kit(component)
    probe, = kit.probes.few
    assert probe.choice.label == "defaults" and probe.cases == 3 and probe.inputs[0].spatial == (32, 33, 34)
    seen = kit.finding("rule").seen
    assert "batches of 3 cases" in seen and "tried by this check only, since it is large: bias=False" in seen


class Broad(Config):
    """Options of a network that costs much on volumes alone."""

    width: PositiveInt = Field(512, description="Width.")


class Convolves(nn.Module):
    """On images and volumes; refuses the smallest grids."""

    def __init__(self, config: Broad, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if min(inputs[0].spatial) < 29:
            raise ComponentError("too small", "", "")
        kind = nn.Conv2d if len(inputs[0].spatial) == 2 else nn.Conv3d
        self.layers = kind(inputs[0].width, config.width, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten(2).mean(2)


def test_where_defaults_are_costly_a_lighter_choice_on_the_same_kind_of_inputs_is_tried() -> None:
    sizes = [((2, 31, 37),), ((1, 29, 31, 37),)]
    component = Encoder("broad", Broad, Convolves, rule="image: B _ ... -> B {width}",
                        probes=Probes(sizes=sizes, together=[{"width": 3}]))
    probes = probes_of(component)
    tried = [(probe.choice.label, probe.inputs[0].layout) for probe in probes.few]
    assert tried[:2] == [("defaults", "image"), ("width=3", "volume")]
    assert ("defaults", "volume") in {(probe.choice.label, probe.inputs[0].layout) for probe in probes.accepted}


class Deep(Config):
    """Options of a network of many operations."""

    layers: PositiveInt = Field(210, description="How many layers.")


class Squashes(nn.Module):
    def __init__(self, config: Deep, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[nn.Tanh() for _ in range(config.layers)])

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def test_of_a_network_of_many_operations_the_smallest_is_traced() -> None:
    probes = probes_of(Encoder("deep", Deep, Squashes, rule="B w -> B w", probes=Probes(together=[{"layers": 2}])))
    assert probes.few[0].choice.label == "defaults"
    assert [(probe.choice.label, probe.operations) for probe in probes.first] == [("layers=2", 2)]


class Halves(Keeps):
    """Maps of a pyramid: each grid is half the one before, rounded up."""

    def __init__(self, config: Config, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs)
        for before, after in pairwise(inputs):
            if tuple(-(-side // 2) for side in before.spatial) != after.spatial:
                raise ComponentError("no pyramid")

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        return maps


def test_pyramids_and_colours_are_guessed() -> None:
    pyramid = probes_of(Fusion("halves", Config, Halves, rule="*maps: B _ _... -> same"))
    assert {len(shape.spatial) for probe in pyramid.accepted for shape in probe.inputs} == {2, 3}
    assert not pyramid.refused

    class Coloured(Keeps):
        def __init__(self, config: Config, inputs: Sequence[TensorShape]) -> None:
            super().__init__(config, inputs)
            if inputs[0].width not in (1, 3):
                raise ComponentError("it takes images of 1 or 3 channels")

        def forward(self, image: Tensor) -> Tensor:
            return image

    probe, = probes_of(Encoder("coloured", Config, Coloured, rule="image: B _ _ _ -> same")).accepted
    assert [witness.inputs[0].width for witness in probe.witnesses] == [3, 1]


def test_one_probe_with_just_these_sizes_has_a_second_run_on_others() -> None:
    probe = probe_of(Encoder("right", Width, Linear, rule="B _ -> B {width}"), {"width": 7}, [(11,)])
    assert [witness.inputs[0].sizes for witness in probe.witnesses] == [(11,), (17,)]
    assert str(probe) == "width=7 on (B 11)"


def test_what_fails_on_the_second_sizes_only_is_found() -> None:
    class Eleven(Keeps):
        def forward(self, features: Tensor) -> Tensor:
            return features.reshape(-1, 5) if features.shape[1] == 5 else features[:, :5]

    finding, = check_component(Encoder("eleven", Config, Eleven, rule="features: B w -> B w"), ["rule"])
    assert finding.result == "failed"
    assert "for a batch of 67 of (B 17) the rule 'features: B w -> B w' says [67, 17]" in finding.seen


def test_exceptions_are_matched_part_by_part() -> None:
    declared = {"gradients: key.*": "one key", "rows": "a sequence", "gradients: none.*": "never"}
    exceptions = Exceptions(declared, "gradients")
    fault = Fault("no gradient reaches {parts}", "fix", parts=("key.bias", "value.bias"))
    left = exceptions.remaining(fault, "defaults")
    assert left is not None
    assert left.text == "no gradient reaches value.bias"
    assert str(exceptions) == "key.bias: one key"
    assert exceptions.unneeded == ["gradients: none.*"]
    exceptions.remaining(Fault("seen", "fix", parts=("key.a", "key.b")), "defaults")
    assert str(exceptions) == "key.* (3 of them): one key"
    assert Exceptions(declared, "rows").remaining(Fault("seen", "fix"), "width=3") is None
    assert Exceptions({"rows: width=*": "why"}, "rows").remaining(Fault("seen", "fix"), "width=3") is None
    assert Exceptions({"rows: width=*": "why"}, "rows").remaining(Fault("seen", "fix"), "defaults") is not None


def line_of(text: str) -> str:
    path = HERE / "wrong_components.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    return f"{path}:{lines.index(text) + 1}"


def test_places_are_those_of_the_thing_at_fault() -> None:
    component: Any = Encoder("right", Width, Linear, rule="B _ -> B {width}")
    assert place_of_option(component, "width") == line_of(
        '    width: PositiveInt = Field(64, description="Width of the result.")')
    assert place_of_attribute(component, "layer.weight") == line_of(
        "        self.layer = nn.Linear(inputs[0].width, config.width)")
    assert place_of_forward(component, Fixed) == line_of("    def forward(self, features: Tensor) -> Tensor:")


def test_the_noise_on_a_weight_is_in_proportion_to_its_spread() -> None:
    class Scaled(nn.Module):
        def __init__(self, config: Config, inputs: Sequence[TensorShape]) -> None:
            super().__init__()
            self.small = nn.Parameter(1e-3 * torch.randn(400, 5))
            self.large = nn.Parameter(1e3 * torch.randn(400, 5))
            self.ones = nn.Parameter(torch.ones(400))
            self.zeros = nn.Parameter(torch.zeros(4, 400))
            self.nothing = nn.Parameter(torch.zeros(0, 3))
            self.single = nn.Parameter(torch.zeros(()))

        def forward(self, features: Tensor) -> Tensor:
            return features

    probe = probe_of(Encoder("scaled", Config, Scaled, rule="features: B w -> same"), {}, [(5,)])
    moved = {name: part.detach() - probe.built.state_dict()[name] for name, part in probe.module().named_parameters()}
    spreads = {name: float(part.std(correction=0)) for name, part in moved.items() if part.numel() > 1}
    assert spreads == pytest.approx({"small": 1e-4, "large": 100, "ones": 0.1, "zeros": 0.1 / 20}, rel=0.1)
    assert float(moved["single"]) != 0


def test_a_hundred_layers_keep_the_size_of_their_numbers() -> None:
    class Deep(nn.Module):
        def __init__(self, config: Config, inputs: Sequence[TensorShape]) -> None:
            super().__init__()
            width = inputs[0].width
            self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(100))
            for layer in self.layers:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

        def forward(self, features: Tensor) -> Tensor:
            for layer in self.layers:
                features = layer(features).relu()
            return features

    probe = probe_of(Encoder("deep", Config, Deep, rule="features: B w -> same"), {}, [(600,)])
    with torch.no_grad():
        assert float(probe.module()(*probe.data(3)).abs().max()) < 1e3
