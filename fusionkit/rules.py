"""The rule notation: which inputs a component accepts and what it gives. Grammar in docs/rules.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fusionkit.shapes import Bundle, Scalar, Shape, TensorShape, shape_of

AxisKind = Literal["name", "any", "map", "any_map", "size", "option"]
Named = tuple[str, TensorShape]


class RuleError(ValueError):
    """A rule is not written in the notation; `position` counts characters from 0."""

    def __init__(self, message: str, text: str, position: int) -> None:
        super().__init__(f"{message}\n    {text}\n    {' ' * position}^")
        self.position = position


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis, or the spatial axes, of a port."""

    kind: AxisKind
    value: str | int = ""

    def __str__(self) -> str:
        fixed = {"any": "_", "map": "...", "any_map": "_..."}
        return fixed.get(self.kind) or (f"{{{self.value}}}" if self.kind == "option" else str(self.value))


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output: its name and its axes after the batch; `axes` is None for a scalar."""

    name: str | None
    axes: tuple[Axis, ...] | None
    variadic: bool = False

    def __str__(self) -> str:
        name = f"{'*' if self.variadic else ''}{self.name}: " if self.name else ""
        return name + ("()" if self.axes is None else " ".join(["B", *map(str, self.axes)]))


Result = tuple[Port, ...] | Literal["same", "?"] | None


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to use a component: its input ports, and its result where the notation can say it."""

    inputs: tuple[Port, ...]
    result: Result

    def __str__(self) -> str:
        left = ", ".join(map(str, self.inputs))
        if self.result is None:
            return left
        right = self.result if isinstance(self.result, str) else ", ".join(map(str, self.result))
        return f"{left} -> {right}"


@dataclass(frozen=True, slots=True)
class Binding:
    """Inputs matched with one alternative: who stands at which port, and the size of each axis name."""

    alternative: Alternative
    inputs: tuple[tuple[Port, str, TensorShape], ...]
    sizes: Mapping[str, int]
    spatial: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why inputs do not fit a rule. `position` is the input at fault, None when their number is."""

    code: Literal["shape-clash", "wrong-layout", "wrong-size", "input-count"]
    why: str
    fix: str
    position: int | None
    progress: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A parsed rule; `str` gives it back in canonical form."""

    alternatives: tuple[Alternative, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.alternatives))

    @property
    def ports(self) -> tuple[Port, ...]:
        """Input ports of the first alternative; all alternatives have the same names."""
        return self.alternatives[0].inputs

    def bind(self, inputs: Sequence[Named], options: Mapping[str, Any]) -> Binding | Mismatch:
        """The first alternative that the inputs fit, else the mismatch that came furthest."""
        mismatches = []
        for alternative in self.alternatives:
            outcome = _Binder(alternative, options).bind(inputs)
            if isinstance(outcome, Binding):
                return outcome
            mismatches.append(outcome)
        return max(mismatches, key=lambda mismatch: mismatch.progress)


def result_shape(binding: Binding, options: Mapping[str, Any]) -> Shape | None:
    """What a bound rule gives, or None when the notation does not say (`?`, or a function decides)."""
    result = binding.alternative.result
    if result is None or result == "?":
        return None
    if result == "same":
        given = tuple((name, shape) for _, name, shape in binding.inputs)
        return given[0][1] if len(given) == 1 else Bundle(given)
    shapes = tuple((port.name or "", _port_shape(port, binding, options)) for port in result)
    return shapes[0][1] if len(shapes) == 1 and not shapes[0][0] else Bundle(shapes)


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
    return shape_of(tuple(sizes))


def axis_size(axis: Axis, options: Mapping[str, Any]) -> int:
    """The size of a literal axis or of an option axis: a number, or the length of a list."""
    if axis.kind == "size":
        return int(axis.value)
    value = options[str(axis.value)]
    return int(value) if isinstance(value, int) else len(value)


class _Binder:
    """Matches inputs with one alternative; names are bound at first sight and compared afterwards."""

    def __init__(self, alternative: Alternative, options: Mapping[str, Any]) -> None:
        self.alternative = alternative
        self.options = options
        self.sizes: dict[str, tuple[int, str]] = {}
        self.spatial: tuple[tuple[int, ...], str] | None = None
        self.matched = 0

    def bind(self, inputs: Sequence[Named]) -> Binding | Mismatch:
        ports = self._ports(len(inputs))
        if isinstance(ports, Mismatch):
            return ports
        for position, (port, (name, shape)) in enumerate(zip(ports, inputs, strict=True)):
            fault = self._input(port, name, shape, position)
            if fault:
                return fault
        bound = tuple((port, name, shape) for port, (name, shape) in zip(ports, inputs, strict=True))
        sizes = {name: size for name, (size, _) in self.sizes.items()}
        return Binding(self.alternative, bound, sizes, self.spatial[0] if self.spatial else None)

    def _ports(self, count: int) -> list[Port] | Mismatch:
        ports = list(self.alternative.inputs)
        if ports[-1].variadic and count >= len(ports):
            return ports[:-1] + [ports[-1]] * (count - len(ports) + 1)
        if count == len(ports):
            return ports
        wanted = f"{len(ports)}{' or more' if ports[-1].variadic else ''} input{'s' if len(ports) > 1 else ''}"
        return Mismatch("input-count", f"it takes {wanted} and is given {count}",
                        "connect as many inputs as the rule names", None, -1)

    def _input(self, port: Port, name: str, shape: TensorShape, position: int) -> Mismatch | None:
        assert port.axes is not None
        axes = list(port.axes)
        wants_map = any(axis.kind in ("map", "any_map") for axis in axes)
        wanted = len(axes) - 1 + len(shape.spatial) if wants_map else len(axes)
        if wanted != len(shape.sizes) or (wants_map and not shape.spatial):
            return Mismatch("wrong-layout", f"{name} is {_article(shape)} ({shape}); the port is '{port}'",
                            _layout_fix(shape, axes, wants_map), position, self.matched)
        sizes = list(shape.sizes)
        for axis in axes:
            if axis.kind in ("map", "any_map"):
                fault = self._spatial(axis, shape.spatial, name, position)
                sizes = sizes[len(shape.spatial) :]
            else:
                fault = self._size(axis, sizes.pop(0), name, position)
            if fault:
                return fault
            self.matched += 1
        return None

    def _size(self, axis: Axis, size: int, name: str, position: int) -> Mismatch | None:
        if axis.kind == "any":
            return None
        if axis.kind == "name":
            known, owner = self.sizes.setdefault(str(axis.value), (size, name))
            if known == size:
                return None
            return Mismatch("shape-clash", f"axis '{axis.value}' is {known} on {owner} and {size} on {name}",
                            f"make the two equal, for instance with an `encoder.project` of width {known} "
                            f"after {name}", position, self.matched)
        wanted = axis_size(axis, self.options)
        if wanted == size:
            return None
        source = f"option '{axis.value}'" if axis.kind == "option" else "the rule"
        return Mismatch("wrong-size", f"{name} has {size} where {source} asks for {wanted}",
                        f"give {name} the size {wanted}" + (f", or set '{axis.value}' to {size}"
                        if axis.kind == "option" else ""), position, self.matched)

    def _spatial(self, axis: Axis, spatial: tuple[int, ...], name: str, position: int) -> Mismatch | None:
        if axis.kind == "any_map":
            return None
        if self.spatial is None:
            self.spatial = (spatial, name)
        known, owner = self.spatial
        if known == spatial:
            return None
        return Mismatch("shape-clash", f"the grid is {_grid(known)} on {owner} and {_grid(spatial)} on {name}",
                        "bring both to one grid, or pool both to vectors with an `encoder.pool`",
                        position, self.matched)


def _grid(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _article(shape: TensorShape) -> str:
    return {"vector": "a vector", "tokens": "tokens", "scalar": "a scalar"}.get(shape.layout, f"an {shape.layout}"
            if shape.layout == "image" else f"a {shape.layout}")


def _layout_fix(shape: TensorShape, axes: list[Axis], wants_map: bool) -> str:
    if shape.spatial and not wants_map and len(axes) == 1:
        return "put an `encoder.pool` between, which turns a map into a vector"
    if shape.spatial and not wants_map and len(axes) == 2:
        return "put an `encoder.pool` with `to: tokens` between, which turns a map into tokens"
    if wants_map:
        return "connect an image, a volume or a feature map"
    return "connect an input of the layout that the rule names"


_TOKEN = re.compile(r"\s*(?:(->)|(\|)|(,)|(\*)|(:)|(_\.\.\.)|(\.\.\.)|(\(\))|(\?)|\{([a-z][a-z0-9_]*)\}"
                    r"|([A-Za-z][A-Za-z0-9_]*)|([1-9][0-9]*)|(_))")
_KINDS = ("arrow", "bar", "comma", "star", "colon", "any_map", "map", "scalar", "unknown", "option", "word", "size",
          "any")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse_rule(text: str) -> Rule:
    """A rule from its text.

    Raises: RuleError with the position, when the text is not in the notation.
    Example:
        >>> str(parse_rule("image: B c ..., table: B _ -> B c ..."))
        'image: B c ..., table: B _ -> B c ...'
    """
    return _Parser(text).rule()


class _Parser:
    """Recursive descent over the tokens of one rule."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokenise()
        self.index = 0

    def _tokenise(self) -> list[_Token]:
        tokens, position = [], 0
        end = len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if not match:
                at = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                raise RuleError(f"{self.text[at]!r} has no meaning in a rule", self.text, at)
            kind = next(k for k, value in zip(_KINDS, match.groups(), strict=True) if value is not None)
            tokens.append(_Token(kind, match.group().strip(), match.end() - len(match.group().lstrip())))
            position = match.end()
        return tokens

    def _peek(self, ahead: int = 0) -> str | None:
        place = self.index + ahead
        return self.tokens[place].kind if place < len(self.tokens) else None

    def _take(self) -> _Token:
        self.index += 1
        return self.tokens[self.index - 1]

    def _fail(self, message: str) -> RuleError:
        place = self.tokens[self.index].position if self.index < len(self.tokens) else len(self.text)
        return RuleError(message, self.text, place)

    def rule(self) -> Rule:
        alternatives = [self._alternative()]
        while self._peek() == "bar":
            self._take()
            alternatives.append(self._alternative())
        if self._peek() is not None:
            raise self._fail("expected ',', '->' or '|'")
        names = [tuple((port.name, port.variadic) for port in a.inputs) for a in alternatives]
        if len(set(names)) > 1:
            raise RuleError("all alternatives must have the same input ports", self.text, 0)
        return Rule(tuple(alternatives))

    def _alternative(self) -> Alternative:
        inputs = self._ports(left=True)
        result: Result = None
        if self._peek() == "arrow":
            self._take()
            result = self._result(inputs)
        return Alternative(inputs, result)

    def _result(self, inputs: tuple[Port, ...]) -> Result:
        if self._peek() == "unknown":
            self._take()
            return "?"
        if self._peek() == "word" and self.tokens[self.index].text == "same":
            self._take()
            return "same"
        start = self.index
        ports = self._ports(left=False)
        known = {axis.value for port in inputs for axis in port.axes or () if axis.kind == "name"}
        grid = any(axis.kind == "map" for port in inputs for axis in port.axes or ())
        for axis in (axis for port in ports for axis in port.axes or ()):
            if axis.kind in ("any", "any_map") or (axis.kind == "name" and axis.value not in known):
                self.index = start
                raise self._fail(f"the axis '{axis}' of the result is not bound on the left")
            if axis.kind == "map" and not grid:
                self.index = start
                raise self._fail("the result has '...' and no input does")
        return ports

    def _ports(self, left: bool) -> tuple[Port, ...]:
        ports = [self._port(left)]
        while self._peek() == "comma":
            self._take()
            ports.append(self._port(left))
        names = [port.name for port in ports]
        if len(ports) > 1 and (None in names or len(set(names)) < len(names)):
            raise self._fail("several ports need a name each, all different")
        if any(port.variadic for port in ports[:-1]):
            raise self._fail("only the last port may be '*'")
        return tuple(ports)

    def _port(self, left: bool) -> Port:
        variadic = self._peek() == "star"
        if variadic:
            self._take()
        name = None
        if self._peek() == "word" and self._peek(1) == "colon":
            name = self._take().text
            self._take()
        if variadic and (name is None or not left):
            raise self._fail("'*' needs a port name and stands on the left only")
        if self._peek() == "scalar" and not left:
            self._take()
            return Port(name, None)
        return Port(name, self._axes(), variadic)

    def _axes(self) -> tuple[Axis, ...]:
        if self._peek() != "word" or self.tokens[self.index].text != "B":
            raise self._fail("a port begins with the batch axis 'B'")
        self._take()
        axes = []
        while self._peek() in ("word", "any", "map", "any_map", "size", "option"):
            token = self._take()
            kind: Any = "name" if token.kind == "word" else token.kind
            value: str | int = int(token.text) if kind == "size" else token.text.strip("{}")
            if kind == "name" and value == "B":
                self.index -= 1
                raise self._fail("'B' is the batch axis and stands first")
            axes.append(Axis(kind, value if kind in ("name", "size", "option") else ""))
        if not axes:
            raise self._fail("expected an axis")
        if sum(axis.kind in ("map", "any_map") for axis in axes) > 1:
            raise self._fail("a port has its spatial axes once")
        return tuple(axes)
