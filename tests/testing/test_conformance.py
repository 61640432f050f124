"""The conformance kit passes what is right, finds what is wrong by the right check, and says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_packages import installed, write
from pydantic import Field
from wrong_components import GUARDED, REFUSES, RIGHT, WRONG, Linear

from fusionkit.api import Config, Encoder
from fusionkit.cli import main
from fusionkit.contract import Component
from fusionkit.errors import GraphError
from fusionkit.registry import discover
from fusionkit.testing.conformance import check_component, checks_of
from fusionkit.testing.options import choices
from fusionkit.testing.packages import check_package
from fusionkit.testing.probes import probes_of
from fusionkit.testing.scaffold import package_files


def test_every_bundled_component_passes() -> None:
    findings = check_package("fusionkit")
    assert [str(finding) for finding in findings if finding.result == "failed"] == []
    assert {finding.component for finding in findings} == {"fusionkit", *discover().ids}
    # Which model to take cannot be guessed, and a test of its own tries encoder.timm on several.
    assert {finding.component for finding in findings if finding.result == "not probed"} <= {"encoder.timm"}


@pytest.mark.parametrize("component", RIGHT, ids=lambda component: component.id)
def test_the_components_that_are_varied_here_are_right(component: Component) -> None:
    findings = check_component(component)
    assert {finding.check for finding in findings} == set(checks_of(component))
    assert {finding.result for finding in findings} == {"ok"}


@pytest.mark.parametrize(("component", "checks", "words"), WRONG, ids=[component.id for component, _, _ in WRONG])
def test_a_fault_is_found_by_its_check(component: Component, checks: set[str], words: str) -> None:
    failed = {finding.check: finding for finding in check_component(component) if finding.result == "failed"}
    assert set(failed) == checks
    assert any(words in finding.seen for finding in failed.values()), [str(finding) for finding in failed.values()]
    for finding in failed.values():
        assert finding.component == component.id
        assert finding.fix
        file, _, line = finding.where.rpartition(":")
        assert Path(file).name == "wrong_components.py"
        assert line.isdigit()


def test_what_cannot_be_guessed_is_a_note() -> None:
    findings = {finding.check: finding for finding in check_component(GUARDED)}
    assert {name for name, finding in findings.items() if finding.result == "ok"} == {"options", "ports"}
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


BROKEN = {
    "no entry point": ("entry point", "no entry point in the group", {
        "pyproject.toml": '[project]\nname = "fusionkit-broken"\nversion = "1"\n'}),
    "import error": ("entry point", "ImportError: cannot import name 'nothing'", {
        "fusionkit_broken/__init__.py": "from fusionkit.api import hookimpl\nfrom os import nothing\n"}),
    "no hooks": ("hooks", "fusionkit_catalogue is not implemented", {"fusionkit_broken/__init__.py": '"""Empty."""\n'}),
    "misspelt hook": ("hooks", "fusionkit_catalog", {
        "fusionkit_broken/__init__.py": "from fusionkit.api import hookimpl\n\n@hookimpl\ndef fusionkit_catalog():\n"
                                        "    return 'x'\n"}),
    "no catalogue": ("catalogue", "does not exist", {"fusionkit_broken/registry.yaml": None}),
    "damaged catalogue": ("catalogue", "needs the key 'components'", {
        "fusionkit_broken/registry.yaml": "fusionkit-catalogue: 1\npackage: fusionkit-broken\n"}),
    "component unlisted": ("catalogue", "lacks encoder.other", {
        "fusionkit_broken/other.py": "from fusionkit_broken.broken import Broken, BrokenConfig\n"
                                     "from fusionkit.api import Encoder\n"
                                     "component = Encoder('other', BrokenConfig, Broken, rule='B _ -> B {width}')\n"}),
    "component gone": ("import", "has no 'component'", {"fusionkit_broken/broken.py": '"""Nothing."""\n'}),
    "component crashes": ("import", "ZeroDivisionError: division by zero", {"fusionkit_broken/broken.py": "1 / 0\n"}),
    "wrong base": ("import", "is a dict, not an Encoder", {"fusionkit_broken/broken.py": "component = {}\n"}),
    "contract": ("import", "ContractError: encoder.broken", {
        "fusionkit_broken/broken.py": "from fusionkit.api import Config, Encoder\n"
                                      "component = Encoder('broken', Config, print, rule='B _ -> B d')\n"}),
    "heavy": ("light import", "'numpy'", {
        "fusionkit_broken/__init__.py": package_files("broken", "encoder")["fusionkit_broken/__init__.py"]
        + "\n\nimport numpy\n"}),
    "taken": ("name", "fusionkit 0.", {"fusionkit_broken/registry.yaml": package_files("broken", "encoder")[
        "fusionkit_broken/registry.yaml"].replace("encoder.broken", "encoder.mlp")}),
}


@pytest.mark.parametrize(("check", "words", "changes"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_package_is_told(check: str, words: str, changes: dict[str, str | None], tmp_path: Path) -> None:
    files = {path: text for path, text in (package_files("broken", "encoder") | changes).items() if text is not None}
    with installed(write(tmp_path, files)):
        failed = {finding.check: finding for finding in check_package("fusionkit-broken", components=False)
                  if finding.result == "failed"}
    assert check in failed, failed
    assert words in failed[check].seen
    assert failed[check].fix


def test_the_command_says_all_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = package_files("broken", "encoder")
    path = "fusionkit_broken/broken.py"
    files[path] = files[path].replace("return self.layer(features).relu()", "return features.relu()")
    with installed(write(tmp_path, files)):
        assert main(["plugins", "check", "fusionkit-broken"]) == 1
        text = capsys.readouterr().out
        assert main(["plugins", "check", "fusionkit_broken", "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
    line = files[path].splitlines().index("class Broken(nn.Module):") + 1
    assert f"{tmp_path / path}:{line}: encoder.broken: rule failed" in text
    assert "no gradient reaches layer.bias, layer.weight" in text
    assert "2 failed, 0 not probed" in text
    assert told["passed"] is False
    assert {row["check"] for row in told["findings"] if row["result"] == "failed"} == {"rule", "gradients"}
    assert set(told["findings"][0]) == {"component", "check", "result", "seen", "fix", "where"}


def test_a_package_that_is_not_there_is_a_fault_of_the_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(GraphError, match="not-installed"):
        check_package("fusionkit-nowhere")
    assert main(["plugins", "check", "fusionkit-nowhere"]) == 2
    assert "pip install" in capsys.readouterr().err
