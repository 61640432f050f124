"""Inputs that satisfy the rule of a component, and inputs that violate it in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fusionkit.components.component import Component
from fusionkit.shapes.layouts import LAYOUTS, MaskedItems, TensorShape, masked_shape, shape_of
from fusionkit.shapes.rule import Alternative, Axis, Binding, Mismatch, Port, Rule, axis_size
from fusionkit.testing.random_graphs.sizes import features, fitting, grids, shapes

MOST_INPUTS = 4
_MOST_ITEMS = 3
_MAPS = ("map", "any_map")


def bind(ports: Sequence[Port], inputs: Sequence[TensorShape], options: Mapping[str, Any]) -> Binding | Mismatch:
    """The binding of a rule's first ports to as many inputs: the sizes that it fixes for later ports."""
    alone = tuple(replace(port, variadic=False) for port in ports)
    if not alone:
        return Binding(Alternative((), None), (), {}, None)
    return Rule((Alternative(alone, None),)).bind([(f"input {n}", x) for n, x in enumerate(inputs, 1)], options)


def written_out(alternative: Alternative, count: int) -> list[Port]:
    """The ports of an alternative, with a final `*` port repeated `count` times."""
    ports = list(alternative.inputs)
    return ports[:-1] + [ports[-1]] * count if ports[-1].variadic else ports


def one_form(port: Port) -> st.SearchStrategy[Port]:
    """The port with one of the forms that it takes."""
    return st.sampled_from(port.choices) if port.others else st.just(port)


@st.composite
def port_shapes(draw: DrawFn, port: Port, known: Binding, options: Mapping[str, Any],
                scale: int | None = None) -> TensorShape:
    """A shape that fits a port after earlier ports are bound."""
    axes = port.axes or ()
    written = len(axes) - 1 if len(axes) > 2 and not _ranks(port) else 0  # a rule may state the grid axis by axis
    fixed = known.spatial if any(axis.kind == "map" for axis in axes) else None
    rank = written or (draw(st.sampled_from(_ranks(port))) if _ranks(port) and not fixed else 0)
    grid = fixed or (draw(grids(rank, scale)) if rank else ())
    sizes: list[int] = []
    for place, axis in enumerate(axes):
        if axis.kind in _MAPS:
            sizes.extend(grid)
        else:
            free = grid[place - 1] if written and place else fitting(draw(features()), grid)
            sizes.append(_fixed(axis, known, options) or free)
    if port.of_items:
        return MaskedItems((min(sizes[0], _MOST_ITEMS), *sizes[1:]), ("items",))
    return masked_shape(tuple(sizes), (port.layout,), port.layout) if port.layout else shape_of(tuple(sizes))


def _ranks(port: Port) -> tuple[int, ...]:
    """The numbers of spatial axes that the `...` of a port may match; empty where it has none."""
    if not any(axis.kind in _MAPS for axis in port.axes or ()):
        return ()
    beside = len(port.axes or ()) - 1 - port.of_items
    return tuple(rank for rank in (2, 3) if beside + rank <= len(LAYOUTS["volume"].axes))


def _fixed(axis: Axis, known: Binding, options: Mapping[str, Any]) -> int | None:
    if axis.kind == "name":
        return known.sizes.get(str(axis.value))
    return axis_size(axis, options) if axis.kind in ("size", "option") else None


@st.composite
def accepted(draw: DrawFn, component: Component, options: Mapping[str, Any]) -> tuple[TensorShape, ...]:
    """Shapes that fit the rule; `options` are checked and complete. A component may still refuse the shapes."""
    alternative = draw(st.sampled_from(component.parsed.alternatives))
    ports = [draw(one_form(port)) for port in written_out(alternative, draw(st.integers(1, MOST_INPUTS)))]
    found: list[TensorShape] = []
    for place, port in enumerate(ports):
        known = bind(ports[:place], found, options)
        assert isinstance(known, Binding), f"{component.id}: {known}; please report"
        found.append(draw(port_shapes(port, known, options)))
    return tuple(found)


def takes_all(component: Component) -> bool:
    """Whether its rule binds any number of inputs of every drawn layout and size: no drawn input violates it."""
    first, *more = component.parsed.alternatives[0].inputs
    if more or not first.others or any(axis.kind == "option" for form in first.choices for axis in form.axes or ()):
        return False
    shapes = [shape_of((size,) * rank) for rank in range(1, len(LAYOUTS) + 1) for size in (3, 5)]
    return isinstance(component.parsed.bind([(f"input {n}", x) for n, x in enumerate(shapes, 1)], {}), Binding)


@dataclass(frozen=True)
class Violation:
    """Shapes of which one violates a rule, and the rule's message."""

    shapes: tuple[TensorShape, ...]
    mismatch: Mismatch


@st.composite
def violating(draw: DrawFn, component: Component, options: Mapping[str, Any]) -> Violation:
    """Shapes that fit the rule but for one: another layout, another size, one too many or one too few."""
    good = list(draw(accepted(component, options)))
    place = draw(st.integers(0, len(good) - 1))
    change = draw(st.sampled_from(("layout", "size", "more", "fewer")))
    if change == "layout":
        good[place] = draw(shapes([name for name in LAYOUTS if name != good[place].layout]))
    elif change == "size":
        good[place] = _resized(good[place], draw(st.integers(0, 3)))
    elif change == "more":
        good.append(draw(shapes()))
    else:
        del good[place]
    mismatch = component.parsed.bind([(f"input {n}", x) for n, x in enumerate(good, 1)], options) if good else None
    assume(isinstance(mismatch, Mismatch))
    assert isinstance(mismatch, Mismatch)
    return Violation(tuple(good), mismatch)


def _resized(shape: TensorShape, axis: int) -> TensorShape:
    """The shape with another size on one axis."""
    sizes = list(shape.sizes)
    sizes[axis % len(sizes)] += 1
    return replace(shape, sizes=tuple(sizes))
