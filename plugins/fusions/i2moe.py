"""I2MoE: copies of one fusion, each held to one kind of interaction, and a network that weighs them for each case.

Source: Xin et al. 2025, I2MoE: Interpretable Multimodal Interaction-aware Mixture-of-Experts, ICML, arXiv 2505.19190;
the release Raina-Xin/I2MoE 75b578e1, MIT, to whose numbers it is held. Departures: the copies begin with weights of
their own, where there all begin alike (`start: copies`); losses of a fusion inside reach its weights; an input that is
missing has no share in losses, and the expert of what is unique to it none in the result.
"""
# Axes: B batch, M inputs, E = M + 2 experts, k {width}.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.pairs import check_several
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Activation,
    Bundle,
    ComponentError,
    Config,
    Fusion,
    Inner,
    Probes,
    Recorded,
    Release,
    Scalar,
    Shape,
    TensorShape,
    Vector,
    activation,
    at_least_single,
    fill_absent,
    inner,
    softmax_present,
    zero_empty,
)

_MARGIN = 1.0
Draw = Callable[[int, int, Tensor], Tensor]
"""What replaces an input: of the number of the expert, that of the input, and the input."""


class I2MoEConfig(Config):
    """Options of `fusion.i2moe`."""

    width: PositiveInt = Field(16, examples=[3], description="Width of the result: the scores of classes, or features.")
    fusion: Inner = inner("fusion", default="fusion.concat", absent=("drop", "neutral", "identity"), description=(
        "The fusion of every expert, which gives a vector; a linear layer follows."))
    activation: Activation = Field("relu", description="What stands between the fusion and the linear layer.")
    start: Literal["fresh", "copies"] = Field(
        "fresh", description="Whether experts begin with weights of their own, or with the same.")
    hidden: PositiveInt = Field(256, examples=[7], description="Hidden features of the network that weighs experts.")
    layers: PositiveInt = Field(2, le=100, description="Its linear layers.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout between them.")
    temperature: PositiveFloat = Field(1.0, description="Divisor of its scores: the smaller, the more one counts.")
    weight: NonNegativeFloat = Field(0.01, description="Weight of the losses of interaction.")


class I2MoE(nn.Module):
    """`y = sum_e w_e f_e(x)`, w the softmax of a network of all inputs; one expert for each input, synergy, redundancy.

    In training every expert also sees each input m replaced by normal noise, f^m. What is unique to input i is to
    change with it alone: `max(0, |f - f^m| - |f - f^i| + 1)`, mean over m other than i. Synergy is to change with any:
    cos(f, f^m). Redundancy is not to change: 1 - cos(f, f^m). `loss_interaction` is `weight` times the mean of these
    over experts; in evaluation nothing is drawn, and it is 0. Inputs should have unit scale, as the noise has. A loss
    of the fusion inside is added, mean over experts.

    Shapes: M inputs, two or more, (B, c) or (B, n, c), as the fusion inside takes them; gives `features`, (B, k), and
    `loss_interaction`, (). Costs M + 2 times the fusion and a linear layer, and the weighing network; a step runs the
    fusion (M + 1) (M + 2) times.

    Missing inputs: as in the fusion inside; the expert of what is unique to it gets no weight, and it is in no loss.
    Rows with nothing present give zeros.

    Raises: ComponentError for a single input, or a fusion that gives no vector.
    """

    def __init__(self, config: I2MoEConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_several(inputs)
        self.config, count = config, len(inputs)
        width = fused_width(config, inputs)
        self.experts = nn.ModuleList(_Expert(config, inputs, width) for _ in range(count + 2))
        if config.start == "copies":
            for expert in self.experts:
                expert.load_state_dict(self.experts[0].state_dict())
        sizes = [sum(shape.width for shape in inputs), *([config.hidden] * (config.layers - 1))]
        steps = [part for before, after in pairwise(sizes)
                 for part in (nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout))]
        self.weigh = nn.Sequential(*steps, nn.Linear(sizes[-1], count + 2))

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The result and the loss."""
        filled = fill_absent(features, present)
        scores_BEk, told = self._asked(filled, present)
        mixed_Bk = (self.weights(*features, present=present).unsqueeze(2) * scores_BEk).sum(1)
        loss = told
        if self.training:
            losses_E = self.interactions(filled, present, scores_BEk, lambda _expert, _place, x: torch.randn_like(x))
            loss = loss + self.config.weight * losses_E.mean()
        return zero_empty(mixed_Bk, present), loss.to(mixed_Bk.dtype)

    def weights(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The weight of each expert, for reports: (B, E), one for each input, synergy, redundancy."""
        filled = fill_absent(features, present)
        scores_BE = self.weigh(torch.cat([x if x.dim() == 2 else x.mean(1) for x in filled], 1))
        there_BE = None
        if present is not None:
            anyone_B1 = present.any(1, keepdim=True)
            there_BE = torch.cat([present, anyone_B1, anyone_B1], 1)
        return softmax_present(scores_BE / self.config.temperature, there_BE)

    def _asked(self, filled: Sequence[Tensor], present: Tensor | None) -> tuple[Tensor, Tensor]:
        """The scores of all experts, and the mean of the losses of the fusions inside."""
        found = [expert(filled, present) for expert in self.experts]
        return torch.stack([scores for scores, _ in found], 1), torch.stack([loss for _, loss in found]).mean()

    def interactions(self, filled: Sequence[Tensor], present: Tensor | None, scores_BEk: Tensor, draw: Draw) -> Tensor:
        """The loss of each expert, (E,), over rows that have the inputs which are replaced."""
        count = len(filled)
        everyone = torch.ones(filled[0].shape[0], count, dtype=torch.bool, device=filled[0].device)
        columns = (everyone if present is None else present).unbind(1)
        losses = []
        for number, expert in enumerate(self.experts):
            own_Bk = at_least_single(scores_BEk[:, number])
            changed = [at_least_single(expert([draw(number, place, x) if other == place else x
                                               for other, x in enumerate(filled)], present)[0])
                       for place in range(count)]
            if number < count:
                terms = [_over((F.pairwise_distance(own_Bk, changed[place])
                                - F.pairwise_distance(own_Bk, changed[number]) + _MARGIN).relu(),
                               columns[place] & columns[number]) for place in range(count) if place != number]
            else:
                alike = [F.cosine_similarity(own_Bk, one) for one in changed]
                terms = [_over(one if number == count else 1 - one, here_B)
                         for one, here_B in zip(alike, columns, strict=True)]
            losses.append(torch.stack(terms).mean())
        return torch.stack(losses)


def _over(values_B: Tensor, counted_B: Tensor) -> Tensor:
    """The mean over counted rows, 0 without any."""
    return values_B.where(counted_B, 0.0).sum() / counted_B.sum().clamp(min=1)


class _Expert(nn.Module):
    """A fusion, an activation and a linear layer: gives (B, k) and the losses of the fusion, ()."""

    def __init__(self, config: I2MoEConfig, inputs: Sequence[TensorShape], width: int) -> None:
        super().__init__()
        self.fusion = config.fusion.module(inputs)
        self.between = activation(config.activation)
        self.last = nn.Linear(width, config.width)

    def forward(self, inputs: Sequence[Tensor], present: Tensor | None) -> tuple[Tensor, Tensor]:
        """The scores and the losses."""
        found = self.fusion(*inputs, present=present)
        first, *losses = found if isinstance(found, tuple) else (found,)
        scores: Tensor = self.last(self.between(first))
        return scores, torch.stack(losses).sum() if losses else scores.new_zeros(())


def fused_width(config: I2MoEConfig, inputs: Sequence[TensorShape]) -> int:
    """The width of what the fusion inside gives.

    Raises: ComponentError if it is no vector, alone or beside losses.
    """
    given = config.fusion.output(inputs)
    parts = [*given.items] if isinstance(given, Bundle) else [("", given)]
    first = parts[0][1]
    if not isinstance(first, TensorShape) or first.layout != "vector" or not all(
            name.startswith("loss_") for name, _ in parts[1:]):
        raise ComponentError(f"{config.fusion.use} gives no vector", f"it gives {given}",
                             "choose a fusion, or options, that give one vector")
    return first.width


def _output(config: I2MoEConfig, inputs: Sequence[TensorShape]) -> Shape:
    fused_width(config, inputs)
    return Bundle((("features", Vector((config.width,))), ("loss_interaction", Scalar(()))))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    told, start = meta.get("constructor", {}), "interaction_experts.0.fusion_model.net"
    return {"fusion": {"use": "fusion.concat", "with": {"width": shapes[f"{start}.0.bias"][0]}}, "activation": "tanh",
            "width": shapes[f"{start}.2.bias"][0], "hidden": shapes["reweight.mlp.network.0.bias"][0],
            "layers": told.get("layers_rw", 2), "temperature": float(told.get("temperature", 1.0))}


def _replay(module: I2MoE, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """The release's fusion is two layers on the concatenated inputs; the noise was drawn from keys."""
    scores_BEk, _ = module._asked(inputs, None)
    weights_BE = module.weights(*inputs)
    losses = module.interactions(inputs, None, scores_BEk, lambda expert, place, x: case.drawn(
        f"noise{expert * len(inputs) + place}", tuple(x.shape)))
    return {"logits": (weights_BE.unsqueeze(2) * scores_BEk).sum(1), "weights": weights_BE, "losses": losses,
            "experts": scores_BEk}


component = Fusion(
    "i2moe", I2MoEConfig, I2MoE, rule="*features: B _ | *features: B _ _", output=_output, absent="drop",
    category="mixture of experts", paper="arXiv:2505.19190",
    probes=Probes(values={"fusion": [{"use": "fusion.concat", "with": {"width": 5}}],
                          "activation": ["tanh", "none"]}, sizes=[((5,), (7,)), ((3,), (5,), (2,))]),
    reference={"release": Release(
        names={"experts.{i}.fusion.project": "interaction_experts.{i}.fusion_model.net.0",
               "experts.{i}.last": "interaction_experts.{i}.fusion_model.net.2", "weigh": "reweight.mlp.network"},
        read=_read, replay=_replay)},
)
