"""The files of a new plugin package but its component; `scaffold` fills in `$name` and the like."""

from __future__ import annotations

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$project"
version = "0.1.0"
description = "$id, a plugin of fusionkit"
readme = "README.md"
requires-python = ">=3.11"
license = "Apache-2.0"
license-files = ["LICENSE"]
dependencies = ["fusionkit>=$version"]

[project.optional-dependencies]
test = ["pytest>=8.3", "ruff>=0.8"]

# By this line fusionkit finds the package: the module that has the hooks.
[project.entry-points.fusionkit]
$graph = "$package"

[tool.setuptools]
packages = ["$package"]

[tool.setuptools.package-data]
$package = ["registry.yaml", "graphs/*.yaml"]

[tool.ruff]
line-length = 120
target-version = "py311"

[tool.ruff.lint]
select = ["E", "F", "W", "I", "N", "UP", "B"]
# Local tensors end in their axes, as in features_Bw; torch.nn.functional is F everywhere in this field.
ignore = ["N803", "N806", "N812"]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""

INIT = '''\
"""Plugins of $project.

Every fusionkit command imports this file, so it is light and imports no component.
"""

from __future__ import annotations

from pathlib import Path

from fusionkit.api import hookimpl

_HERE = Path(__file__).resolve().parent


@hookimpl
def fusionkit_catalogue() -> Path:
    """The catalogue, written by `fusionkit plugins catalogue $project --write`."""
    return _HERE / "registry.yaml"


@hookimpl
def fusionkit_graphs() -> Path:
    """The folder of published graphs; `fusionkit build NAME` builds NAME.yaml in it."""
    return _HERE / "graphs"


@hookimpl
def fusionkit_contract() -> str:
    """The versions of fusionkit's contract for which this package is written."""
    return "$contract"
'''

CONTINUOUS = """\
name: test
on: [push, pull_request]
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-latest
    strategy:
      matrix: {python: ["3.11", "3.13"]}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "$${{ matrix.python }}", cache: pip}
      - run: pip install -e '.[test]' --extra-index-url https://download.pytorch.org/whl/cpu
      - run: ruff check
      - run: pytest
      - run: fusionkit plugins check $project
"""

IGNORED = """\
__pycache__/
*.egg-info/
*.py[cod]
.pytest_cache/
.ruff_cache/
.venv/
build/
dist/
"""

TESTS = '''\
"""`$id` holds to the contract, builds in a network and learns.

The package must be installed: pip install -e .
"""

from __future__ import annotations

import fusionkit
import pytest
import torch
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.packages import check_package

from $package.$name import component

KIT = Kit(component)


@pytest.mark.parametrize("check", checks_of(component))
def test_it_holds_to_the_contract(check: str) -> None:
    finding = KIT.finding(check)
    assert finding.result in ("ok", "excepted"), str(finding)


def test_the_package_is_whole_and_its_catalogue_fresh() -> None:
    for finding in check_package("$project", components=False):
        assert finding.result == "ok", str(finding)


def test_it_learns_in_a_network() -> None:
    torch.manual_seed(0)
    network = fusionkit.build("$graph")
    inputs, target = {"image": torch.randn(8, 1, 17, 19), "table": torch.randn(8, 7)}, torch.arange(8) % 2
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        loss = network.head("result").loss(network(inputs)["result"], target).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
'''

README = """\
# $project

`$id`, a plugin of fusionkit: say here what it does, where it is published, and when to use it.

    pip install -e '.[test]'
    fusionkit plugins show $id
    fusionkit build $graph

In a graph:

    $snippet

## Working on it

| file | holds |
| --- | --- |
| `$package/$name.py` | the component: source, options, module, declaration |
| `$package/registry.yaml` | the catalogue; after a change: `fusionkit plugins catalogue $project --write` |
| `$package/graphs/` | graphs that the package publishes, each by its file name |
| `$package/__init__.py` | where these are, and for which contract of fusionkit the package is written |
| `tests/` | the contract and a network that learns |
| `.github/workflows/test.yml` | all of that on every push |

    ruff check
    pytest
    fusionkit plugins check $project
"""

LICENSE = """\
Copyright the authors of $project

Licensed under the Apache License, Version 2.0 (the "License"); you may not use this package except in
compliance with the License. You may obtain a copy of the License at

    https://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software distributed under the License is
distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and limitations under the License.
"""
