"""TabM: many copies of a perceptron for tables that share their large matrices, each with scales of its own.

Source: Gorishniy, Kotelnikov, Babenko 2025, TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling,
arXiv 2410.24210, section 3; the authors' package tabm, Apache-2.0, to which recorded numbers are held.
"""
# Axes: B batch, C columns of the table, k {copies}, i inputs and o outputs of a layer, D {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from fusionkit_plugins.blocks.tables import Row, RowConfig, row_probes
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Encoder, Recorded, Release, Shape, TensorShape, Tokens


class TabmConfig(RowConfig):
    """Options of `encoder.tabm`."""

    copies: PositiveInt = Field(32, le=1024, examples=[3], description="Number of copies, each of which gives a token.")
    width: PositiveInt = Field(512, examples=[16], description="Width of every layer and of the tokens.")
    blocks: PositiveInt = Field(3, le=100, description="Number of layers.")
    scales: Literal["all", "first"] = Field(
        "all", description="Where copies differ: scales before and after every layer, with biases (TabM); or scales of "
                           "the first inputs alone (TabM-mini).")
    start: Literal["auto", "normal", "signs"] = Field(
        "auto", description="Initial scales of the first inputs: normal, random signs, or auto: normal with 'plr', "
                            "signs without.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Probability of dropping a feature after every layer.")


class Layer(nn.Module):
    """`(x * r_c) W^T * s_c + b_c` for copy c; shared are W, and with `scales: first` all but r.

    Shapes: (B, k, i); gives (B, k, o).
    """

    def __init__(self, inputs: int, width: int, copies: int | None) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(width, inputs).uniform_(-bound, bound))
        # Copies start with equal biases; what makes them differ is the first r.
        bias = torch.empty(width).uniform_(-bound, bound)
        self.bias = nn.Parameter(bias if copies is None else bias.repeat(copies, 1))
        self.r = None if copies is None else nn.Parameter(torch.ones(copies, inputs))
        self.s = None if copies is None else nn.Parameter(torch.ones(copies, width))

    def forward(self, x_Bki: Tensor) -> Tensor:
        """The outputs of every copy."""
        if self.r is not None:
            x_Bki = x_Bki * self.r
        mixed = x_Bki @ self.weight.mT
        return (mixed if self.s is None else mixed * self.s) + self.bias


class Tabm(Row):
    """k copies of a perceptron in parallel; linear layers as above, each with ReLU and dropout.

    The last columns may hold codes: 1 to size for the known categories, which become indicators, 0 for unknown and for
    every invalid one, which become zeros. Numbers should be standardised. The copies are an ensemble only if each has a
    loss of its own, as in `head.tabm`; a head on their mean trains one network.

    Shapes: (B, C); gives tokens (B, k, D). Missing rows are skipped.

    Raises: ComponentError if there are more categories than columns, or they are left to data that is not given.
    """

    def __init__(self, config: TabmConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(config, inputs[0], None)
        self.copies = config.copies
        every = config.scales == "all"
        widths = [self.width, *[config.width] * config.blocks]
        self.blocks = nn.ModuleList(Layer(before, config.width, config.copies if every else None)
                                    for before in widths[:-1])
        first = torch.randn(config.copies, self.width)
        if config.start == "signs" or (config.start == "auto" and config.numbers == "linear"):
            first = torch.where(first < 0, -1.0, 1.0)
        self.first: nn.Parameter | None = None
        if every:
            r = self.blocks[0].r
            assert isinstance(r, nn.Parameter)
            r.data.copy_(first)
        else:
            self.first = nn.Parameter(first)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, table: Tensor) -> Tensor:
        """The features of each copy."""
        x_Bki: Tensor = super().forward(table).unsqueeze(1).expand(-1, self.copies, -1)
        if self.first is not None:
            x_Bki = x_Bki * self.first
        for layer in self.blocks:
            x_Bki = self.dropout(layer(x_Bki).relu())
        return x_Bki


def shape(config: TabmConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A token for each copy."""
    return Tokens((config.copies, config.width))


def _layout(name: str, tensor: Tensor) -> Tensor:
    """The shared linear layer of the authors' embeddings has (width, inputs), ours (1, inputs, width)."""
    if name == "waves.weight" and tensor.dim() == 2:
        return tensor.mT.unsqueeze(0)
    return tensor.unsqueeze(0) if name == "waves.bias" and tensor.dim() == 1 else tensor


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the sizes of a checkpoint tell; the categories stand in the constructor alone."""
    said = str(meta.get("constructor", "")).partition("cat_cardinalities=[")[2].partition("]")[0]
    copies, _ = shapes["backbone.blocks.0.0.r"]
    found: dict[str, Any] = {
        "copies": copies, "width": shapes["backbone.blocks.0.0.weight"][0],
        "blocks": len({name.split(".")[2] for name in shapes if name.startswith("backbone.blocks.")}),
        "categories": [int(size) for size in said.split(",") if size]}
    waves = shapes.get("num_module.linear.weight")
    if waves is not None:
        found |= {"numbers": "plr", "lite": len(waves) == 2, "frequencies": shapes["num_module.periodic.weight"][1],
                  "wave_width": waves[0] if len(waves) == 2 else waves[2]}
    return found


def _replay(module: Tabm, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """Their codes count from 0, ours from 1; the last layer of theirs is the head's here."""
    tokens = module(torch.cat([inputs[0], *(codes + 1 for codes in inputs[1:])], 1))
    logits = torch.einsum("bkd,kdo->bko", tokens, case.rest["output.weight"]) + case.rest["output.bias"]
    return {"backbone": tokens, "logits": logits, "mean": logits.mean(1)}


component = Encoder(
    "tabm", TabmConfig, Tabm, rule="B _", output=shape, category="table", paper="arXiv:2410.24210",
    categories="categories", claims=("onnx",), probes=row_probes(width=16, copies=3),
    reference={"release": Release(
        names={"waves.frequencies": "num_module.periodic.weight", "waves.weight": "num_module.linear.weight",
               "waves.bias": "num_module.linear.bias", "blocks.{i}": "backbone.blocks.{i}.0"},
        layout=_layout, read=_read, replay=_replay, options={"dropout": 0.0},
        sizes=lambda inputs, meta: [[sum(sizes[0] for sizes in inputs)]])},
    exceptions={"values: categories='auto'": "it is taken from the data of a study"})
