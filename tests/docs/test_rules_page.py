"""docs/rules.md: every rule on it parses, binds and fails as the page says."""

import re
from pathlib import Path

import pytest

from fusionkit.errors import GraphError
from fusionkit.shapes.layouts import TensorShape, masked_shape, shape_of
from fusionkit.shapes.rule import Binding, Mismatch, RuleError, result_shape
from fusionkit.shapes.rule_parser import parse_rule

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
FENCED = [line for block in re.findall(r"^```rule\n(.*?)^```$", PAGE, re.M | re.S) for line in block.splitlines()]


def table(header: str) -> list[list[str]]:
    """The rows of the table with this header, code marks and escapes taken off."""
    lines = PAGE[PAGE.index(header) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        rows.append([cell.strip().strip("`").replace("\\|", "|") for cell in cells])
    return rows


BINDS = table("| rule | inputs | options | gives |")
CLASHES = table("| code | at fault | rule | inputs | options |")
ERRORS = table("| rule | message |")


def inputs(text: str) -> list[tuple[str, TensorShape]]:
    pairs = (part.split(":") for part in text.split(","))
    return [(name.strip(), shape(sizes.split())) for name, sizes in pairs]


def shape(sizes: list[str]) -> TensorShape:
    if sizes[0].startswith("["):
        return masked_shape((64, *map(int, sizes[1:])), (sizes[0].strip("[]"),))
    if sizes[0].endswith("]"):
        layout, _, owner = sizes[0].partition("[")
        return masked_shape((64, *map(int, sizes[1:])), (owner.strip("]"),), layout)
    return shape_of(tuple(map(int, sizes)))


def options(text: str) -> dict[str, object]:
    name, _, value = text.partition("=")
    return {name: value.strip("[]").split(",") if value.startswith("[") else int(value)} if text else {}


def test_the_page_has_examples() -> None:
    assert (len(FENCED), len(BINDS), len(CLASHES), len(ERRORS)) >= (7, 8, 6, 14)


@pytest.mark.parametrize("text", FENCED)
def test_a_rule_parses_and_prints_back(text: str) -> None:
    assert str(parse_rule(text)) == text


@pytest.mark.parametrize(("rule", "given", "chosen", "gives"), BINDS)
def test_a_rule_binds_as_shown(rule: str, given: str, chosen: str, gives: str) -> None:
    bound = parse_rule(rule).bind(inputs(given), options(chosen))
    assert isinstance(bound, Binding)
    assert str(result_shape(bound, options(chosen))) == gives


@pytest.mark.parametrize(("code", "rule", "given", "chosen"), [(c, r, g, o) for c, _, r, g, o in CLASHES])
def test_inputs_clash_as_shown(code: str, rule: str, given: str, chosen: str) -> None:
    outcome = parse_rule(rule).bind(inputs(given), options(chosen))
    assert isinstance(outcome, Mismatch) and outcome.code == code


@pytest.mark.parametrize(("rule", "message"), ERRORS)
def test_a_faulty_rule_is_refused_as_shown(rule: str, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rule(rule)
    assert str(caught.value).splitlines()[0] == message


def graph(use: str, reads: str) -> dict[str, object]:
    return {"fusionkit": 1, "inputs": {"a": {"vector": [13]}, "b": {"vector": [17]}}, "nodes": {
        "x": {"use": use, "from": {reads: ["a", "b"]}, "with": {"width": 7}},
        "y": {"use": "head.regress", "from": "x", "with": {"values": ["v"]}}}}


def test_codes_of_ports_are_those_of_the_page() -> None:
    from fusionkit.network.build import plan

    with pytest.raises(GraphError, match="unknown-port"):
        plan(graph("fusion.gmu", "nobody"), measured=False)
    with pytest.raises(GraphError, match="unconnected-port"):
        plan(graph("fusion.cross_attention", "context"), measured=False)
    assert all(f"`{code}`" in PAGE for code in ("unknown-port", "unconnected-port", "rule-disagrees"))
