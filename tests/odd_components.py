"""Components with one fault each, or one rare trait, and a registry that knows them beside the bundled ones."""

from __future__ import annotations

import functools

import torch
from nesting_components import COMPONENTS as NESTING
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Fusion, TensorShape, Vector
from fusionkit.components.component import Component
from fusionkit.registry.catalogue import Entry
from fusionkit.registry.known_packages import KnownPackage
from fusionkit.registry.lookup import Provider, Registry, discover


class Nothing(Config):
    """No options."""


class Width(Config):
    """One option."""

    width: int = 5


class Double(nn.Module):
    """Twice as many columns as it is given; has no weights."""

    def __init__(self, config: Config, inputs: list[TensorShape]) -> None:
        super().__init__()

    def forward(self, *features: Tensor) -> Tensor:
        return torch.cat([features[0], features[0]], 1)


class Refuses(Double):
    def __init__(self, config: Config, inputs: list[TensorShape]) -> None:
        raise ComponentError("it cannot divide 7 features", why="the groups have 2", fix="give it an even width")


class HandsOn(nn.Module):
    """Gives one of its own weights, repeated for each case, to a part of itself, as learned tokens are."""

    def __init__(self, config: Config, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.learned = nn.Parameter(torch.ones(7))
        self.layer = nn.Linear(7, inputs[0].width)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.layer(self.learned.expand(inputs.shape[0], -1))


class Crashes(Double):
    def forward(self, *features: Tensor) -> Tensor:
        raise IndexError("level 3 of a pyramid with 2 levels")


class Pretrained(Config):
    """Whether to fetch weights."""

    pretrained: bool = False


class Fetches(Double):
    def __init__(self, config: Pretrained, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        if config.pretrained:
            raise ComponentError("there is no network")


class Raises(Double):
    def __init__(self, config: Config, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.scale = 1 / 0


class Join(Double):
    """One input of each kind, as published code has it; knows nothing of absence."""

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        return image


class Split(Double):
    """Two members and an auxiliary loss."""

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return features * 2, features * 3, features.mean()


class NoBatch(Double):
    def forward(self, features: Tensor) -> Tensor:
        return features.mean(0)


class AsTuple(Double):
    def forward(self, features: Tensor) -> tuple[Tensor]:
        return (features,)


class AsDict(Double):
    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {"features": features}


class Reader(Double):
    def forward(self, features: Tensor) -> Tensor:
        return features if features.sum().item() == 0 else -features


def crash(config: Config, inputs: list[TensorShape]) -> TensorShape:
    raise KeyError("depth")


def nothing(config: Width, inputs: list[TensorShape]) -> TensorShape:
    return Vector((config.width,))


COMPONENTS: tuple[Component, ...] = (
    Encoder("odd_liar", Width, Double, rule="B c -> B c"),
    Encoder("odd_refuses", Nothing, Refuses, rule="B _ -> ?"),
    Encoder("odd_refuses_late", Nothing, Refuses, rule="B _ -> B 2"),
    Encoder("odd_crashes", Nothing, Crashes, rule="B _ -> ?"),
    Encoder("odd_crashes_late", Nothing, Crashes, rule="B _ -> B 3"),
    Encoder("odd_no_module", Nothing, lambda config, inputs: {}, rule="B _ -> same"),
    Encoder("odd_hands_on", Nothing, HandsOn, rule="B _ -> same"),
    Encoder("odd_raises", Nothing, Raises, rule="B _ -> same"),
    Encoder("odd_pretrained", Pretrained, Fetches, rule="B _ -> same"),
    Encoder("odd_seen", Nothing, Double, rule="B _ -> ?"),
    Encoder("odd_seen_two", Nothing, Split, rule="B _ -> ?"),
    Encoder("odd_reader", Nothing, Reader, rule="B _ -> same"),
    Encoder("odd_no_batch", Nothing, NoBatch, rule="B _ -> same"),
    Encoder("odd_tuple", Nothing, AsTuple, rule="B _ -> same"),
    Encoder("odd_dict", Nothing, AsDict, rule="B _ -> same"),
    Encoder("odd_output", Nothing, Double, rule="B _", output=crash),
    Encoder("odd_six", Nothing, Double, rule="B 6 -> B 12"),
    Encoder("odd_sized", Width, Double, rule="B {width} -> B 12"),
    Encoder("odd_empty", Width, Double, rule="B _ -> B {width}"),
    Encoder("odd_needy", Nothing, Double, rule="B _ -> ?", absent="none"),
    Encoder("odd_split", Nothing, Split, rule="B c -> left: B c, right: B c, loss_gap: ()"),
    Encoder("odd_sink", Nothing, Double, rule="*any: B _ -> B 5 | *any: B _ _ -> B 5 | *any: B _ _... -> B 5"),
    Fusion("odd_join", Nothing, Join, rule="image: B c ..., table: B _ -> B c ..."),
    Fusion("odd_same_grid", Nothing, Join, rule="image: B c ..., table: B c ... -> B c ..."),
    Fusion("odd_pair", Nothing, Join, rule="image: B c, table: B c -> B c"),
    Fusion("odd_pair_skip", Nothing, Join, rule="image: B c, table: B c -> B c", absent="skip"),
)


def entry(name: str, package: str, needs: tuple[str, ...] = ()) -> Entry:
    return Entry(name, package, "odd", "Odd.", "B _ -> ?", "skip", "", "", "", needs)


@functools.cache
def registry() -> Registry:
    """The bundled components, the odd ones, those that hold others, and five ids that cannot be loaded."""
    known = discover(components=(*COMPONENTS, *NESTING)).providers
    one = Provider("one", "acme-one", "1.0", (entry("encoder.odd_twice", "acme-one"),
                                              entry("encoder.odd_poor", "acme-one", ("acme-solver",))),
                   others=(KnownPackage("acme-lungs", ">=0.2,<1", "Lungs.", "https://acme.example",
                                        ("encoder.odd_elsewhere",)),))
    new = Provider("new", "acme-new", "3.0", problem="written for contract >=3; this fusionkit offers 2.0",
                   fix="pip install --upgrade fusionkit", withheld=(entry("encoder.odd_new", "acme-new"),))
    two = Provider("two", "acme-two", "2.0", (entry("encoder.odd_twice", "acme-two"),))
    return Registry((*known, one, two, new))
