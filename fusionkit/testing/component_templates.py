"""The component of a new plugin package, one text for each kind; `scaffold` fills in `$name` and the like."""

from __future__ import annotations

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
