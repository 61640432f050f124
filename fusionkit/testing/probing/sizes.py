"""Sizes for the inputs of a rule: two sets, with a different prime for each free axis, and others in the second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, cycle, islice
from math import prod
from typing import Any

from fusionkit.components.component import Component
from fusionkit.shapes.layouts import TensorShape, masked_shape, shape_of
from fusionkit.shapes.rule import Alternative, Axis, Port, axis_size
from fusionkit.testing.probing.options import Choice

Shapes = tuple[TensorShape, ...]
_Grids = Mapping[int, Sequence[tuple[int, ...]]]
_FEATURES = ((5, 19, 23, 29, 31, 43, 47, 53, 59), (17, 37, 41, 61, 71, 73, 79, 83, 89))
_DIVISIBLE = ((24, 48, 72, 96), (48, 72, 96, 24))
_SMALL_GRIDS: _Grids = {2: ((7, 11), (13, 3), (11, 7)), 3: ((3, 7, 11), (7, 2, 13), (11, 3, 7))}
_GRIDS: _Grids = {2: ((37, 41), (17, 43), (31, 29)), 3: ((7, 11, 13), (13, 7, 17), (11, 13, 7))}
_SMALLEST = {2: (11, 13), 3: (5, 7, 11)}
_SMALLER = ({2: (32, 33), 3: (32, 33, 34)}, {2: (32, 32), 3: (32, 32, 32)})
_LARGE_GRIDS: _Grids = {2: ((79, 83), (89, 97)), 3: ((37, 41, 43), (41, 47, 37))}
_STRIDED_GRIDS: _Grids = {2: ((64, 96), (96, 32), (32, 64)), 3: ((32, 64, 32), (64, 32, 32), (32, 32, 64))}
"""Multiples of 32, which patches and strides divide."""
_CHANNELS = ((3,), (1,))
_NUMBERS, _FEW = (1, 2, 3, 5), 2
"""How many inputs a `*` port is tried with; with one or many of them only the check `rule` runs."""
_MOST_ITEMS = 5
_PRIMES = (17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59)


@dataclass(frozen=True)
class InputLayout:
    """One way to use a component: `sizes` holds candidates for the inputs, and others in the same order.

    `extra` layouts are optional: a component that refuses them is not reported. With `brief` only the check `rule`
    uses it.
    """

    name: str
    sizes: tuple[Sequence[Shapes], Sequence[Shapes]]
    extra: bool = False
    brief: bool = False


@dataclass(frozen=True)
class _Scheme:
    """How sizes are chosen: a separate one for every `_`, or equal ones in the same place; which numbers; how large.

    With `pyramid` each further map has half the grid of the one before it, rounded up.
    """

    grids: _Grids
    shared: bool = False
    features: tuple[tuple[int, ...], tuple[int, ...]] = _FEATURES
    pyramid: bool = False


def layouts(component: Component, choice: Choice, every: bool = False) -> Iterator[InputLayout]:
    """Every alternative of the rule, maps as images and as volumes, and the sizes that the component declares.

    With `every`, a `*` port also with other numbers of inputs. With one input there is nothing to attend to, compare
    or weight, and parts of a component may be unused.
    """
    schemes, options = _schemes(component.kind), dict(choice.config)
    for alternative in _single_forms(component):
        axes = [axis for whole in alternative.inputs for port in whole.choices for axis in port.axes or ()]
        mapped = any(axis.kind in ("map", "any_map") for axis in axes)
        written = ", ".join(map(str, alternative.inputs))
        usual, numbers = _repeated(alternative)
        for rank, kind in ((2, " as images"), (3, " as volumes")) if mapped else ((0, ""),):
            name = f"'{written}'{kind}"
            yield InputLayout(name, _candidates(usual, rank, schemes, options))
            for number, ports in numbers.items() if every else ():
                yield InputLayout(f"{name}, {number} of the last", _candidates([ports], rank, schemes, options),
                                  extra=True, brief=number != _FEW)
    yield from _declared(component)


def _single_forms(component: Component) -> Iterator[Alternative]:
    """The alternatives of the rule, one for each form of the ports that take one input."""
    for alternative in component.parsed.alternatives:
        forms = [port.choices if not port.variadic else (port,) for port in alternative.inputs]
        for turn in range(max(map(len, forms))):
            yield replace(alternative, inputs=tuple(ports[turn % len(ports)] for ports in forms))


def shapes_for(component: Component, inputs: Sequence[Sequence[int]]) -> Shapes:
    """The shapes of inputs of these sizes: items where the rule takes items, else by the number of axes."""
    found = []
    for place, sizes in enumerate(inputs):
        ports = [port for alternative in component.parsed.alternatives
                 for port in alternative.inputs[min(place, len(alternative.inputs) - 1)].choices]
        items = [port for port in ports if port.of_items or port.layout]
        found.append(_shape(items[0] if items else ports[0], tuple(sizes)) if ports else shape_of(tuple(sizes)))
    return tuple(found)


def _declared(component: Component) -> Iterator[InputLayout]:
    """The sizes that a component declares, each with the others of the same layouts as second sizes."""
    given = [shapes_for(component, group) for group in component.probes.sizes]
    for shapes in given:
        alike = [other for other in given if other != shapes and
                 [shape.layout for shape in other] == [shape.layout for shape in shapes]]
        yield InputLayout(f"the declared {', '.join(f'({shape})' for shape in shapes)}", ((shapes,), alike))


def _schemes(kind: str) -> tuple[_Scheme, ...]:
    """The first that a component accepts is used: some need equal widths, some divisible ones, some colour channels.

    An encoder may halve its map several times; later components do not need large ones.
    """
    grids = _GRIDS if kind == "encoder" else _SMALL_GRIDS
    return (_Scheme(grids), _Scheme(grids, shared=True), _Scheme(grids, shared=True, features=_DIVISIBLE),
            _Scheme(grids, pyramid=True), _Scheme(grids, features=_CHANNELS), _Scheme(_LARGE_GRIDS),
            _Scheme(_LARGE_GRIDS, shared=True), _Scheme(_LARGE_GRIDS, features=_CHANNELS),
            _Scheme(_STRIDED_GRIDS, features=_CHANNELS), _Scheme(_STRIDED_GRIDS, shared=True, features=_DIVISIBLE))


def _repeated(alternative: Alternative) -> tuple[list[list[Port]], dict[int, list[Port]]]:
    """The ports with a `*` port as often as is usual, with fewer to try where that is refused; and by other numbers.

    A port of several forms has one after the other, so that a `*` port is tried with inputs of different layouts.
    """
    *fixed, last = alternative.inputs
    if not last.variadic:
        return [[*fixed, last]], {}
    usual = max(2 if fixed else 3, len(last.choices))

    def ports(number: int) -> list[Port]:
        return [*fixed, *islice(cycle(last.choices), number)]

    return [ports(number) for number in range(usual, 0, -1)], {
        number: ports(number) for number in _NUMBERS if number != usual}


def _candidates(ports: Sequence[Sequence[Port]], rank: int, schemes: Sequence[_Scheme],
                options: dict[str, Any]) -> tuple[list[Shapes], list[Shapes]]:
    first, other = ([tuple(_shape(port, _few_items(port, drawn)) for port in group) for group in ports
                     for scheme in schemes for drawn in [_Sizes(scheme, rank, options, turn)]] for turn in (0, 1))
    return first, other


def _few_items(port: Port, drawn: _Sizes) -> tuple[int, ...]:
    sizes = tuple(drawn.port(port.axes or ()))
    return (min(sizes[0], _MOST_ITEMS), *sizes[1:]) if port.of_items else sizes


def _shape(port: Port, sizes: tuple[int, ...]) -> TensorShape:
    named = port.of_items or port.layout
    return masked_shape(sizes, (str(port.name or "items"),), port.layout) if named else shape_of(sizes)


class _Sizes:
    """Draws sizes for the axes of one set of inputs; equal names get equal sizes."""

    def __init__(self, scheme: _Scheme, rank: int, options: dict[str, Any], turn: int) -> None:
        self.scheme = scheme
        self.rank = rank
        self.options = options
        self.turn = turn
        self.known: dict[Any, int] = {}
        self.drawn = count()
        self.grids = count(1)

    def port(self, axes: Sequence[Axis]) -> Iterator[int]:
        """The sizes of one port."""
        for place, axis in enumerate(axes):
            if axis.kind in ("map", "any_map"):
                own = next(self.grids) if axis.kind == "any_map" and not self.scheme.shared else 0
                if self.scheme.pyramid:
                    yield from (-(-side // 2 ** max(own - 1, 0)) for side in self._grid(self.rank))
                else:
                    yield from self._grid(self.rank, own)
            elif axis.kind in ("size", "option"):
                yield axis_size(axis, self.options)
            elif axis.kind == "name":
                yield self._one(str(axis.value), place, len(axes))
            else:
                width = place == (1 if len(axes) == 2 else 0)
                yield self._one(("width" if width else place) if self.scheme.shared else object(), place, len(axes))

    def _grid(self, rank: int, own: int = 0) -> tuple[int, ...]:
        grids = self.scheme.grids[rank]
        return grids[(own + self.turn) % len(grids)]

    def _one(self, key: Any, place: int, axes: int) -> int:
        if key not in self.known:
            # Three axes or more are a map whose grid the rule states axis by axis.
            written = place and axes - 1 in self.scheme.grids
            features = self.scheme.features[self.turn]
            self.known[key] = self._grid(axes - 1)[place - 1] if written else features[next(self.drawn) % len(features)]
        return self.known[key]


def exchanged(shapes: Shapes) -> Shapes:
    """The same inputs with every size replaced by another prime; equal sizes stay equal."""
    sizes = sorted({size for shape in shapes for size in shape.sizes})
    other = dict(zip(sizes, (prime for prime in (*_PRIMES, *_FEATURES[1]) if prime not in sizes), strict=False))
    return tuple(replace(shape, sizes=tuple(other.get(size, size) for size in shape.sizes)) for shape in shapes)


def shrunk(shapes: Shapes, costly: bool = False) -> Iterator[Shapes]:
    """The same inputs on smaller grids: the smallest for the first map, the same fraction for others.

    With `costly` also on grids that most networks that halve their maps five times still take.
    """
    maps = [shape.spatial for shape in shapes if shape.spatial]
    for smaller in (_SMALLEST, *(_SMALLER if costly else ())) if maps else ():
        first, small = maps[0], smaller[len(maps[0])]
        if prod(small) < prod(first):
            yield tuple(shape_of((shape.width, *(max(1, -(-side * least // full)) for side, least, full in zip(
                shape.spatial, small, first, strict=True)))) if len(shape.spatial) == len(first) else shape
                for shape in shapes)
