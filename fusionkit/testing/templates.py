"""The files of a new plugin package, one text each; `$name` and the like are filled in by `scaffold`."""

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
'''

TESTS = '''\
"""`$id` holds to the contract, builds in a network and learns.

The package must be installed: pip install -e .
"""

from __future__ import annotations

import fusionkit
import pytest
import torch
from fusionkit.testing.conformance import check_component, checks_of
from fusionkit.testing.packages import check_package

from $package.$name import component


@pytest.mark.parametrize("check", checks_of(component))
def test_it_holds_to_the_contract(check: str) -> None:
    for finding in check_component(component, [check]):
        assert finding.result == "ok", str(finding)


def test_it_is_found_and_its_catalogue_is_fresh() -> None:
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
| `tests/` | the contract and a network that learns |

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

ENCODER = '''\
"""$title: one learned layer at every position, then a ReLU.

Source: who published it, when, where (arXiv or DOI), and which equations this file implements.
"""
# Axes: B batch, c features of the input, n tokens, ... spatial axes of a map, w {width}.

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.api import Config, Encoder, TensorShape, pointwise
from pydantic import Field, PositiveInt
from torch import Tensor, nn


class $options(Config):
    """Options of `$id`."""

    width: PositiveInt = Field(64, description="Features of the result.")


class $module(nn.Module):
    """relu(W x + b), the same W and b at every position.

    Shapes: (B, c), (B, n, c) or (B, c, ...); gives (B, w), (B, n, w) or (B, w, ...). Absent rows pass by.
    """

    def __init__(self, config: $options, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layer = pointwise(inputs[0], config.width)

    def forward(self, features: Tensor) -> Tensor:
        """The new features."""
        return self.layer(features).relu()


component = Encoder(
    "$name", $options, $module,
    rule="B _ -> B {width} | B n _ -> B n {width} | B _ ... -> B {width} ...",
)
'''

FUSION = '''\
"""$title: the mean of the projected inputs, each with a learned weight.

Source: who published it, when, where (arXiv or DOI), and which equations this file implements.
"""
# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit.api import Config, Fusion, Projections, TensorShape, softmax_present
from pydantic import Field, PositiveInt
from torch import Tensor, nn


class $options(Config):
    """Options of `$id`."""

    width: PositiveInt = Field(64, description="Width of the result; each input is projected to it.")


class $module(nn.Module):
    """sum_m a_m P_m(x_m) with a = softmax of one learned score for each input.

    Shapes: M inputs (B, c_m); gives (B, w). Absent inputs leave the sum, and the weights of the others are
    scaled so that they sum to 1; a row with nothing present gives zeros.
    """

    def __init__(self, config: $options, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.project = Projections(inputs, config.width)
        self.scores_M = nn.Parameter(torch.zeros(len(inputs)))

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The weighted mean."""
        parts_BMw = torch.stack(self.project(features, present), 1)
        weights_BM = softmax_present(self.scores_M.unsqueeze(0), present)
        return (weights_BM.unsqueeze(2) * parts_BMw).sum(1)


component = Fusion(
    "$name", $options, $module,
    rule="*features: B _ -> B {width}", absent="drop",
)
'''

HEAD = '''\
"""$title: classification by one linear layer and cross-entropy.

Source: who published it, when, where (arXiv or DOI), and which equations this file implements.
"""
# Axes: B batch, c features, K {classes}.

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from fusionkit.api import Config, Head, TensorShape, at_least_single
from pydantic import Field
from torch import Tensor, nn


class $options(Config):
    """Options of `$id`."""

    classes: list[str] = Field(min_length=2, description="Names of the classes; the first is class 0.")


class $module(nn.Module):
    """Features to K logits.

    Shapes: (B, c); gives (B, K). Absent rows pass by.
    """

    def __init__(self, config: $options, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, len(config.classes))

    def forward(self, features: Tensor) -> Tensor:
        """The logits."""
        return self.layer(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case, not their mean: (B, K) logits and (B,) class numbers give (B,)."""
        return F.cross_entropy(at_least_single(output), target, reduction="none")

    def decode(self, output: Tensor) -> Tensor:
        """Probabilities (B, K) in the order of the classes."""
        return at_least_single(output).softmax(1)

    def balance(self, counts: Tensor) -> None:
        """Told before training how many cases each class has, (K,); does nothing with it."""


component = Head(
    "$name", $options, $module,
    rule="features: B _ -> B {classes}", task="multiclass", names="classes",
)
'''

UNCERTAINTY = '''\
"""$title: random passes of the network, and how far they spread.

Source: who published it, when, where (arXiv or DOI), and which equations this file implements.
"""
# Axes: S passes, B batch, K columns of a head's result.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit.api import Config, HeadPrediction, Prediction, Runner, Uncertainty
from pydantic import Field
from torch import Tensor


class $options(Config):
    """Options of `$id`."""

    samples: int = Field(10, ge=2, description="Random passes for each case.")


class $module:
    """The mean of the passes; `spread` is their standard deviation, in the column where it is largest."""

    def __init__(self, config: $options) -> None:
        self.samples = config.samples

    def predict(self, run: Runner) -> Prediction:
        """The prediction of every head for the runner's batch."""
        passes = list(run.samples(self.samples))
        return {head: _summary([results[head] for results in passes]) for head in passes[0]}


def _summary(results: Sequence[Tensor]) -> HeadPrediction:
    results_SBK = torch.stack(list(results))
    return HeadPrediction(results_SBK.mean(0), {"spread": results_SBK.std(0, correction=0).amax(1)})


component = Uncertainty(
    "$name", $options, $module,
)
'''
