"""Components with masked tokens that break one rule each, and what the kit says of them; and some that are right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    Encoder,
    Fusion,
    PresentBatchNorm,
    TensorShape,
    fill_padding,
    masked_layers,
    mean_valid,
    softmax_present,
)
from fusionkit.components.component import Component


class Plain(Config):
    """No options."""


class Sum(nn.Module):
    """Padding counts."""

    def __init__(self, config: Plain, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        return tokens.sum(1)


class Divides(Sum):
    """The sum leaves padding out, the number it is divided by does not."""

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        return fill_padding(tokens, valid).sum(1) / tokens.shape[1]


class Largest(Sum):
    """A maximum over zeros."""

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        return fill_padding(tokens, valid).amax(1)


class Nothing(Sum):
    """A softmax over nothing."""

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        scores = tokens.sum(2, keepdim=True)
        if valid is not None:
            scores = scores.where(valid.unsqueeze(2), float("-inf"))
        return (scores.softmax(1) * fill_padding(tokens, valid)).sum(1)


class Norm(nn.Module):
    """Statistics of a batch with its padding."""

    def __init__(self, config: Plain, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.norm = PresentBatchNorm(inputs[0])

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        return self.norm(tokens)


class GoodNorm(Norm):
    """Statistics of a batch without its padding."""

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        return self.norm(tokens) if valid is None else masked_layers([self.norm], tokens, valid)


class Unasked(Sum):
    """No keyword for the mask."""

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        return tokens.mean(1)


class First(nn.Module):
    """The order of tokens matters."""

    def __init__(self, config: Plain, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, *features: Tensor, valid: Sequence[Tensor | None] | None = None) -> Tensor:
        masks = [None] * len(features) if valid is None else valid
        steps = [1 / torch.arange(1, x.shape[1] + 1).to(x).reshape(1, -1, 1) for x in features]
        return torch.stack([(fill_padding(x, m) * s).sum(1) for x, m, s in zip(features, masks, steps, strict=True)]
                           ).sum(0)


class Good(Sum):
    """Everything as it should be."""

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        weights = softmax_present(tokens.sum(2, keepdim=True), valid)
        return mean_valid(tokens, valid) + (weights * fill_padding(tokens, valid)).sum(1)


class Deaf(nn.Module):
    """It asks which cells are blank, and does not listen."""

    def __init__(self, config: Plain, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(inputs[0].width))

    def forward(self, features: Tensor, known: Tensor | None = None) -> Tensor:
        return features * self.scale


class Doubled(Deaf):
    """A mask without a blank cell is another computation than none."""

    def forward(self, features: Tensor, known: Tensor | None = None) -> Tensor:
        return features * self.scale * (1 if known is None else 1 + known.to(features.dtype))


class Counted(Deaf):
    """Cells that are there, and how many are not."""

    def forward(self, features: Tensor, known: Tensor | None = None) -> Tensor:
        blank = 0 if known is None else (~known).to(features.dtype).sum(1, keepdim=True)
        return features * self.scale + blank


BAG = "B [n] c -> B c"
WRONG: list[tuple[Component, set[str], str]] = [
    (Encoder("sums", Plain, Sum, rule=BAG), {"padding"}, "padding that holds 10000 changes the result"),
    (Encoder("divides", Plain, Divides, rule=BAG), {"padding"}, "with 3 more tokens of padding the result differs"),
    (Encoder("largest", Plain, Largest, rule=BAG), {"padding"}, "a case of one token in a padded batch differs by"),
    (Encoder("nothing", Plain, Nothing, rule=BAG), {"padding"}, "a case without a token gives a result or a gradient"),
    (Encoder("norm", Plain, Norm, rule="B [n] c -> B [n] c"), {"padding"}, "changes the result in training"),
    (Encoder("unasked", Plain, Unasked, rule=BAG), {"ports", "padding"}, "forward has no keyword 'valid'"),
    (Encoder("not_given", Plain, Good, rule="B n c -> B c"), {"ports"}, "the rule never gives it"),
    (Encoder("deaf", Plain, Deaf, rule="B c -> B c", known=True), {"known"}, "which cells are blank changes no result"),
    (Encoder("doubled", Plain, Doubled, rule="B c -> B c", known=True), {"known"}, "with every cell known the result"),
    (Fusion("first", Plain, First, rule="*features: B [_] c -> B c", claims=("symmetric",)), {"padding"},
     "with the tokens of each case in another order"),
]
RIGHT: list[Component] = [
    Encoder("good", Plain, Good, rule=BAG),
    Encoder("counted", Plain, Counted, rule="B c -> B c", known=True),
    Encoder("good_norm", Plain, GoodNorm, rule="B [n] c -> B [n] c"),
]
