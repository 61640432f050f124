"""Changes of colour, of brightness over the case and of sharpness, by numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fusionkit.api import Transform
from fusionkit.registry.lookup import discover


def applied(name: str, options: Mapping[str, Any], values: Tensor, **drawn: float) -> Tensor:
    component = discover().load(f"transform.{name}", of=Transform)
    method = component.module(component.config.model_validate(options))
    numbers = {key: torch.full((len(values),), number) for key, number in drawn.items()}
    return method.apply(values, numbers, lambda: torch.zeros_like(values))


def colours(*parts: float) -> Tensor:
    return torch.tensor(parts, dtype=torch.float32).reshape(1, 3, 1, 1)


def test_a_third_of_the_circle_turns_red_to_green_and_grey_stays() -> None:
    third = 2 * np.pi / 3
    turn = {"along": np.cos(third), "across": np.sin(third) / np.sqrt(3)}
    assert torch.allclose(applied("hue", {}, colours(1, 0, 0), **turn), colours(0, 1, 0), atol=1e-6)
    assert torch.allclose(applied("hue", {}, colours(0.4, 0.4, 0.4), **turn), colours(0.4, 0.4, 0.4))


def test_no_saturation_is_grey() -> None:
    assert torch.allclose(applied("saturation", {}, colours(1, 0, 0), factor=0.0), colours(0.299, 0.299, 0.299))
    assert torch.allclose(applied("saturation", {}, colours(0.2, 0.5, 0.9), factor=1.0), colours(0.2, 0.5, 0.9))


def test_a_stain_is_made_stronger_by_itself() -> None:
    haematoxylin = np.array([0.65, 0.70, 0.29]) / np.linalg.norm([0.65, 0.70, 0.29])
    section = torch.from_numpy(np.exp(-0.8 * haematoxylin)).float().reshape(1, 3, 1, 1)
    none = {f"{word}{stain}": float(word == "factor") for stain in range(3) for word in ("factor", "shift")}
    assert torch.allclose(applied("stain", {}, section, **none), section, atol=1e-6)
    double = applied("stain", {}, section, **none | {"factor0": 2.0})
    assert torch.allclose(double, section ** 2, atol=1e-5)
    assert torch.allclose(applied("stain", {}, section, **none | {"factor1": 2.0}), section, atol=1e-5)
    # What is not 0..1 is moved as far as the nearest colour that is.
    white = applied("stain", {}, torch.ones(1, 3, 1, 1), **none | {"shift0": 0.1})
    assert torch.allclose(applied("stain", {}, torch.full((1, 3, 1, 1), 3.0), **none | {"shift0": 0.1}), white + 2)


def test_a_bias_field_multiplies_by_the_exponential_of_its_polynomial() -> None:
    component = discover().load("transform.bias_field", of=Transform)
    terms = component.module(component.config()).draw(_Half())
    assert len(terms) == 19 and set(terms.values()) == {0.0}
    only = dict.fromkeys(terms, 0.0) | {"d0h0w1": 0.3, "d0h1w1": 0.2}
    made = applied("bias_field", {}, torch.tensor([0.0, 1, 1, 1, 1, 1]).reshape(1, 1, 2, 3), **only)
    assert torch.allclose(made[0, 0, 1], torch.tensor([-0.5, 0, 0.5]).exp()) and made[0, 0, 0, 0] == 0
    assert torch.allclose(made[0, 0, 0, 2], torch.tensor(0.1).exp())


class _Half:
    """Draws the middle of every range."""

    def between(self, low: float, high: float) -> float:
        return (low + high) / 2


def test_sharpening_adds_what_a_blur_takes_away() -> None:
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    made = applied("sharpen", {}, point, share=0.5)
    assert made[0, 0, 4, 4] > 1.4 and made.min() < 0
    assert made.sum() == pytest.approx(1, abs=1e-5)


def test_whole_degrees_are_drawn_to_both_ends() -> None:
    component = discover().load("transform.rotate", of=Transform)
    method = component.module(component.config.model_validate({"degrees": [15.0, 0.0, 0.0], "whole": True}))
    found = [method.move(_At(number), [4.0, 4.0, 4.0]).linear for number in (0.0, 0.5, 1 - 1e-12)]
    degrees = [float(np.rad2deg(np.arctan2(turn[1, 0], turn[0, 0]))) for turn in found]
    assert degrees == pytest.approx([-15, 0, 15])


class _At:
    """Draws one place of every range."""

    def __init__(self, number: float) -> None:
        self.number = number

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.number


@pytest.mark.parametrize(("name", "options", "wanted"), [
    ("dermoscopy", {}, {"rotate": {"degrees": [180, 0, 0]}, "zoom": {"factor": [0.8, 1.25]}, "hue": {"turn": 0.02},
                        "flip": {"axis": "lr"}, "flip_ud": {"chance": 0.5}, "saturation": {"factor": [0.8, 1.2]}}),
    ("histology", {"strength": 2}, {"stain": {"factor": [0.95 ** 2, 1.05 ** 2], "shift": 0.02}, "hue": None,
                                    "rotate": {"degrees": [180, 0, 0]}}),
    ("mammo", {}, {"flip": {"chance": 0.5}, "shift": {"share": 0.05}, "noise": {"sd": [0, 0.02]}}),
    ("fundus", {}, {"rotate": {"degrees": [15, 0, 0]}, "flip": None, "gamma": {"power": [0.8, 1.25]}}),
    ("oct", {}, {"rotate": {"degrees": [5, 0, 0]}, "flip": {"axis": "lr"}, "flip_ud": None, "speckle": {"sd": 0.1}}),
    ("ultrasound", {}, {"gamma": {"power": [0.7, 1.5]}, "flip": {"axis": "lr"}, "flip_ud": None}),
    ("drifa", {"pictures": "ct"}, {"rotate": {"degrees": [5, 0, 0]}, "shift": {"mm": 5}}),
    ("mr", {}, {"bias_field": {"size": 0.3, "chance": 0.2}}),
    ("mmcaf", {}, {"rotate": {"degrees": [15, 0, 0], "whole": True}, "flip": {"chance": 0.5}}),
])
def test_presets_have_these_numbers(name: str, options: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    component = discover().load(f"transform.{name}", of=Transform)
    made = component.module(component.config.model_validate(options))
    for transform, numbers in wanted.items():
        if numbers is None:
            assert transform not in made
        for option, value in (numbers or {}).items():
            assert made[transform][option] == (pytest.approx(value) if isinstance(value, float | list) else value)
