"""The conformance kit passes what is right, finds what is wrong by the right check, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field
from wrong_components import GUARDED, REFUSES, RIGHT, WRONG, Linear
from wrong_components_declared import RIGHT as DECLARED
from wrong_components_declared import WRONG as WRONG_DECLARED
from wrong_components_running import LOCKED
from wrong_components_running import WRONG as WRONG_RUNNING

from fusionkit.api import Config, Encoder
from fusionkit.contract import Component
from fusionkit.testing.conformance import check_component, checks_of
from fusionkit.testing.options import choices
from fusionkit.testing.probing import probes_of

TRACED = {"compile", "export", "onnx"}
RUNNING = [component for component, _, _ in WRONG_RUNNING]
EVERY_WRONG = [*WRONG, *WRONG_DECLARED, *WRONG_RUNNING]


@pytest.mark.parametrize("component", RIGHT, ids=lambda component: component.id)
def test_the_components_that_are_varied_here_are_right(component: Component) -> None:
    findings = check_component(component)
    assert {finding.check for finding in findings} == set(checks_of(component))
    assert {finding.result for finding in findings} == {"ok"}, [str(finding) for finding in findings]


@pytest.mark.parametrize("component", DECLARED, ids=lambda component: component.id)
def test_what_is_declared_is_excepted_with_its_reason(component: Component) -> None:
    findings = [finding for finding in check_component(component) if finding.result != "ok"]
    assert [(finding.check, finding.result) for finding in findings] == [
        (next(iter(component.exceptions)).partition(":")[0], "excepted")]
    assert all(reason in findings[0].seen for reason in component.exceptions.values())


@pytest.mark.parametrize(("component", "checks", "words"), EVERY_WRONG, ids=[part.id for part, _, _ in EVERY_WRONG])
def test_a_fault_is_found_by_its_check(component: Component, checks: set[str], words: str) -> None:
    # Following code takes a second; what runs wrongly is tried on it all the same.
    cheap = [name for name in checks_of(component) if name not in TRACED or name in checks or component in RUNNING]
    failed = {finding.check: finding for finding in check_component(component, cheap) if finding.result == "failed"}
    assert set(failed) == checks, [str(finding) for finding in failed.values()]
    assert any(words in finding.seen for finding in failed.values()), [str(finding) for finding in failed.values()]
    for finding in failed.values():
        assert finding.component == component.id
        assert finding.fix
        file, _, line = finding.where.rpartition(":")
        assert Path(file).name.startswith("wrong_components")
        assert line.isdigit()


def test_what_cannot_even_be_copied_is_told() -> None:
    finding, = check_component(LOCKED, ["copies"])
    assert finding.result == "failed"
    assert "cannot pickle" in finding.seen


def test_what_cannot_be_guessed_is_a_note() -> None:
    findings = {finding.check: finding for finding in check_component(GUARDED)}
    assert {name for name, finding in findings.items() if finding.result == "ok"} == {
        "declaration", "options", "ports"}
    assert findings["rule"].result == "not probed"
    assert "'path'" in findings["rule"].seen
    assert "examples=" in findings["rule"].fix


def test_what_refuses_everything_is_a_note() -> None:
    rule = check_component(REFUSES, ["rule"])[0]
    assert rule.result == "not probed"
    assert "it wants 1000 features" in rule.seen


def test_options_and_inputs_may_be_given() -> None:
    findings = check_component(RIGHT[-2], ["rule", "rows"], options={"width": 7}, inputs=[(11,)])
    assert [(finding.check, finding.result) for finding in findings] == [("rule", "ok"), ("rows", "ok")]
    probes = probes_of(RIGHT[-2], {"width": 7}, [(11,)]).accepted
    assert [(dict(probe.config), [shape.sizes for shape in probe.inputs]) for probe in probes] == [
        ({"width": 7}, [(11,)])]


def test_examples_of_the_author_are_used() -> None:
    class Model(Config):
        width: int = Field(4, description="Width.")
        model: str = Field(description="Which.", examples=["small", "large"])

    component = Encoder("model", Model, Linear, rule="B _ -> B {width}")
    assert [dict(choice.config) for choice in choices(component)] == [
        {"width": 4, "model": "small"}, {"width": 3, "model": "small"}, {"width": 4, "model": "large"},
        {"width": 4, "model": "first"}]


def shapes(rule: str, **options: int) -> list[list[tuple[int, ...]]]:
    class Sized(Config):
        size: int = Field(7, description="A size.")

    seen: list[list[tuple[int, ...]]] = []

    def look(config: Config, inputs: list) -> object:
        seen.append([shape.sizes for shape in inputs])
        return inputs[0]

    component = Encoder("look", Sized, Linear, rule=rule, output=look)
    probes_of(component, {"size": 7})
    return seen


def test_free_axes_get_primes_of_their_own() -> None:
    for inputs in (shapes("B _")[0], shapes("a: B n c, b: B _ n")[0], shapes("a: B _ ..., b: B _ _...")[0]):
        sizes = [size for sizes in inputs for size in sizes]
        assert all(size > 1 and all(size % part for part in range(2, size)) for size in sizes)
    (first, second), = [shapes("a: B n c, b: B _ n")[0]]
    assert first[0] == second[1]
    assert len({*first, *second}) == 3
    one, other = shapes("a: B _ ..., b: B _ ...")[0]
    assert one[1:] == other[1:]
    assert one[0] != other[0]
    one, other = shapes("a: B _ ..., b: B _ _...")[0]
    assert not set(one) & set(other)


def test_literal_and_option_axes_have_their_sizes() -> None:
    assert shapes("a: B 3 ..., b: B {size}")[0][0][0] == 3
    assert shapes("a: B 3 ..., b: B {size}")[0][1] == (7,)


def test_maps_are_tried_as_images_and_as_volumes() -> None:
    assert {len(inputs[0]) for inputs in shapes("B _ ...")} == {3, 4}
