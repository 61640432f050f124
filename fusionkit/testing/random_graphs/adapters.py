"""Steps between two parts that do not fit: pooling, a projection, learned imputation for inputs that may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.components.component import Component
from fusionkit.shapes.layouts import TensorShape
from fusionkit.shapes.rule import Axis, Binding, Port, axis_size
from fusionkit.testing.random_graphs.draft import ComponentUse, Stream
from fusionkit.testing.random_graphs.menu import Menu

_POOL, _PROJECT = "encoder.pool", "encoder.project"


def adapted(menu: Menu, component: Component, stream: Stream, port: Port, known: Binding,
            *, options: Mapping[str, Any]) -> list[ComponentUse] | None:
    """Steps after which a tensor may fit a port, empty where none are needed; None where it cannot fit."""
    steps: list[ComponentUse] = []
    if stream.optional and component.absent == "none":
        if menu.filler is None:
            return None
        steps.append((menu.filler, {}))
    layout = _layout(stream.shape, port)
    if layout is None:
        return None
    if layout != stream.shape.layout:
        steps.append((_POOL, {} if layout == "vector" else {"to": "tokens"}))
    width = _width(port, known, options)
    if width is not None and width != stream.shape.width:
        steps.append((_PROJECT, {"width": width}))
    return steps if all(menu.has(use) for use, _ in steps) else None


def _layout(shape: TensorShape, port: Port) -> str | None:
    """The layout to which a tensor can be converted for a port."""
    axes = port.axes or ()
    if any(axis.kind in ("map", "any_map") for axis in axes):
        return shape.layout if shape.spatial else None
    wanted = {1: "vector", 2: "tokens", 3: "image", 4: "volume"}.get(len(axes))
    reachable = {shape.layout} | ({"vector"} if shape.layout != "vector" else set())
    return wanted if wanted in reachable | ({"tokens"} if shape.spatial else set()) else None


def _width(port: Port, known: Binding, options: Mapping[str, Any]) -> int | None:
    """The number of features that a port requires, if any."""
    axes = port.axes or ()
    axis: Axis = axes[1] if len(axes) == 2 and axes[1].kind not in ("map", "any_map") else axes[0]
    if axis.kind == "name":
        return known.sizes.get(str(axis.value))
    return axis_size(axis, options) if axis.kind in ("size", "option") else None
