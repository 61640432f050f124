"""Costs of recurrent layers: those of a long series follow from few steps, and are what running all of them costs."""

from __future__ import annotations

import pytest

from fusionkit.network import measure
from fusionkit.network.recurrent_costs import FewSteps
from fusionkit.planning.plan import Call
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import Bundle, shape_of


@pytest.mark.parametrize("name", ["encoder.lstm", "encoder.gru"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("steps", [2, 3, 11])
def test_costs_are_those_of_all_steps(name: str, layers: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    component = discover().load(name)
    config = component.config.model_validate({"width": 5, "layers": layers})
    call = Call(component, config, (("series", shape_of((steps, 7))),), Bundle(()))
    few = measure.probe(call)

    class Whole(FewSteps):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return function(*args, **(kwargs or {}))

    monkeypatch.setattr(measure, "FewSteps", Whole)
    all_steps = measure.probe(call)
    assert few.shapes == all_steps.shapes
    assert (few.multiply_adds, few.activation_bytes) == (all_steps.multiply_adds, all_steps.activation_bytes)
