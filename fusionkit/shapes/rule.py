"""The rule notation: which inputs a component accepts and what it gives. Grammar in docs/rules.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fusionkit.shapes.layouts import (
    Bundle,
    Coded,
    MaskedItems,
    MaskedTokens,
    Scalar,
    Shape,
    TensorShape,
    TokenAxis,
    masked_shape,
    shape_of,
)

AxisKind = Literal["name", "any", "map", "any_map", "size", "option"]
Named = tuple[str, TensorShape]


class RuleError(ValueError):
    """A rule with a syntax error; `position` counts characters from 0."""

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(f"{message}\n    {text}\n    {' ' * position}^")
        self.position = position


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis, or the spatial axes, of a port; `masked` if its tokens may be padded, which the notation has in [].

    `layout` is what stands before the bracket where its tokens are no vectors: text, events or series.
    """

    kind: AxisKind
    value: str | int = ""
    masked: bool = False
    layout: str = ""

    def __str__(self) -> str:
        fixed = {"any": "_", "map": "...", "any_map": "_..."}
        text = fixed.get(self.kind) or (f"{{{self.value}}}" if self.kind == "option" else str(self.value))
        return f"{self.layout}[{text}]" if self.masked else text


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output: its name and its axes after the batch; `axes` is None for a scalar.

    `others` are the axes that an input may have instead, after `or`.
    """

    name: str | None
    axes: tuple[Axis, ...] | None
    variadic: bool = False
    others: tuple[tuple[Axis, ...], ...] = ()

    @property
    def choices(self) -> tuple[Port, ...]:
        """The ports of one form each that this one stands for, in the order in which they are tried."""
        return (self,) if not self.others else tuple(
            replace(self, axes=axes, others=()) for axes in (self.axes, *self.others))

    @property
    def layout(self) -> str:
        """The layout that it names, of an input whose tokens are no vectors; else ''."""
        return self.axes[0].layout if self.axes else ""

    @property
    def of_items(self) -> bool:
        """Whether it takes several images or volumes of a case."""
        axes = self.axes or ()
        return bool(axes) and axes[0].masked and (len(axes) > 2 or any(
            axis.kind in ("map", "any_map") for axis in axes))

    def __str__(self) -> str:
        name = f"{'*' if self.variadic else ''}{self.name}: " if self.name else ""
        forms = () if self.axes is None else (self.axes, *self.others)
        return name + (" or ".join(" ".join(["B", *map(str, axes)]) for axes in forms) or "()")


Result = tuple[Port, ...] | Literal["same", "?"] | None


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to use a component: its input ports, and its result if the notation can express it.

    `losses` are the auxiliary losses after `same`.
    """

    inputs: tuple[Port, ...]
    result: Result
    losses: tuple[Port, ...] = ()

    def __str__(self) -> str:
        left = ", ".join(map(str, self.inputs))
        if self.result is None:
            return left
        given = (self.result,) if isinstance(self.result, str) else self.result
        return f"{left} -> {', '.join(map(str, (*given, *self.losses)))}"


@dataclass(frozen=True, slots=True)
class Binding:
    """Inputs matched with one alternative: the input at each port, and the size of each named axis.

    `masked` says whose tokens a named axis has, for those that have masked ones.
    """

    alternative: Alternative
    inputs: tuple[tuple[Port, str, TensorShape], ...]
    sizes: Mapping[str, int]
    spatial: tuple[int, ...] | None
    masked: Mapping[str, TokenAxis] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why inputs do not fit a rule. `position` is the input at fault, None when one is missing.

    `expected` names the layouts that would fit there, if the layout is wrong.
    """

    code: Literal["shape-clash", "wrong-layout", "wrong-size", "input-count", "masked-input"]
    why: str
    fix: str
    position: int | None
    progress: int
    expected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A parsed rule; `str` returns it in canonical form."""

    alternatives: tuple[Alternative, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.alternatives))

    @property
    def ports(self) -> tuple[Port, ...]:
        """Input ports of the first alternative; all alternatives have the same names."""
        return self.alternatives[0].inputs

    def bind(self, inputs: Sequence[Named], options: Mapping[str, Any]) -> Binding | Mismatch:
        """The first alternative that the inputs fit, else the mismatch that matched furthest."""
        mismatches = []
        for alternative in self.alternatives:
            outcome = _Binder(alternative, options).bind(inputs)
            if isinstance(outcome, Binding):
                return outcome
            mismatches.append(outcome)
        best = max(mismatches, key=lambda mismatch: mismatch.progress)
        if not best.expected or best.position is None:
            return best
        name, shape = inputs[best.position]
        expected = dict.fromkeys(layout for mismatch in mismatches for layout in mismatch.expected
                                 if (mismatch.position, mismatch.progress) == (best.position, best.progress))
        return replace(best, why=f"{name} is {_article(shape)}; it takes {' or '.join(expected)} here",
                       fix=_layout_fix(shape, tuple(expected)), expected=tuple(expected))


def result_shape(binding: Binding, options: Mapping[str, Any]) -> Shape | None:
    """The result of a bound rule, or None if the notation does not determine it (`?`, or a function does)."""
    result = binding.alternative.result
    if result is None or result == "?":
        return None
    if result == "same":
        given = tuple((name, shape) for _, name, shape in binding.inputs)
        losses = tuple((port.name or "", _port_shape(port, binding, options)) for port in binding.alternative.losses)
        return given[0][1] if len(given) == 1 and not losses else Bundle(given + losses)
    shapes = tuple((port.name or "", _port_shape(port, binding, options)) for port in result)
    return shapes[0][1] if len(shapes) == 1 and not shapes[0][0] else Bundle(shapes)


def given_back(output: Shape, names: Sequence[str]) -> Shape:
    """The result of a rule with `same`, with the inputs under these names; a single tensor has none."""
    if not isinstance(output, Bundle):
        return output
    inputs, losses = output.items[: len(names)], output.items[len(names) :]
    return Bundle((*((name, shape) for name, (_, shape) in zip(names, inputs, strict=True)), *losses))


def _port_shape(port: Port, binding: Binding, options: Mapping[str, Any]) -> TensorShape:
    if port.axes is None:
        return Scalar(())
    sizes: list[int] = []
    for axis in port.axes:
        if axis.kind == "map":
            assert binding.spatial is not None
            sizes.extend(binding.spatial)
        elif axis.kind == "name":
            sizes.append(binding.sizes[str(axis.value)])
        else:
            sizes.append(axis_size(axis, options))
    masked = binding.masked.get(str(port.axes[0].value)) if port.axes[0].masked else None
    return shape_of(tuple(sizes)) if masked is None else masked_shape(tuple(sizes), masked)


def axis_size(axis: Axis, options: Mapping[str, Any]) -> int:
    """The size of a literal axis or of an option axis: a number, or the length of a list."""
    if axis.kind == "size":
        return int(axis.value)
    value = options[str(axis.value)]
    return int(value) if isinstance(value, int) else len(value)


class _Binder:
    """Matches inputs with one alternative; axis names are bound on first use and compared afterwards."""

    def __init__(self, alternative: Alternative, options: Mapping[str, Any]) -> None:
        self.alternative = alternative
        self.options = options
        self.sizes: dict[str, tuple[int, str]] = {}
        self.masked: dict[str, TokenAxis | None] = {}
        self.spatial: tuple[tuple[int, ...], str] | None = None
        self.seen: dict[Port, Named] = {}
        self.matched = 0

    def bind(self, inputs: Sequence[Named]) -> Binding | Mismatch:
        ports = self._ports(len(inputs))
        if isinstance(ports, Mismatch):
            return ports
        bound = []
        for position, (port, (name, shape)) in enumerate(zip(ports, inputs, strict=True)):
            chosen = self._chosen(port, name, shape, position)
            if isinstance(chosen, Mismatch):
                return chosen
            bound.append((chosen, name, shape))
            self.seen.setdefault(port, (name, shape))
        sizes = {name: size for name, (size, _) in self.sizes.items()}
        masked = {name: of for name, of in self.masked.items() if of is not None}
        return Binding(self.alternative, tuple(bound), sizes, self.spatial[0] if self.spatial else None, masked)

    def _ports(self, count: int) -> list[Port] | Mismatch:
        ports = list(self.alternative.inputs)
        if ports[-1].variadic and count >= len(ports):
            return ports[:-1] + [ports[-1]] * (count - len(ports) + 1)
        if count == len(ports):
            return ports
        variadic, many = ports[-1].variadic, count > len(ports)
        expected = f"{len(ports)}{' or more' if variadic else ''} input{'s' if len(ports) > 1 or variadic else ''}"
        return Mismatch("input-count", f"it takes {expected}, but is given {count}",
                        "leave some out, or combine them with a fusion first" if many else
                        "connect one input for each port of the rule", len(ports) if many else None, -1)

    def _chosen(self, port: Port, name: str, shape: TensorShape, position: int) -> Port | Mismatch:
        """The first form of a port that the input fits, else the mismatch of the one that matched furthest."""
        found: list[Mismatch] = []
        for choice in port.choices:
            before = dict(self.sizes), dict(self.masked), self.spatial, self.matched
            fault = self._input(choice, name, shape, position)
            if fault is None:
                return choice
            found.append(fault)
            self.sizes, self.masked, self.spatial, self.matched = before
        best = max(found, key=lambda fault: fault.progress)
        return replace(best, expected=tuple(dict.fromkeys(word for fault in found for word in fault.expected
                                                          if fault.progress == best.progress)))

    def _input(self, port: Port, name: str, shape: TensorShape, position: int) -> Mismatch | None:
        assert port.axes is not None
        axes = list(port.axes)
        items = port.of_items
        if isinstance(shape, MaskedItems) and not items:
            return Mismatch("masked-input", f"{name} has several {shape.item.layout}s for every case; here it takes "
                            "one", "put an `encoder.each_item` there, with this component as its option `encoder`: it "
                            "gives a token for each item", position, self.matched + 1)
        if (shape.layout if isinstance(shape, Coded) else "") != port.layout:
            return self._layout(port, name, shape, position)
        wants_map = any(axis.kind in ("map", "any_map") for axis in axes)
        spatial = shape.item.spatial if isinstance(shape, MaskedItems) else shape.spatial
        count = len(axes) - 1 + len(spatial) if wants_map else len(axes)
        if count != len(shape.sizes) or (wants_map and not spatial) or items != isinstance(shape, MaskedItems):
            return self._layout(port, name, shape, position)
        if isinstance(shape, MaskedTokens) and not axes[0].masked:
            return Mismatch("masked-input", f"{name} has another number of tokens for every case, padded and with a "
                            "mask; here it takes tokens of one number", "put an `encoder.pool` between, which turns "
                            "them into a vector, or use a component whose rule has '[...]'", position, self.matched + 1)
        place = 0
        for axis in axes:
            if axis.kind in ("map", "any_map"):
                fault = self._spatial(axis, spatial, name, position)
                place += len(spatial)
            else:
                fault = self._size(axis, shape, place, name, position)
                place += 1
            if fault:
                return fault
            self.matched += 1
        return None

    def _layout(self, port: Port, name: str, shape: TensorShape, position: int) -> Mismatch:
        """A wrong layout; for a `*` port, the previous inputs determine the right one."""
        if port.variadic and port in self.seen:
            first, other = self.seen[port]
            return Mismatch("wrong-layout", f"{first} is {_article(other)} and {name} is {_article(shape)}; "
                            "all of them must have the same layout",
                            "bring all to the same layout: an `encoder.pool` turns a map or tokens into a vector",
                            position, self.matched)
        return Mismatch("wrong-layout", "", "", position, self.matched, (_layout_of(port),))

    def _size(self, axis: Axis, shape: TensorShape, place: int, name: str, position: int) -> Mismatch | None:
        size = shape.sizes[place]
        if axis.kind == "any":
            return None
        if axis.kind == "name" and axis.masked:
            of = shape.of if isinstance(shape, MaskedTokens) else None
            if self.masked.setdefault(str(axis.value), of) != of:
                return Mismatch("shape-clash", f"axis '{axis}' is {_whose(self.masked[str(axis.value)])} on "
                                f"{self.sizes[str(axis.value)][1]} and {_whose(of)} on {name}",
                                "turn each into a vector with an `encoder.pool`, or use a fusion that takes any number "
                                "of tokens, for example `fusion.attention_pool`", position, self.matched)
        if axis.kind == "name":
            known, owner = self.sizes.setdefault(str(axis.value), (size, name))
            if known == size:
                return None
            return Mismatch("shape-clash", f"axis '{axis.value}' is {known} on {owner} and {size} on {name}",
                            f"make the two equal{_project_fix(shape, place, known, name)}", position, self.matched)
        expected = axis_size(axis, self.options)
        if expected == size:
            return None
        source = f"option '{axis.value}'" if axis.kind == "option" else "the rule"
        option = f", or set '{axis.value}' to {size}" if axis.kind == "option" else ""
        label = shape.axes[place]
        counted = f"{size} {label}" if label in ("features", "tokens", "channels") else f"the {label} {size}"
        return Mismatch("wrong-size", f"{name} has {counted}, but {source} requires {expected}",
                        f"bring it to {expected}{_project_fix(shape, place, expected, name)}{option}",
                        position, self.matched)

    def _spatial(self, axis: Axis, spatial: tuple[int, ...], name: str, position: int) -> Mismatch | None:
        if axis.kind == "any_map":
            return None
        if self.spatial is None:
            self.spatial = (spatial, name)
        known, owner = self.spatial
        if known == spatial:
            return None
        return Mismatch("shape-clash", f"the spatial size is {_grid(known)} on {owner} and {_grid(spatial)} on {name}",
                        "bring both to one spatial size, or pool both to vectors with an `encoder.pool`",
                        position, self.matched)


def _whose(of: TokenAxis | None) -> str:
    """Whose tokens an axis has, for a message."""
    return "a fixed number of tokens" if of is None else f"the tokens of {' and '.join(map(str, of))}"


def _grid(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _article(shape: TensorShape) -> str:
    article = {"vector": "a ", "image": "an ", "volume": "a ", "scalar": "a "}.get(shape.layout, "")
    return f"{article}{shape.layout} ({shape})"


def _layout_of(port: Port) -> str:
    """The layouts that a port takes, as text."""
    axes = port.axes or ()
    if port.of_items:
        return "items"
    if port.layout:
        return port.layout
    if any(axis.kind in ("map", "any_map") for axis in axes):
        return "an image or a volume"
    words = {1: "a vector", 2: "tokens", 3: "an image", 4: "a volume"}
    return words.get(len(axes), f"'{port}'")


def _layout_fix(shape: TensorShape, expected: tuple[str, ...]) -> str:
    if isinstance(shape, Coded):
        return (f"put an encoder of {shape.layout} between, such as `{_FIRST_ENCODERS[shape.layout]}`, which gives "
                "tokens or a vector")
    ways = []
    if "a vector" in expected and shape.layout in ("tokens", "image", "volume"):
        ways.append("into a vector")
    if "tokens" in expected and shape.spatial:
        ways.append("with `to: tokens` into tokens")
    if ways:
        return f"put an `encoder.pool` between, which turns it {', or '.join(ways)}"
    return f"connect {' or '.join(expected)}"


_FIRST_ENCODERS = {"text": "encoder.text_embed", "events": "encoder.strats", "series": "encoder.lstm"}


def _project_fix(shape: TensorShape, place: int, size: int, name: str) -> str:
    """How to change the size of an axis, if a single component can do it."""
    is_width = place == (1 if shape.layout == "tokens" else 0)
    return f", for example with an `encoder.project` of width {size} after {name}" if is_width else ""
