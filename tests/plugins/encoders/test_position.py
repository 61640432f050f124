"""Codes of positions: their wavelengths in the unit of the positions."""

from __future__ import annotations

import math

import pytest
import torch
from fusionkit_plugins.encoders.position import Position, PositionConfig
from pydantic import ValidationError

from fusionkit.shapes.layouts import shape_of


def test_sines_and_cosines_run_from_the_shortest_to_the_longest_wavelength() -> None:
    code = Position(PositionConfig(width=6, shortest=2, longest=200), [shape_of((3, 1))])
    found = code(torch.tensor([[[0.0], [0.5], [-50.0]]]))[0]
    assert found[0].tolist() == [0, 0, 0, 1, 1, 1]
    torch.testing.assert_close(found[1], torch.tensor([1.0, math.sin(math.pi / 20), math.sin(math.pi / 200), 0.0,
                                                       math.cos(math.pi / 20), math.cos(math.pi / 200)]))
    torch.testing.assert_close(found[2, [2, 5]], torch.tensor([-1.0, 0.0]), atol=1e-6, rtol=0)


def test_an_odd_width_and_falling_wavelengths_are_refused() -> None:
    for options in ({"width": 5}, {"shortest": 3.0, "longest": 2.0}):
        with pytest.raises(ValidationError):
            PositionConfig.model_validate(options)
