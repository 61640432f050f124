"""The pytest plugin adds one test for each component and check, and tells findings instead of tracebacks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401  # pytester forgets what its runs import, and torch can be imported once only
from made_packages import installed, write

from fusionkit.testing import conformance, packages  # noqa: F401  # the same
from fusionkit.testing.scaffold.generate import package_files

pytest_plugins = ["pytester"]

PLUGIN = '''"""Difference of two vectors, projected."""

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Fusion, TensorShape


class DifferenceConfig(Config):
    """Options of `fusion.difference`."""

    width: PositiveInt = Field(64, description="Width of the result.")


class Difference(nn.Module):
    """Two vectors (B, w) to one (B, width)."""

    def __init__(self, config: DifferenceConfig, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.project = nn.Linear(inputs[0].width, config.width)
        self.forgotten = nn.Linear(2, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """The projected difference."""
        change = left - right
        return self.project(change - change.mean(0))


component = Fusion("difference", DifferenceConfig, Difference, rule="left: B w, right: B w -> B {width}",
                   exceptions={"gradients: forgotten.*": "kept for the release's weights"})
'''
CHECKS = ("declaration", "options", "ports", "rule", "values", "device", "waits", "bounds", "gradients", "evaluation",
          "memory", "rows", "dtype", "autocast", "variance", "state", "copies", "compile", "export")
OF_MAPS = (*CHECKS, "channels-last")


def test_a_plugin_file_is_checked(pytester: pytest.Pytester) -> None:
    place = pytester.path / "difference.py"
    place.write_text(PLUGIN, encoding="utf-8")
    result = pytester.runpytest_inprocess("--fusionkit", "difference.py", "-vrx", "-k", "ports or rows or gradients")
    result.assert_outcomes(passed=1, failed=1, xfailed=1, deselected=len(CHECKS) - 3)
    text = result.stdout.str()
    assert "difference.py::fusion.difference::rows FAILED" in text
    line = next(number for number, text in enumerate(PLUGIN.splitlines(), 1) if "def forward" in text)
    assert f"{place}:{line}: fusion.difference: rows failed" in text
    assert "fix: do not mix cases" in text
    assert "forgotten.bias, forgotten.weight: kept for the release's weights" in text
    assert "Traceback" not in text
    assert "behaviour.py" not in text


def test_what_cannot_be_probed_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    text = PLUGIN.replace("super().__init__()", "raise ComponentError('it wants 1000 features')")
    (pytester.path / "difference.py").write_text(text, encoding="utf-8")
    result = pytester.runpytest_inprocess("--fusionkit", "difference.py", "-rs", "-k", "ports or rows")
    result.assert_outcomes(passed=1, skipped=1, deselected=len(CHECKS) - 2)
    assert "it wants 1000 features" in result.stdout.str()


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A package whose catalogue is of another component."""
    files = package_files("broken", "encoder")
    catalogue = "fusionkit_broken/registry.yaml"
    write(tmp_path / "package", files | {catalogue: files[catalogue].replace("B {width}", "B 3")})
    return str(tmp_path / "package")


def test_a_package_has_a_test_of_its_own_and_those_of_its_components(pytester: pytest.Pytester, package: str) -> None:
    with installed(Path(package)):
        result = pytester.runpytest_inprocess("--fusionkit", "fusionkit-broken", "-v", "-k", "package or declaration")
        text = result.stdout.str()
        result.assert_outcomes(failed=1, passed=1, deselected=len(OF_MAPS) - 1)
    assert "fusionkit-broken::encoder.broken::declaration PASSED" in text
    assert "the catalogue is stale" in text


def test_the_setting_counts_when_no_files_are_named(pytester: pytest.Pytester, package: str) -> None:
    pytester.makeini("[pytest]\nfusionkit = fusionkit-broken\n")
    pytester.makepyfile(test_own="def test_declaration():\n    pass\n")
    with installed(Path(package)):
        everything = pytester.runpytest_inprocess("-k", "declaration")
        everything.assert_outcomes(passed=2, deselected=len(OF_MAPS))
        pytester.runpytest_inprocess("-k", "declaration", "test_own.py").assert_outcomes(passed=1)


def test_a_package_that_is_not_there_is_a_mistake_of_the_command(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--fusionkit", "fusionkit-nowhere")
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    assert "there is no installed package 'fusionkit-nowhere'" in result.stderr.str()
