"""Components that are wrong in how they run: precision, memory, copies, tracers, the size of numbers."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from wrong_components import VECTOR, Adds, Linear, Named, Width

from fusionkit.api import Encoder, Fusion, Head, TensorShape, fill_absent, zero_empty
from fusionkit.components.component import Component

COUNTED: list[int] = []


class Caches(Linear):
    cache: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        if self.cache is None:
            self.cache = torch.ones_like(features)
        return self.layer(features * torch.ones_like(features))


class Counts(Linear):
    """State outside the module, in training only."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            COUNTED.append(1)
            return self.layer(features) * len(COUNTED)
        return self.layer(features)


class Updates(Linear):
    """A buffer that moves in evaluation too."""

    seen: Tensor

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        self.seen += 1
        return self.layer(features)


class Ranked(Linear):
    """A case's place in the batch is added to it."""

    def forward(self, features: Tensor) -> Tensor:
        place = torch.arange(features.shape[0], device=features.device).to(features.dtype)
        return self.layer(features) + place.unsqueeze(1)


class AlwaysSingle(Linear):
    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features).float()


class NoHalf(Linear):
    """There is no inverse of matrices in half precision."""

    def forward(self, features: Tensor) -> Tensor:
        square = self.layer.weight @ self.layer.weight.T
        wide = square + 9 * torch.ones_like(square[0]).diag()
        return self.layer(features) @ torch.linalg.inv(wide)


class Saturates(Linear):
    """In half precision a sigmoid of 7 is 1 already, and the logarithm of what is left is infinite."""

    def forward(self, features: Tensor) -> Tensor:
        return (1 - (12 * self.layer(features).tanh()).sigmoid()).log()


class Views(nn.Module):
    """Only numbers that lie in order can be viewed as a row."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].count, config.width)

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image.view(image.shape[0], -1))


class LooseTensor(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.scale = torch.full((config.width,), 2.0)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features) * self.scale.to(features)


class LooseModules(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.more = [nn.Linear(config.width, config.width)]

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)


class Drawn(Linear):
    """A number that is drawn once and not saved."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.offset = float(torch.rand((), device="cpu"))

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features) + self.offset


class Lambda(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.activation = lambda features: features.tanh()

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.layer(features))


class Locked(Linear):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.lock = threading.Lock()


class Branches(Linear):
    """A branch that hangs on values: case by case it is the same, so only tracers mind."""

    def forward(self, features: Tensor) -> Tensor:
        result = self.layer(features)
        if float(result.abs().max()) > 1e30:
            return result.clamp(-1e30, 1e30)
        return result


class Loops(Linear):
    """A loop over the cases is recorded for one number of them."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.stack([self.layer(features[case]) for case in range(features.shape[0])])


class Gamma(Linear):
    """ONNX has no such function."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.lgamma(self.layer(features).abs() + 1)


class LowRank(nn.Module):
    """The product of factors that each shrink."""

    def __init__(self, config: Width, inputs: list[TensorShape], deviation: float = 1e-3) -> None:
        super().__init__()
        self.factors = nn.ParameterList(torch.randn(shape.width, config.width) * deviation for shape in inputs)

    def forward(self, *features: Tensor) -> Tensor:
        return torch.stack([x @ factor for x, factor in zip(features, self.factors, strict=True)]).prod(0)


class Explodes(LowRank):
    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs, 30.0)


class Clamps(Adds):
    """Zeros for NaN, but what is merely huge goes through."""

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        if present is None:
            return torch.stack(features).sum(0)
        clean = [torch.where(mask.unsqueeze(1), x, x.detach().nan_to_num(0.0, 0.0, 0.0))
                 for x, mask in zip(features, present.unbind(1), strict=True)]
        return zero_empty(torch.stack(clean).sum(0), present)


class Late(nn.Module):
    """A mask after the arithmetic: the result is clean, the gradient is not."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, config.width)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        parts = [self.layer(x) for x in features]
        if present is not None:
            parts = [torch.where(mask.unsqueeze(1), x, torch.zeros_like(x))
                     for x, mask in zip(parts, present.unbind(1), strict=True)]
        return torch.stack(parts).sum(0)


class Rescales(Adds):
    """A mean over the present with a mask, a sum without."""

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        total = torch.stack(fill_absent(features, present)).sum(0)
        return total if present is None else total / present.sum(1, keepdim=True).clamp(min=1).to(total)


class Divides(Adds):
    """The mean over nothing."""

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        total = torch.stack(fill_absent(features, present)).sum(0)
        count = torch.full_like(total[:, :1], len(features)) if present is None else present.sum(1, True).to(total)
        return total / count


class Ones(Adds):
    """The neutral element of a product, where nothing is left to multiply."""

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        if present is None:
            return torch.stack(features).prod(0)
        kept = [torch.where(mask.unsqueeze(1), x, 1) for x, mask in zip(features, present.unbind(1), strict=True)]
        return torch.stack(kept).prod(0)


class CentresInTraining(Linear):
    """Statistics of the batch, which nothing keeps for evaluation."""

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features - features.mean(0) if self.training else features)


class Normalised(Linear):
    """Statistics of the batch that are kept for evaluation: this is right."""

    def __init__(self, config: Width, inputs: list[TensorShape]) -> None:
        super().__init__(config, inputs)
        self.norm = nn.BatchNorm1d(config.width)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.layer(features))


class NormalisedAndCentred(Normalised):
    """A layer that keeps its statistics, beside statistics that nothing keeps."""

    def forward(self, features: Tensor) -> Tensor:
        result = super().forward(features)
        return result - result.mean(0) if self.training else result


class Unbalanced(nn.Module):
    """Scores for labels where classes are claimed."""

    def __init__(self, config: Named, inputs: list[TensorShape]) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs[0].width, len(config.classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, target, reduction="none")

    def decode(self, output: Tensor) -> Tensor:
        return output.sigmoid()

    def balance(self, counts: Tensor) -> None:
        pass


SAME = "*features: B w -> B w"
MASKED = "*features: B w -> B {width}"


def known(name: str, module: Any, rule: str = SAME) -> Component:
    return Fusion(name, Width, module, rule=rule, absent="drop")


WRONG: list[tuple[Component, set[str], str]] = [
    (Encoder("caches", Width, Caches, rule=VECTOR), {"memory"}, "forward sets attributes of the module: cache"),
    (Encoder("counts", Width, Counts, rule=VECTOR), {"memory"}, "with all buffers restored"),
    (Encoder("updates", Width, Updates, rule=VECTOR), {"evaluation"}, "evaluation changes buffers: seen"),
    (Encoder("ranked", Width, Ranked, rule=VECTOR), {"rows"}, "the same case alone"),
    (Encoder("always_single", Width, AlwaysSingle, rule=VECTOR), {"dtype"}, "float64 inputs give float32"),
    (Encoder("no_half", Width, NoHalf, rule=VECTOR), {"dtype"}, "in bfloat16:"),
    (Encoder("saturates", Width, Saturates, rule=VECTOR), {"autocast"}, "under autocast to bfloat16 a result"),
    (Encoder("views", Width, Views, rule="B _ ... -> B {width}"), {"channels-last"}, "view size is not compatible"),
    (Encoder("loose_tensor", Width, LooseTensor, rule=VECTOR), {"state", "waits"}, "the state dict lacks: scale"),
    (Encoder("loose_modules", Width, LooseModules, rule=VECTOR), {"state"}, "the state dict lacks: more"),
    (Encoder("drawn", Width, Drawn, rule=VECTOR), {"state"}, "a module of another seed"),
    (Encoder("lambda", Width, Lambda, rule=VECTOR), {"copies"}, "cannot be pickled"),
    (Encoder("branches", Width, Branches, rule=VECTOR), {"device", "compile", "export"}, "fullgraph=True"),
    (Encoder("loops", Width, Loops, rule=VECTOR), {"export"}, "with a batch of any size"),
    (Encoder("gamma", Width, Gamma, rule=VECTOR, claims=("onnx",)), {"onnx"}, "prims.lgamma"),
    (Fusion("low_rank", Width, LowRank, rule=MASKED), {"variance"}, "a variance of"),
    (Fusion("explodes", Width, Explodes, rule=MASKED), {"variance"}, "a variance of"),
    (known("clamps", Clamps), {"absence"}, "holds 1e+30 changes the result"),
    (known("late", Late, MASKED), {"absence"}, "changes the gradient of a parameter"),
    (known("rescales", Rescales), {"absence"}, "bit-identical"),
    (known("divides", Divides), {"absence", "autocast"}, "nothing present"),
    (known("ones", Ones), {"absence"}, "nothing present gives 1, not zeros"),
    (Encoder("centres_in_training", Width, CentresInTraining, rule=VECTOR), {"rows"}, "in training a case differs"),
    (Encoder("normalised_and_centred", Width, NormalisedAndCentred, rule=VECTOR), {"rows"},
     "in training a case differs"),
    (Head("unbalanced", Named, Unbalanced, rule="features: B _ -> B {classes}"), {"head"}, "do not sum to 1"),
]
RIGHT: list[Component] = [Encoder("normalised", Width, Normalised, rule=VECTOR)]
LOCKED = Encoder("locked", Width, Locked, rule=VECTOR)
