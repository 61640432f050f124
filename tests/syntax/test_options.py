"""Options checked by a pydantic class: every fault at its own place, in words that a graph file uses."""

from __future__ import annotations

from typing import Literal, Self

import pytest
from pydantic import Field, PositiveInt, model_validator

from fusionkit.components.config import Config
from fusionkit.errors import Diagnostic, Span
from fusionkit.syntax.options import check_options
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Mapping

HERE = Span("f.yaml", 7, 7)


class Inner(Config):
    depth: PositiveInt = 1


class Example(Config):
    width: PositiveInt = Field(8, description="Width of the result.")
    norm: Literal["batch", "layer"] = Field("batch", description="Which norm.")
    names: list[str] = Field([], description="Names.")
    taps: PositiveInt | list[PositiveInt] = Field(1, description="One tap or several.")
    bias: bool = Field(True, description="Whether there is a bias.")
    inner: Inner = Inner()
    rate: float = Field(0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.width == 13 and not self.bias:
            raise ValueError("'width' 13 needs a 'bias'")
        return self


class Needy(Config):
    classes: list[str] = Field(description="Names of the classes.")


def check(text: str, options: type[Config] = Example) -> list[Diagnostic]:
    tree = read(f"with: {text}")
    assert isinstance(tree, Mapping)
    made, found = check_options(options, tree.get("with"), "encoder.example", HERE)
    assert (made is None) == bool(found)
    return found


def test_good_options_come_back_checked():
    tree = read("{width: 5, names: [no, 'yes'], taps: [2, 3], rate: 0, inner: {depth: 2}}")
    made, found = check_options(Example, tree, "encoder.example", HERE)
    assert not found and made is not None
    assert (made.width, made.names, made.taps, made.rate, made.inner.depth) == (5, ["no", "yes"], [2, 3], 0.0, 2)


def test_no_options_are_the_defaults():
    made, found = check_options(Example, None, "encoder.example", HERE)
    assert made == Example() and not found


@pytest.mark.parametrize(("text", "code", "column", "message", "why", "fix"), [
    ("{widht: 5}", "unknown-option", 8, "encoder.example has no option 'widht'", None, "did you mean 'width'?"),
    ("{colour: 5}", "unknown-option", 8, "encoder.example has no option 'colour'", None,
     "its options are width, norm, names, taps, bias, inner, rate"),
    ("{inner: {deep: 5}}", "unknown-option", 16, "option 'inner' of encoder.example has no part 'deep'", None,
     "'inner': the default is Inner(depth=1)"),
    ("{width: five}", "bad-option", 15, "option 'width' of encoder.example cannot be 'five'",
     "it must be a whole number", "'width': Width of the result. Default: 8."),
    ("{width: 5.0}", "bad-option", 15, "option 'width' of encoder.example cannot be 5.0",
     "it must be a whole number", "'width': Width of the result. Default: 8."),
    ("{width: 0}", "bad-option", 15, "option 'width' of encoder.example cannot be 0",
     "it must be greater than 0", "'width': Width of the result. Default: 8."),
    ("{width: }", "bad-option", 15, "option 'width' of encoder.example cannot be nothing",
     "it must be a whole number", "'width': Width of the result. Default: 8."),
    ("{rate: .nan}", "bad-option", 14, "option 'rate' of encoder.example cannot be nan",
     "it must be a finite number", "'rate': the default is 0.5"),
    ("{norm: lyer}", "bad-option", 14, "option 'norm' of encoder.example cannot be 'lyer'",
     "it must be 'batch' or 'layer'", "did you mean 'layer'?"),
    ("{norm: 3}", "bad-option", 14, "option 'norm' of encoder.example cannot be 3",
     "it must be 'batch' or 'layer'", "'norm': Which norm. Default: 'batch'."),
    ("{names: [a, 3]}", "bad-option", 19, "item 2 of option 'names' of encoder.example cannot be 3",
     "it must be text", "quote it: '3'"),
    ("{names: a}", "bad-option", 15, "option 'names' of encoder.example cannot be 'a'",
     "it must be a list", "'names': Names. Default: []."),
    ("{bias: no}", "bad-option", 14, "option 'bias' of encoder.example cannot be 'no'",
     "it must be true or false; yes, no, on and off are text in YAML 1.2",
     "'bias': Whether there is a bias. Default: true."),
    ("{taps: x}", "bad-option", 14, "option 'taps' of encoder.example cannot be 'x'",
     "it must be a whole number or a list", "'taps': One tap or several. Default: 1."),
    ("{taps: [1, 0]}", "bad-option", 18, "item 2 of option 'taps' of encoder.example cannot be 0",
     "it must be greater than 0", "'taps': One tap or several. Default: 1."),
    ("{inner: {depth: 0}}", "bad-option", 23, "option 'inner.depth' of encoder.example cannot be 0",
     "it must be greater than 0", "'inner': the default is Inner(depth=1)"),
    ("{width: 13, bias: false}", "bad-option", 7, "the options of encoder.example contradict each other",
     "'width' 13 needs a 'bias'", "change one of these options"),
    ("[1]", "bad-option", 7, "the options of encoder.example must be a mapping", None, "write {name: value, ...}"),
])
def test_what_is_wrong_and_where(text: str, code: str, column: int, message: str, why: str | None, fix: str):
    (found,) = check(text)
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == (code, 1, column)
    assert (found.message, found.why, found.fix) == (message, why, fix)


def test_a_missing_option_stands_at_the_component():
    (found,) = check("{}", Needy)
    assert (found.code, found.span) == ("missing-option", HERE)
    assert (found.why, found.fix) == ("'classes': Names of the classes.", "add it: with: {classes: ...}")


def test_every_fault_is_told():
    assert [item.code for item in check("{width: x, norm: y, colour: z}")] == [
        "bad-option", "bad-option", "unknown-option"]


def test_long_values_are_cut():
    (found,) = check("{width: " + "x" * 500 + "}")
    assert len(found.message) < 120
