"""DrFuse: shared and modality-specific features, weighted for each class by attention.

Source: Yao et al. 2024, DrFuse: Learning Disentangled Representation for Clinical Multi-Modal Fusion with Missing
Modality and Modal Inconsistency, arXiv 2403.06197, section 3.
The authors' code sums the divergence over all rows and divides by those with both inputs; here both use the latter.
It leaves out the divergence of 1 - p (`bernoulli: true` adds it). Two inputs, the first always present, are the
authors'; any number, any of them missing, are ours. The losses that need targets are not included, since a fusion does
not see them: those of the parts are heads on `shared` and on the distinct vectors; the ranking of the attention by the
parts' losses is not supported.
"""
# Axes: B batch, M inputs, h width of all vectors, t = M + 1 tokens, K {classes}.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import log
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Fusion,
    Recorded,
    Release,
    Scalar,
    Shape,
    TensorShape,
    Tokens,
    Vector,
    at_least_single,
    fill_absent,
    joined_shape,
    softmax_present,
    zero_empty,
)


class DrFuseConfig(Config):
    """Options of `fusion.drfuse`."""

    classes: PositiveInt = Field(2, description="Number of classes or labels, each with its own attention.")
    inputs: Literal["vectors", "pairs"] = Field(
        "vectors", description="The inputs: 'vectors' one for each modality, from which two linear layers make the "
        "shared and the distinct part; 'pairs' these parts themselves, first shared, first distinct, second shared ...")
    width: PositiveInt | None = Field(
        None, description="Width of the shared and distinct parts made of 'vectors'; None takes that of the inputs.")
    disentangle: NonNegativeFloat = Field(
        1.0, description="Weight of the loss of the cosine between shared and distinct parts.")
    align: NonNegativeFloat = Field(
        1.0, description="Weight of the loss of the divergence between shared parts.")
    bernoulli: bool = Field(
        False, description="Whether the divergence also has the terms of 1 - p; the authors' code has only those of p.")


class ClassAttention(nn.Module):
    """For each class a weighted sum of the tokens: softmax(q . k_class / sqrt h), q the mean query of all tokens.

    Shapes: tokens (B, t, h) and which are present, (B, t); gives class vectors (B, K, h).
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(width, (2 + classes) * width)

    def forward(self, tokens_Bth: Tensor, present_Bt: Tensor) -> Tensor:
        """The class vectors."""
        weights_BtK, values_Bth = self.weigh(tokens_Bth, present_Bt)
        return weights_BtK.mT @ values_Bth

    def weigh(self, tokens_Bth: Tensor, present_Bt: Tensor) -> tuple[Tensor, Tensor]:
        """The weight of each token for each class, (B, t, K), and its value, (B, t, h)."""
        queries_Bth, values_Bth, *keys = self.project(tokens_Bth).split(self.width, 2)
        counts_B1 = present_Bt.sum(1, keepdim=True).clamp(min=1).to(queries_Bth.dtype)
        query_Bh = queries_Bth.where(present_Bt.unsqueeze(2), 0.0).sum(1) / counts_B1
        scores_BtK = torch.stack([(query_Bh.unsqueeze(1) * key).sum(2) for key in keys], 2) / self.width**0.5
        return softmax_present(scores_BtK, present_Bt), values_Bth


class DrFuse(nn.Module):
    """Shared parts pooled as probabilities, attention over the distinct parts and the shared one, a layer per class.

    With S the same layers for all inputs and s_m = S(shared_m), the shared part is s = logit(mean of sigmoid(s_m)).
    The tokens are distinct_1, s, distinct_2, ..., distinct_M.

    `loss_disentangle`: the mean of |cos(s_m, distinct_m)|, summed over m. `loss_align`: the Jensen-Shannon divergence
    of sigmoid(s_a) and sigmoid(s_b), summed over features, mean over rows, mean over pairs of inputs.

    Shapes: M inputs (B, c_m), or M pairs of (B, h); gives `logits` (B, K), `tokens` (B, K, h), the class vectors,
    `shared` (B, h), and the two losses, ().

    Missing inputs: a modality is present if all its inputs are; others do not enter the pooling, the attention and
    the losses. Rows with nothing present give zeros.

    Raises: ComponentError if the widths do not fit, or the number of 'pairs' inputs is odd.
    """

    def __init__(self, config: DrFuseConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        width = _width(config, inputs)
        self.split = nn.ModuleList(
            nn.ModuleList(nn.Linear(shape.width, width) for shape in inputs for _ in range(2))
            if config.inputs == "vectors" else ())
        self.project = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.ReLU(),
                                     nn.Linear(width, width))
        self.attend = ClassAttention(width, config.classes)
        self.decide = nn.Linear(width, config.classes)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, ...]:
        """Logits, class vectors, the shared part, and both losses."""
        shared, distinct, present_BM = self.parts(features, present)
        pooled_Bh = zero_empty(pool(shared, present_BM), present_BM).to(distinct[0].dtype)
        tokens_Bth = torch.stack([distinct[0], pooled_Bh, *distinct[1:]], 1)
        vectors_BKh = zero_empty(self.attend(tokens_Bth, with_shared(present_BM)), present_BM)
        logits_BK = zero_empty((vectors_BKh * self.decide.weight).sum(2) + self.decide.bias, present_BM)
        disentangle = self.config.disentangle * overlap(shared, distinct, present_BM)
        align = self.config.align * divergence(shared, present_BM, self.config.bernoulli)
        return logits_BK, vectors_BKh, pooled_Bh, disentangle.to(pooled_Bh.dtype), align.to(pooled_Bh.dtype)

    def parts(self, features: Sequence[Tensor], present: Tensor | None) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Shared and distinct parts, (B, h) each, zeros for missing modalities, and presence, (B, M)."""
        if present is None:
            present = torch.ones(features[0].shape[0], len(features), dtype=torch.bool, device=features[0].device)
        if self.config.inputs == "pairs":
            present = present[:, 0::2] & present[:, 1::2]
            given, distinct = fill_absent(features[0::2], present), fill_absent(features[1::2], present)
        else:
            filled = fill_absent(features, present)
            halves = [layer(filled[place // 2]) for place, layer in enumerate(self.split)]
            given, distinct = halves[0::2], fill_absent(halves[1::2], present)
        return fill_absent([self.project(part) for part in given], present), distinct, present


def with_shared(present_BM: Tensor) -> Tensor:
    """Which tokens are present, (B, t): the shared one is second and is present if any input is."""
    return torch.cat([present_BM[:, :1], present_BM.any(1, keepdim=True), present_BM[:, 1:]], 1)


def pool(shared: Sequence[Tensor], present_BM: Tensor) -> Tensor:
    """logit(mean of sigmoid(s_m)) over the present ones, without leaving log space: M times (B, h) to (B, h)."""
    # Rows with nothing present keep their filler: minus infinities only would give NaN in between.
    kept_BM = present_BM | ~present_BM.any(1, keepdim=True)
    yes, no = ([F.logsigmoid(sign * at_least_single(s)) for s in shared] for sign in (1, -1))
    return (torch.stack(fill_absent(yes, kept_BM, float("-inf"))).logsumexp(0)
            - torch.stack(fill_absent(no, kept_BM, float("-inf"))).logsumexp(0))


def overlap(shared: Sequence[Tensor], distinct: Sequence[Tensor], present_BM: Tensor) -> Tensor:
    """The mean |cosine| between a shared and a distinct part over the rows that have them, summed over modalities."""
    cosines = [F.cosine_similarity(at_least_single(s), at_least_single(d), dim=1).abs()
               for s, d in zip(shared, distinct, strict=True)]
    return torch.stack([_mean(rows_B, here_B) for rows_B, here_B in zip(cosines, present_BM.unbind(1), strict=True)]
                       ).sum()


def divergence(shared: Sequence[Tensor], present_BM: Tensor, bernoulli: bool) -> Tensor:
    """The Jensen-Shannon divergence of two shared parts, mean over rows that have both, mean over pairs."""
    columns, found = present_BM.unbind(1), []
    for a, b in combinations(range(len(shared)), 2):
        rows_B = jensen_shannon(shared[a], shared[b])
        if bernoulli:
            rows_B = rows_B + jensen_shannon(-shared[a], -shared[b])
        found.append(_mean(rows_B, columns[a] & columns[b]))
    return torch.stack(found).mean() if found else shared[0].new_zeros(())


def _mean(rows_B: Tensor, counted_B: Tensor) -> Tensor:
    return rows_B.where(counted_B, 0.0).sum() / counted_B.sum().clamp(min=1)


def jensen_shannon(one: Tensor, other: Tensor) -> Tensor:
    """(p ln(p/m) + q ln(q/m)) / 2, m = (p + q)/2, of p and q the sigmoids of (B, h), summed over features: (B,)."""
    return apart(F.logsigmoid(at_least_single(one)), F.logsigmoid(at_least_single(other))).sum(1)


def apart(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(p ln(p/m) + q ln(q/m)) / 2 of each element, from logarithms: (B, h) and (B, h) give (B, h)."""
    log_m = torch.logaddexp(log_p, log_q) - log(2.0)
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)) / 2


def _width(config: DrFuseConfig, inputs: Sequence[TensorShape]) -> int:
    if config.inputs == "vectors":
        return joined_shape(config, inputs).width
    if len(inputs) % 2:
        raise ComponentError(f"'inputs: pairs' alternates shared and distinct vectors, but {len(inputs)} are given",
                             fix="give two for each modality, or remove 'inputs'")
    widths = {shape.width for shape in inputs} | ({config.width} if config.width else set())
    if len(widths) > 1:
        raise ComponentError(f"its pairs have {' and '.join(map(str, sorted(widths)))} features",
                             why="shared and distinct vectors are used as tokens, which must have one width",
                             fix="bring them to one width with an `encoder.project`")
    return widths.pop()


def _output(config: DrFuseConfig, inputs: Sequence[TensorShape]) -> Shape:
    width = _width(config, inputs)
    return Bundle((("logits", Vector((config.classes,))), ("tokens", Tokens((config.classes, width))),
                   ("shared", Vector((width,))), ("loss_disentangle", Scalar(())), ("loss_align", Scalar(()))))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    if not shapes:
        return {}
    return {"inputs": "pairs", "classes": shapes["final_pred_fc.weight"][0]}


def _paired(case: Recorded) -> int:
    """How many rows of a case have both inputs."""
    noted = re.search(r"paired rows \((\d+)\)", str(case.meta.get("note", "")))
    return sum(case.meta["pairs"]) if "pairs" in case.meta else int(noted[1]) if noted else len(case.arrays["input0"])


def _replay(module: DrFuse, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    if len(inputs) == 2:
        return {"jsd": jensen_shannon(*inputs).sum() / _paired(case)}
    image_B = torch.tensor(case.meta.get("pairs", [1] * len(inputs[0])), dtype=torch.bool)
    present_B4 = torch.stack([torch.ones_like(image_B)] * 2 + [image_B] * 2, 1)
    logits, vectors, pooled, *_ = module(*inputs, present=present_B4)
    tokens = torch.stack([inputs[1], pooled, inputs[3]], 1)

    def head(name: str, features: Tensor) -> Tensor:
        return F.linear(features, case.rest[f"{name}.weight"], case.rest[f"{name}.bias"]).sigmoid()

    return {"feat_ehr_shared": module.project(inputs[0]), "feat_cxr_shared": module.project(inputs[2]),
            "feat_final": vectors, "pred_final": logits.sigmoid(), "pred_shared": head("fuse_model_shared", pooled),
            "pred_ehr": head("ehr_model.fc_distinct", inputs[1]), "pred_cxr": head("cxr_model_linear", inputs[3]),
            "attn_weights": module.attend.weigh(tokens, with_shared(present_B4[:, 0::2]))[0].mT}


component = Fusion(
    "drfuse", DrFuseConfig, DrFuse, rule="*features: B _", output=_output, absent="drop",
    category="missing modality", paper="arXiv:2403.06197",
    reference={"release": Release(
        names={"project": "shared_project", "attend.project": "attn_proj", "decide": "final_pred_fc"},
        unused=("domain_classifier.", "ehr_model_linear."), read=_read, replay=_replay)},
)
