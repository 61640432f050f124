"""The conformance kit passes what is right, finds what is wrong by the right check, and says what to do."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from wrong_components import GUARDED, REFUSES, RIGHT, WRONG, Linear
from wrong_components_beside import LINES, SYMMETRIC
from wrong_components_beside import WRONG as WRONG_BESIDE
from wrong_components_declared import RIGHT as DECLARED
from wrong_components_declared import WRONG as WRONG_DECLARED
from wrong_components_masked import RIGHT as RIGHT_MASKED
from wrong_components_masked import WRONG as WRONG_MASKED
from wrong_components_raising import RAISING
from wrong_components_running import LOCKED
from wrong_components_running import RIGHT as RIGHT_RUNNING
from wrong_components_running import WRONG as WRONG_RUNNING
from wrong_components_step import RIGHT as RIGHT_STEP
from wrong_components_step import WRONG as WRONG_STEP
from wrong_components_tried import RIGHT as RIGHT_TRIED
from wrong_components_tried import WRONG as WRONG_TRIED

from fusionkit.api import Config, Encoder
from fusionkit.components.component import Component
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import TensorShape
from fusionkit.testing.conformance import check_component, checks_of
from fusionkit.testing.places import place_of_attribute
from fusionkit.testing.probing.options import choices
from fusionkit.testing.probing.selection import probes_of

TRACED = {"compile", "export", "onnx"}
RUNNING = [component for component, _, _ in WRONG_RUNNING]
# Following code, by each of the ways to do it, takes seconds a component.
EVERY_WRONG = [pytest.param(component, checks, words, id=component.id,
                            marks=pytest.mark.slow if checks & TRACED else ())
               for component, checks, words in (*WRONG, *WRONG_DECLARED, *WRONG_RUNNING, *WRONG_BESIDE, *WRONG_TRIED,
                                                    *WRONG_MASKED, *WRONG_STEP)]


@pytest.mark.parametrize("traced", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["run", "followed"])
@pytest.mark.parametrize("component", [*RIGHT, *RIGHT_RUNNING, *RIGHT_TRIED, *RIGHT_MASKED, *RIGHT_STEP],
                         ids=lambda component: component.id)
def test_the_components_that_are_varied_here_are_right(component: Component, traced: bool) -> None:
    checks = {name for name in checks_of(component) if (name in TRACED) == traced}
    findings = check_component(component, [name for name in checks_of(component) if name in checks])
    assert {finding.check for finding in findings} == checks
    assert {finding.result for finding in findings} <= {"ok"}, [str(finding) for finding in findings]


@pytest.mark.parametrize("component", DECLARED, ids=lambda component: component.id)
def test_what_is_declared_is_excepted_with_its_reason(component: Component) -> None:
    findings = [finding for finding in check_component(component) if finding.result != "ok"]
    assert [(finding.check, finding.result) for finding in findings] == [
        (next(iter(component.exceptions)).partition(":")[0], "excepted")]
    assert all(reason in findings[0].seen for reason in component.exceptions.values())


@pytest.mark.parametrize(("component", "checks", "words"), EVERY_WRONG)
def test_a_fault_is_found_by_its_check(component: Component, checks: set[str], words: str) -> None:
    cheap = [name for name in checks_of(component) if name not in TRACED or checks & TRACED]
    failed = {finding.check: finding for finding in check_component(component, cheap) if finding.result == "failed"}
    assert set(failed) == checks, [str(finding) for finding in failed.values()]
    assert any(words in finding.seen for finding in failed.values()), [str(finding) for finding in failed.values()]
    for finding in failed.values():
        assert finding.component == component.id
        assert finding.fix
        assert stands_in_it(finding.where, component)


@pytest.mark.parametrize(("component", "checks"), [
    pytest.param(component, checks, id=component.id, marks=pytest.mark.slow if checks & TRACED else ())
    for component, checks, _ in WRONG_BESIDE])
def test_a_fault_beside_the_work_is_shown_at_its_line(component: Component, checks: set[str]) -> None:
    finding, = check_component(component, list(checks))
    file, _, line = finding.where.rpartition(":")
    assert Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1].strip() == LINES[component.name]


@pytest.mark.parametrize(("name", "silent"), [("adds_in_place", {"gradients", "rows", "compile", "export"}),
                                              ("prints", {"compile"})])
def test_what_would_blame_it_on_something_else_refers_to_the_right_check(name: str, silent: set[str]) -> None:
    component = next(component for component, _, _ in WRONG_BESIDE if component.name == name)
    findings = {finding.check: finding for finding in check_component(component, [*silent, "bounds"])}
    assert {check for check, finding in findings.items() if finding.result == "not probed"} == silent
    assert {findings[check].fix for check in silent} == {"see the result of check 'evaluation'"}


@pytest.mark.parametrize("component", SYMMETRIC, ids=lambda component: component.id)
def test_a_bias_that_softmax_ignores_is_told_and_is_no_fault(component: Component) -> None:
    finding, = check_component(component, ["gradients"])
    assert finding.result == "ok"
    assert "no gradient reaches key.bias, which is right: softmax ignores" in finding.seen


def stands_in_it(where: str, component: Component) -> bool:
    """Whether file:line is in the component's own module or options, or in what these extend or hold."""
    parts = [field.annotation for field in component.config.model_fields.values()]
    owners = {*getattr(component.module, "__mro__", [component.module, Linear]), *component.config.__mro__, *parts}
    file, _, line = where.rpartition(":")
    for owner in owners:
        if getattr(owner, "__module__", "").startswith("wrong_components"):
            lines, first = inspect.getsourcelines(owner)
            if Path(file) == Path(inspect.getfile(owner)) and first <= int(line) < first + len(lines):
                return True
    return False


def test_what_cannot_even_be_copied_is_told() -> None:
    finding, = check_component(LOCKED, ["copies"])
    assert finding.result == "failed"
    assert "cannot pickle" in finding.seen
    assert "keep no lock" in finding.fix
    assert stands_in_it(finding.where, LOCKED)


@pytest.mark.parametrize(("component", "seen", "fix"), RAISING, ids=[part.id for part, _, _ in RAISING])
def test_what_fails_on_everything_is_told_once(component: Component, seen: str, fix: str) -> None:
    found = {finding.check: finding for finding in check_component(component)}
    assert found["rule"].result == "failed"
    assert seen in found["rule"].seen
    assert fix in found["rule"].fix
    assert stands_in_it(found["rule"].where, component)
    assert found["rows"].result == "not probed"
    assert found["rows"].fix == "see the result of check 'rule'"


def test_what_is_declared_wrongly_is_shown_where_it_is_declared(tmp_path: Path) -> None:
    text = ('"""An encoder."""\n\nfrom wrong_components import VECTOR, Linear, Width\n\n'
            "from fusionkit.api import Encoder\n\n\nclass Own(Linear):\n    pass\n\n\n"
            "component = Encoder('own', Width, Own, rule=VECTOR, exceptions={'row': 'why', 'dtype': 'why'})\n")
    path = tmp_path / "own.py"
    path.write_text(text, encoding="utf-8")
    component, = discover(files=[path]).providers[-1].components
    wrong, unneeded = check_component(component, ["declaration", "dtype"])
    assert wrong.where == unneeded.where == f"{path}:{len(text.splitlines())}"


def test_a_weight_is_looked_for_in_its_own_class() -> None:
    """Other classes of the same file assign an attribute of the same name before."""
    component = next(part for part in RUNNING if part.id == "head.unbalanced")
    assert stands_in_it(place_of_attribute(component, "layer.weight"), component)


class FaultyKernels(TorchDispatchMode):
    """Stands for a processor whose half-precision convolutions give numbers that nobody wrote."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if "convolution" not in str(function) or args[0].dtype != torch.bfloat16:
            return found
        return tree_map_only(torch.Tensor, lambda x: torch.full_like(x, float("nan")), found)


class Convolved(nn.Module):
    """A convolution with a kernel larger than most volumes, through a function and not a module's `forward`."""

    def __init__(self, config: Config, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, inputs[0].width, 7, 7, 7) / 20)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv3d(features, self.weight, padding=3)


class Pooled(nn.Module):
    """A layer of PyTorch that has no kernel for half precision on a CPU."""

    def __init__(self, config: Config, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.pool(features).flatten(2).mean(2)


def test_a_kernel_that_pytorch_lacks_is_told_and_is_no_fault() -> None:
    component = Encoder("pooled", Config, Pooled, rule="B c d h w -> B c")
    finding, = check_component(component, ["dtype"], inputs=[(2, 4, 6, 8)])
    assert finding.result == "ok"
    assert finding.seen.endswith(
        "bfloat16 was not tried: on this processor PyTorch has none of it for avg_pool3d_out_frame")


class Overflowing(Convolved):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (super().forward(features) + 90).exp()


@pytest.mark.parametrize(("module", "result"), [(Convolved, "ok"), (Overflowing, "failed")])
def test_a_fault_of_the_processors_convolutions_is_not_the_components(module: type[nn.Module], result: str) -> None:
    component = Encoder("convolved", Config, module, rule="B _ d h w -> B 3 d h w")
    with FaultyKernels():
        finding, = check_component(component, ["autocast"], inputs=[(2, 2, 5, 5)])
    assert finding.result == result, str(finding)


def test_what_cannot_be_guessed_is_a_fault() -> None:
    findings = {finding.check: finding for finding in check_component(GUARDED)}
    assert {name for name, finding in findings.items() if finding.result == "ok"} == {
        "declaration", "options", "ports"}
    assert {name for name, finding in findings.items() if finding.result == "failed"} == {"rule"}
    assert "'path'" in findings["rule"].seen
    assert "examples=" in findings["rule"].fix


def test_what_refuses_everything_is_a_fault() -> None:
    rule, rows = check_component(REFUSES, ["rule", "rows"])
    assert rule.result == "failed"
    assert rule.seen == "everything tried is refused, such as 'B _': it wants 1000 features"
    assert "probes=Probes(" in rule.fix and "options= and inputs=" in rule.fix
    assert (rows.result, rows.fix) == ("not probed", "see the result of check 'rule'")


def test_options_that_something_refuses_are_fine_where_another_set_reaches_them() -> None:
    component = next(part for part in RIGHT_TRIED if part.name == "divided")
    labels = {probe.choice.label for probe in probes_of(component).accepted}
    assert {"width=60, parts=3", "mode='grouped'"} <= labels
    assert not probes_of(component).unreached


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
