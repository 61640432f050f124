"""FuseMoE: a sparse mixture of experts whose gate goes by the distance of features from learned points.

Source: Han et al. 2024, FuseMoE: Mixture-of-Experts Transformers for Fleximodal Fusion, NeurIPS, arXiv 2402.03226; the
layer as vendored in Raina-Xin/I2MoE 75b578e1, to which recorded numbers are held. Departures: the routers of several
modalities are parameters, where that code has them in a plain list, untrained and all zeros; a missing modality leaves
the sum, or is zeros with a mark beside it, where that code has zeros.
"""
# Axes: B batch, M inputs, c width of all inputs, E {experts}, o {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from fusionkit_plugins.blocks.options import BlockDropout
from fusionkit_plugins.blocks.sparse_gate import Gating, NoisyGate, Score, check_experts
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
    at_least_single,
    fill_absent,
    zero_empty,
)


class FuseMoEConfig(Config):
    """Options of `fusion.fusemoe`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    routing: Literal["permod", "joint", "disjoint"] = Field(
        "permod", description="Who routes: a router for each input among all experts ('permod'), one for all inputs "
                              "concatenated ('joint'), or for each input a router and experts of its own ('disjoint').")
    gate: Score = Field("laplace", description="Score of an expert: 'softmax' a product with the features, 'laplace' "
                                               "minus their distance from a learned point, 'gaussian' its square.")
    experts: PositiveInt = Field(16, examples=[4], description="Number of experts.")
    selected: PositiveInt = Field(4, examples=[2], description="How many of them a router selects for a case.")
    hidden: PositiveInt | None = Field(
        None, examples=[7], description="Hidden features of an expert; None has four times those of its input.")
    noisy: bool = Field(True, description="Whether scores have learned noise in training.")
    dropout: BlockDropout = 0.1
    availability: bool = Field(True, description="With 'routing: joint', whether the experts and their router are told "
                                                 "which inputs are there.")
    weight: NonNegativeFloat = Field(0.01, description="Weight of the loss of experts that are used unevenly.")


class FuseMoE(nn.Module):
    """`y = sum_m log(sum_e g_e(x_m) p_e(x_m))`, p_e = softmax(W_2 gelu(W_1 x)) of the few experts that a gate selects.

    With `routing: joint` one term, of the concatenated inputs. So the result is of logarithms of probabilities over
    its features, at most 0. Every expert is computed for every case. `loss_gate` is `weight` times the sum over routers
    of the squared coefficients of variation of gates and loads, summed over the rows that have the input.

    Shapes: M inputs (B, c); gives `features`, (B, o), and `loss_gate`, (). Costs, with r routers of i features and h
    hidden ones, 2 r i E + E (i h + h + h o + o).

    Missing inputs: leave the sum; with `routing: joint` they are zeros. Rows with nothing present give zeros.

    Raises: ComponentError for more selected experts than there are, or `routing: disjoint` with experts that cannot be
    divided equally among the inputs.
    """

    def __init__(self, config: FuseMoEConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        routers, experts, width = _sizes(config, inputs)
        hidden = config.hidden or 4 * width
        self.routers = nn.ModuleList(NoisyGate(width, experts, config.selected, config.gate, config.noisy)
                                     for _ in range(routers))
        self.experts = nn.ModuleList(nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, config.width))
            for _ in range(experts * (routers if config.routing == "disjoint" else 1)))

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The features and the loss."""
        mixed, loss, _ = self.routed(features, present)
        return mixed, loss

    def routed(self, features: Sequence[Tensor], present: Tensor | None, noise: Sequence[Tensor | None] | None = None
               ) -> tuple[Tensor, Tensor, list[Gating]]:
        """The features, the loss, and what each router decided; `noise` is given to the routers, for reports."""
        filled = fill_absent(features, present)
        everyone = torch.ones(filled[0].shape[0], len(filled), dtype=torch.bool, device=filled[0].device)
        there_BM = everyone if present is None else present
        columns = list(there_BM.unbind(1))
        if self.config.routing == "joint":
            marks = [there_BM.to(filled[0].dtype)] if self.config.availability else []
            filled, columns = [torch.cat([*filled, *marks], 1)], [there_BM.any(1)]
        draws = noise if noise is not None else [None] * len(filled)
        gatings = [router(at_least_single(x), draw)
                   for router, x, draw in zip(self.routers, filled, draws, strict=True)]
        terms = [self._mixed(place, x, gating).where(here_B.unsqueeze(1), 0.0)
                 for place, (x, gating, here_B) in enumerate(zip(filled, gatings, columns, strict=True))]
        uneven = torch.stack([gating.unevenness(here_B) for gating, here_B in zip(gatings, columns, strict=True)])
        features_Bo = torch.stack(terms).sum(0).to(features[0].dtype)
        return zero_empty(features_Bo, present), (self.config.weight * uneven.sum()).to(features_Bo.dtype), gatings

    def _mixed(self, place: int, x: Tensor, gating: Gating) -> Tensor:
        count = gating.shares.shape[1]
        own = range(place * count, (place + 1) * count) if self.config.routing == "disjoint" else range(count)
        expert_EBo = torch.stack([at_least_single(self.experts[number](x)).softmax(1) for number in own])
        mixture_Bo = torch.einsum("be,ebo->bo", gating.shares, expert_EBo)
        # Where all selected experts underflow there would be minus infinity.
        return mixture_Bo.where(mixture_Bo > 0, torch.finfo(mixture_Bo.dtype).eps).log()


def _sizes(config: FuseMoEConfig, inputs: Sequence[TensorShape]) -> tuple[int, int, int]:
    """The number of routers, of experts of each, and of features that these read."""
    count, width = len(inputs), inputs[0].width
    if config.routing == "joint":
        check_experts(config.experts, config.selected)
        return 1, config.experts, count * width + count * config.availability
    own = config.routing == "disjoint"
    if own and config.experts % count:
        raise ComponentError(f"{config.experts} experts cannot be divided equally among {count} inputs",
                             fix="choose 'experts' that is a multiple of the number of inputs")
    experts = config.experts // count if own else config.experts
    check_experts(experts, config.selected)
    return count, experts, width


def _output(config: FuseMoEConfig, inputs: Sequence[TensorShape]) -> Shape:
    _sizes(config, inputs)
    return Bundle((("features", Vector((config.width,))), ("loss_gate", Scalar(()))))


def _names(config: FuseMoEConfig) -> dict[str, str]:
    joint = {"routers.0.weight": "w_gate", "routers.0.spread": "w_noise"}
    several = {"routers.{i}.weight": "w_gate.{i}", "routers.{i}.spread": "w_noise.{i}"}
    return {"experts.{i}.0": "experts.{i}.fc1", "experts.{i}.3": "experts.{i}.fc2",
            **(joint if config.routing == "joint" else several)}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    told = meta.get("constructor", {})
    given = {ours: told[theirs] for ours, theirs in {
        "routing": "router", "gate": "gating", "selected": "top_k", "weight": "loss_coef"}.items() if theirs in told}
    return {**given, "experts": sum(name.endswith("fc1.bias") for name in shapes),
            "width": shapes["experts.0.fc2.bias"][0], "hidden": shapes["experts.0.fc1.bias"][0]}


def _replay(module: FuseMoE, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """The noise of each router was drawn from a key."""
    experts = module.routers[0].get_parameter("weight").shape[1]
    noise = [case.drawn(f"noise{place}", (len(inputs[0]), experts)) for place in range(len(module.routers))]
    mixed, loss, gatings = module.routed(inputs, None, noise if case.meta["constructor"].get("train_noise") else None)
    several = len(gatings) > 1
    return {"y": mixed, "loss": loss, **{f"gates{place if several else ''}": one.shares
                                         for place, one in enumerate(gatings)},
            **{f"load{place if several else ''}": one.load.sum(0) for place, one in enumerate(gatings)}}


component = Fusion(
    "fusemoe", FuseMoEConfig, FuseMoE, rule="*features: B c", output=_output, absent="drop",
    category="mixture of experts", paper="arXiv:2402.03226",
    probes=Probes(together=[{"routing": "disjoint", "experts": 12, "selected": 2}]),
    reference={"release": Release(names=_names, unused=("wg", "wn", "mean", "std"), read=_read, replay=_replay,
                                  options={"availability": False, "dropout": 0.0})},
)
