"""The parser of the rule notation. Grammar in docs/rules.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from fusionkit.shapes.layouts import CODED, is_loss
from fusionkit.shapes.rule import Alternative, Axis, Port, Result, Rule, RuleError

_TOKEN = re.compile(r"\s*(?:(->)|(\|)|(,)|(\*)|(:)|(_\.\.\.)|(\.\.\.)|(\(\))|(\?)|\{([a-z][a-z0-9_]*)\}"
                    r"|([A-Za-z][A-Za-z0-9_]*)|([1-9][0-9]*)|(_)|(\[)|(\]))")
_KINDS = ("arrow", "bar", "comma", "star", "colon", "any_map", "map", "scalar", "unknown", "option", "word", "size",
          "any", "open", "close")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse_rule(text: str) -> Rule:
    """A rule from its text.

    Raises: RuleError with the position of a syntax error.
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
        self._check_masked(inputs, result)
        return Alternative(inputs, result, self._losses() if result == "same" else ())

    def _check_masked(self, inputs: tuple[Port, ...], result: Result) -> None:
        """An axis is masked wherever it is named, and a result that is found by running the module has no mask."""
        inputs = tuple(choice for port in inputs for choice in port.choices)
        ports = [*inputs, *(result if isinstance(result, tuple) else ())]
        named = [axis for port in ports for axis in port.axes or () if axis.kind == "name"]
        half = {axis.value for axis in named if axis.masked} & {axis.value for axis in named if not axis.masked}
        if half:
            name = min(map(str, half))
            raise RuleError(f"the axis is written both '{name}' and '[{name}]'", self.text, 0)
        if result == "?" and any(axis.masked for port in inputs for axis in port.axes or ()):
            raise RuleError("'[...]' cannot be combined with '?', which says nothing of a mask", self.text, 0)

    def _losses(self) -> tuple[Port, ...]:
        """The part after `same`: auxiliary losses only."""
        losses: list[Port] = []
        while self._peek() == "comma":
            self._take()
            start = self.index
            port = self._port(left=False)
            if port.axes is not None or not is_loss(port.name or "") or port.name in {loss.name for loss in losses}:
                self.index = start
                raise self._fail("only auxiliary losses may follow 'same', each under its own name: 'loss_x: ()'")
            losses.append(port)
        return tuple(losses)

    def _result(self, inputs: tuple[Port, ...]) -> Result:
        if self._peek() == "unknown":
            self._take()
            return "?"
        if self._peek() == "word" and self.tokens[self.index].text == "same":
            self._take()
            return "same"
        start = self.index
        ports = self._ports(left=False)
        # Of a port with several forms, what all of them have is bound.
        known = {value for port in inputs for value in set.intersection(*(
            {axis.value for axis in choice.axes or () if axis.kind == "name"} for choice in port.choices))}
        grid = any(all(any(axis.kind == "map" for axis in choice.axes or ()) for choice in port.choices)
                   for port in inputs)
        for axis in (axis for port in ports for axis in port.axes or ()):
            if axis.layout:
                self.index = start
                raise self._fail(f"'{axis}' is on the left only: a result is made of vectors")
            if axis.kind in ("any", "any_map") or (axis.kind == "name" and axis.value not in known):
                self.index = start
                raise self._fail(f"the axis '{axis}' of the result is not bound on the left")
            if axis.kind == "map" and not grid:
                self.index = start
                raise self._fail("the result has '...', but no input has")
        return ports

    def _ports(self, left: bool) -> tuple[Port, ...]:
        ports = [self._port(left)]
        while self._peek() == "comma":
            self._take()
            ports.append(self._port(left))
        names = [port.name for port in ports]
        if len(ports) > 1 and (None in names or len(set(names)) < len(names)):
            raise self._fail("several ports need distinct names")
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
            raise self._fail("'*' needs a port name and is allowed on the left only")
        if self._peek() == "scalar" and not left:
            self._take()
            return Port(name, None)
        axes, others = self._axes(), []
        while left and self._at_or():
            self._take()
            others.append(self._axes())
        return Port(name, axes, variadic, tuple(others))

    def _at_or(self) -> bool:
        return self._peek() == "word" and self.tokens[self.index].text == "or"

    def _axes(self) -> tuple[Axis, ...]:
        if self._peek() != "word" or self.tokens[self.index].text != "B":
            raise self._fail("a port begins with the batch axis 'B'")
        self._take()
        axes = []
        while self._peek() in ("word", "any", "map", "any_map", "size", "option", "open") and not self._at_or():
            coded = self._peek() == "word" and self._peek(1) == "open" and self._joined()
            axes.append(self._masked_axis() if coded or self._peek() == "open" else self._axis())
        if not axes:
            raise self._fail("expected an axis")
        if sum(axis.kind in ("map", "any_map") for axis in axes) > 1:
            raise self._fail("a port has its spatial axes only once")
        if any(axis.masked for axis in axes[1:]) or (axes[0].masked and len(axes) == 1):
            raise self._fail("'[...]' is the first of several axes")
        return tuple(axes)

    def _axis(self) -> Axis:
        token = self._take()
        kind: Any = "name" if token.kind == "word" else token.kind
        value: str | int = int(token.text) if kind == "size" else token.text.strip("{}")
        if kind == "name" and value == "B":
            self.index -= 1
            raise self._fail("'B' is the batch axis and comes first")
        return Axis(kind, value if kind in ("name", "size", "option") else "")

    def _joined(self) -> bool:
        """Whether the next part follows the one after it without a space: `text[n]`."""
        word, bracket = self.tokens[self.index : self.index + 2]
        return word.position + len(word.text) == bracket.position

    def _masked_axis(self) -> Axis:
        layout = ""
        if self._peek() == "word":
            layout = self._take().text
            if layout not in CODED:
                self.index -= 1
                raise self._fail(f"before '[' stands nothing, or one of {', '.join(CODED)}")
        self._take()
        if self._peek() not in ("word", "any"):
            raise self._fail("'[' is followed by a name or '_'")
        axis = replace(self._axis(), masked=True, layout=layout)
        if self._peek() != "close":
            raise self._fail("expected ']'")
        self._take()
        return axis
