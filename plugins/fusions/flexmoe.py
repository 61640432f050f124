"""Flex-MoE: a bank of tokens for what is missing, and a mixture of experts of which each learns one combination.

Source: Yun et al. 2024, Flex-MoE: Modeling Arbitrary Modality Combination via the Flexible Mixture-of-Experts, NeurIPS,
arXiv 2410.08245; the release UNITES-Lab/Flex-MoE 21688077, MIT, to whose numbers it is held. Departures: attention is
added to the tokens, where the release adds it to itself (`residual: release`); combinations are numbered by decreasing
size everywhere, where the release's model numbers them by increasing size and its gate does not; the bank is part of
the network. Training on complete cases first, as the release does for five epochs, is not included.
"""
# Axes: B batch, M inputs, P tokens of an input, d {width}, T tokens of all cases, E {experts}, C combinations.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import ceil
from typing import Any, Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.sparse_gate import Gating, NoisyGate, Score, check_experts
from fusionkit_plugins.blocks.transformer import Attention, check_heads, valid_keys
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Fusion,
    Probes,
    Recorded,
    Release,
    Scalar,
    Shape,
    TensorShape,
    Vector,
    fill_absent,
    zero_empty,
)

_MOST = 8


class FlexMoEConfig(Config):
    """Options of `fusion.flexmoe`."""

    width: PositiveInt = Field(128, examples=[8], description="Width of the tokens.")
    patches: PositiveInt = Field(16, examples=[3], description="Tokens that a vector is cut into; tokens stay as many "
                                                               "as they are.")
    layers: PositiveInt = Field(1, le=1000, description="Number of blocks; the first, third, ... have experts.")
    heads: PositiveInt = Field(4, examples=[2], description="Number of attention heads; must divide the width.")
    experts: PositiveInt = Field(16, examples=[8], description="Number of experts, one or more for each combination of "
                                                               "inputs.")
    selected: PositiveInt = Field(4, examples=[2], description="How many experts a token is given to.")
    gate: Score = Field("softmax", description="Score of an expert: 'softmax' a product with the token, 'laplace' "
                                               "minus its distance from a learned point, 'gaussian' its square.")
    residual: Literal["tokens", "release"] = Field(
        "tokens", description="What attention is added to: the tokens, or as in the release itself.")
    missing: Literal["combination", "modality", "drop"] = Field(
        "combination", description="What stands for a missing input: learned tokens for each combination of those that "
                                   "are there, the same learned tokens in all, or nothing: it is not attended to.")
    dropout: BlockDropout = 0.5
    weight: NonNegativeFloat = Field(0.01, description="Weight of the loss of the gates.")
    force: bool = Field(False, description="Whether to allow more than eight inputs, for which the bank is large.")


class FlexMoE(nn.Module):
    """Tokens of all inputs, missing ones from the bank, through blocks of attention and of experts; their means.

    `Y = X + attention(LN X)`, then for each input `Y + MoE(LN Y)`, in every second block a plain feed-forward layer. A
    vector of F features is cut into P pieces of ceil(F / P), zeros at the end, and each piece projected. All experts
    are computed for all tokens.

    `loss_gate` is `weight` times the sum over inputs and blocks with experts of: how unevenly complete cases use the
    experts, how unevenly others use all but the first, and the cross entropy of the gate's scores with the number of
    the case's combination, over tokens of incomplete cases. Combinations are numbered by decreasing size.

    Shapes: M inputs (B, c), or (B, P, c) of one P; gives `features`, (B, M d), and `loss_gate`, (). Costs
    (2^M - 1) M P d for the bank (M P d with `missing: modality`), M P d for positions, for each block 4 d^2 + 5 d and
    E (4 d^2 + 3 d) + 2 d E or 4 d^2 + 3 d, and the projections.

    Missing inputs: see `missing`. Rows with nothing present give zeros.

    Raises: ComponentError if there are fewer experts than combinations, heads that do not divide the width, more than
    eight inputs without `force`, or more selected experts than there are.
    """

    table: Tensor

    def __init__(self, config: FlexMoEConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        _check(config, len(inputs))
        self.config, count, size = config, len(inputs), tokens_of(config, inputs)
        self.cut = nn.ModuleList(_Cut(shape, size, config.width) for shape in inputs)
        known = [*by_size(count)]
        places = torch.zeros(2 ** count, dtype=torch.long)
        for place, there in enumerate(known):
            places[sum(2 ** one for one in there)] = place
        self.register_buffer("table", places, persistent=False)
        rows = {"combination": len(known), "modality": 1, "drop": 0}[config.missing]
        self.bank = nn.Parameter(torch.randn(rows, count, size, config.width)) if rows else None
        self.positions = nn.Parameter(torch.zeros(count * size, config.width))
        self.blocks = nn.ModuleList(_Block(config, sparse=place % 2 == 0) for place in range(config.layers))

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The features and the loss."""
        return self.routed(features, present)

    def routed(self, features: Sequence[Tensor], present: Tensor | None, everyone: bool = False
               ) -> tuple[Tensor, Tensor]:
        """The features and the loss; with `everyone` both of its terms of evenness count all tokens and experts."""
        filled = fill_absent(features, present)
        tokens = [cut(x) for cut, x in zip(self.cut, filled, strict=True)]
        there_BM = present
        if there_BM is None:
            there_BM = torch.ones(filled[0].shape[0], len(filled), dtype=torch.bool, device=filled[0].device)
        powers = 2 ** torch.arange(len(filled), device=there_BM.device)
        number_B = self.table[(there_BM * powers).sum(1)]
        valid_Bn = None
        if self.bank is None:
            valid_Bn = valid_keys(tokens, there_BM, None)
        else:
            stand_in = self.bank[number_B if len(self.bank) > 1 else torch.zeros_like(number_B)].to(tokens[0].dtype)
            tokens = [x.where(here_B[:, None, None], stand_in[:, place])
                      for place, (x, here_B) in enumerate(zip(tokens, there_BM.unbind(1), strict=True))]
        joined_Bnd = torch.cat(tokens, 1) + self.positions
        loss = joined_Bnd.new_zeros(())
        for block in self.blocks:
            joined_Bnd, gatings = block(joined_Bnd, len(filled), valid_Bn)
            for place, gating in enumerate(gatings):
                counted_B = there_BM[:, place] if self.bank is None else there_BM.any(1)
                size = gating.shares.shape[0] // number_B.shape[0]
                loss = loss + gate_loss(gating, number_B.repeat_interleave(size), counted_B.repeat_interleave(size),
                                        everyone)
        if valid_Bn is not None:
            joined_Bnd = joined_Bnd.where(valid_Bn.unsqueeze(2), 0.0)
        means_BMd = joined_Bnd.unflatten(1, (len(filled), -1)).mean(2)
        return zero_empty(means_BMd.flatten(1), present), (self.config.weight * loss).to(means_BMd.dtype)


def gate_loss(gating: Gating, number_T: Tensor, counted_T: Tensor, everyone: bool = False) -> Tensor:
    """The loss of one gate: evenness over tokens of complete cases and of others, and the cross entropy of the others.

    Shapes: `number_T` (T,) is the number of the combination of a token's case, 0 = complete; gives ().
    """
    complete_T, other_T = counted_T & (number_T == 0), counted_T & (number_T > 0)
    any_other = other_T.any()
    loss = gating.unevenness(counted_T if everyone else complete_T)
    among = gating.unevenness(counted_T) if everyone else gating.unevenness(other_T, first=1)
    loss = loss + among.where(any_other, 0.0)
    told_T = F.cross_entropy(gating.scores, number_T, reduction="none").where(other_T, 0.0)
    return loss + told_T.sum() / other_T.sum().clamp(min=1)


class _Cut(nn.Module):
    """A vector in pieces, projected, or tokens, projected if their width is another: to (B, P, d)."""

    def __init__(self, shape: TensorShape, size: int, width: int) -> None:
        super().__init__()
        self.vector, self.size = shape.layout == "vector", size
        piece = ceil(shape.width / size) if self.vector else shape.width
        self.missing = piece * size - shape.width if self.vector else 0
        self.project = nn.Linear(piece, width) if self.vector or piece != width else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """The tokens."""
        if self.vector:
            features = F.pad(features, [0, self.missing]).unflatten(1, (self.size, -1))
        tokens: Tensor = self.project(features)
        return tokens


class _Block(nn.Module):
    """Attention among all tokens, then experts or a feed-forward layer for each input's tokens."""

    def __init__(self, config: FlexMoEConfig, sparse: bool) -> None:
        super().__init__()
        width = config.width
        self.itself = config.residual == "release"
        self.norm, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, bias=False)
        self.drop = nn.Dropout(config.dropout)
        self.experts = _Experts(config) if sparse else None
        self.feed = None if sparse else nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * width, width))

    def forward(self, tokens_Bnd: Tensor, inputs: int, valid_Bn: Tensor | None) -> tuple[Tensor, list[Gating]]:
        """The refined tokens, and what the gate decided for each input."""
        normed_Bnd = self.norm(tokens_Bnd)
        attended_Bnd = self.attention(normed_Bnd, normed_Bnd, valid_Bn)
        tokens_Bnd = (attended_Bnd if self.itself else tokens_Bnd) + self.drop(attended_Bnd)
        normed_Bnd = self.norm_feed(tokens_Bnd)
        if self.experts is None:
            assert self.feed is not None
            return tokens_Bnd + self.drop(self.feed(normed_Bnd)), []
        parts = [self.experts(part.flatten(0, 1)) for part in normed_Bnd.chunk(inputs, 1)]
        told = torch.cat([mixed.unflatten(0, (tokens_Bnd.shape[0], -1)) for mixed, _ in parts], 1)
        return tokens_Bnd + self.drop(told), [gating for _, gating in parts]


class _Experts(nn.Module):
    """`sum_e g_e W_e2 gelu(W_e1 x)` of the experts that the gate selects: (T, d) to the same, and the gating."""

    def __init__(self, config: FlexMoEConfig) -> None:
        super().__init__()
        width, count = config.width, config.experts
        self.gate = NoisyGate(width, count, config.selected, config.gate)
        self.widen = nn.Parameter(_uniform(count, 2 * width, width))
        self.widen_shift = nn.Parameter(torch.zeros(count, 2 * width))
        self.narrow = nn.Parameter(_uniform(count, width, 2 * width))
        self.narrow_shift = nn.Parameter(torch.zeros(count, width))

    def forward(self, tokens_Td: Tensor) -> tuple[Tensor, Gating]:
        """The mixture."""
        gating = self.gate(tokens_Td)
        inside_TEh = F.gelu(torch.einsum("td,ehd->teh", tokens_Td, self.widen) + self.widen_shift)
        # Weighted before the second layer, so that the results of all experts need not be kept.
        weighted_TEh = gating.shares.unsqueeze(2) * inside_TEh
        mixed_Td = torch.einsum("teh,edh->td", weighted_TEh, self.narrow) + gating.shares @ self.narrow_shift
        return mixed_Td, gating


def _uniform(*sizes: int) -> Tensor:
    return torch.empty(*sizes).uniform_(-sizes[-1] ** -0.5, sizes[-1] ** -0.5)


def by_size(count: int) -> list[tuple[int, ...]]:
    """Every combination of inputs, all of them first, by decreasing number and within it in order."""
    return [there for size in range(count, 0, -1) for there in combinations(range(count), size)]


def tokens_of(config: FlexMoEConfig, inputs: Sequence[TensorShape]) -> int:
    """The number of tokens of each input."""
    return config.patches if inputs[0].layout == "vector" else inputs[0].positions


def _check(config: FlexMoEConfig, count: int) -> None:
    check_heads(config.width, config.heads)
    check_experts(config.experts, config.selected)
    if count > _MOST and not config.force:
        raise ComponentError(f"{count} inputs have {2 ** count - 1} combinations",
                             "there are learned tokens and an expert for each", "give fewer inputs, or 'force: true'")
    if config.experts < 2 ** count - 1:
        raise ComponentError(f"{config.experts} experts are too few", f"{count} inputs have {2 ** count - 1} "
                             "combinations, and the gate learns an expert for each", f"set 'experts' to "
                             f"{2 ** count - 1} or more")


def _output(config: FlexMoEConfig, inputs: Sequence[TensorShape]) -> Shape:
    _check(config, len(inputs))
    return Bundle((("features", Vector((len(inputs) * config.width,))), ("loss_gate", Scalar(()))))


_BLOCK = "flexmoe.network.{i}"
_NAMES = {"bank": "missing_embeds", "positions": "flexmoe.pos_embed", **{
    f"blocks.{{i}}.{ours}": f"{_BLOCK}.{theirs}" for ours, theirs in {
        "norm": "norm1", "norm_feed": "norm2", "attention.query": "attn.q", "attention.key_value": "attn.kv",
        "attention.join": "attn.proj", "experts.gate.weight": "mlp.all_gates.0.w_gate",
        "experts.gate.spread": "mlp.all_gates.0.w_noise", "experts.widen": "mlp.experts.htoh4.weight",
        "experts.widen_shift": "mlp.experts.htoh4.bias", "experts.narrow": "mlp.experts.h4toh.weight",
        "experts.narrow_shift": "mlp.experts.h4toh.bias", "feed.0": "mlp.network.0",
        "feed.3": "mlp.network.3"}.items()}}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    told = meta.get("constructor", {})
    return {"width": shapes["flexmoe.pos_embed"][2], "experts": shapes["flexmoe.network.0.mlp.gate.w_gate"][1],
            "layers": sum(name.endswith("norm1.bias") for name in shapes), "heads": told.get("num_heads", 4),
            "selected": told.get("top_k", 4),
            "residual": "tokens" if "true residual" in str(meta.get("source", "")) else "release"}


def _layout(name: str, tensor: Tensor) -> Tensor:
    return tensor[0] if name == "positions" else tensor


def _replay(module: FlexMoE, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """The last layers are a head's here; in evaluation the release's loss counts all tokens and experts."""
    known = [case.meta["combination_index"][place] for place in case.meta["combination_of_rows"]]
    present = torch.tensor([[place in there for place in range(len(inputs))] for there in known])
    scores, loss = module.routed(inputs, present, everyone=True)
    start = f"flexmoe.network.{len(module.blocks)}.network."
    for place, name in enumerate(sorted(name for name in case.rest if name.startswith(start) and "weight" in name)):
        scores = F.linear(scores.relu() if place else scores, case.rest[name],
                          case.rest[name.replace("weight", "bias")])
    return {"logits": scores, "gate_loss": loss}


component = Fusion(
    "flexmoe", FlexMoEConfig, FlexMoE, rule="*features: B _ | *features: B n _", output=_output, absent="drop",
    exceptions={"gradients: *gate.spread": "the noise of a gate is drawn in training alone"},
    category="mixture of experts", paper="arXiv:2410.08245", probes=Probes(values={"experts": [8, 11]}),
    reference={"release": Release(
        names=_NAMES, layout=_layout, read=_read, replay=_replay,
        unused=("flexmoe.network.{i}.mlp.gate",), options={"weight": 1.0, "dropout": 0.0})},
)
