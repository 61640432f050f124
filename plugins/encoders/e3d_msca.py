"""E3D-MSCA pyramid: the maps of a backbone refined by attention from deep to shallow, then fused into one vector.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), E3D-MSCA, UCB and BFPU as its image encoder chains them.
The paper gives every level a spatial attention of its own, the authors' code shares one: `share_sab`, by default as in
the authors' code. The paper concatenates levels, the authors' code adds weighted maps: `fusion`, by default as in
the authors' code. The authors' code resizes the first enlarged map to a constant and no other; here each is resized to
the map that it is added to if the grids differ, which is the same at the authors' size and works at any other.
"""
# Axes: B batch, L levels, c_l channels of level l from shallow (1) to deep (L), ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from fusionkit_plugins.encoders import cab, dcfb, sab, ucb
from fusionkit_plugins.fusions import bfpu
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Encoder,
    Normalisation,
    Release,
    Shape,
    TensorShape,
    Vector,
    normalisation,
    resized,
    with_width,
)


class E3dMscaConfig(Config):
    """Options of `encoder.e3d_msca`."""

    width: PositiveInt = Field(24, description="Width of the vector.")
    output: Literal["vector", "map", "both"] = Field(
        "vector", description="'vector' gives the pooled and projected features, 'map' the last fused map, 'both' "
                              "the two as 'vector' and 'map'.")
    norm: Normalisation = Field(
        "batch", description="Normalisation of every input map, followed by a ReLU and dropout; 'none' omits "
                             "all three.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of the values of the normalised maps that is dropped.")
    ratio: PositiveInt = Field(16, description="Channels for each hidden channel of the channel attention.")
    sab_kernel: Literal[3, 7, 11] = Field(7, description="Kernel size of the spatial attention.")
    sab_start: Literal["uniform", "normal"] = Field(
        "uniform", description="Initial values of the spatial attention: as PyTorch's convolutions, or normal with "
                               "standard deviation 0.02.")
    share_sab: bool = Field(True, description="Whether all levels share one spatial attention.")
    kernels: dcfb.Kernels = Field([1, 3, 5], description="Sizes of the depthwise kernels, odd numbers.",
                                  examples=[[3, 5]])
    expansion: PositiveInt = Field(2, description="Channels inside the depthwise block for each channel of a level.")
    parallel: bool = Field(True, description="Whether all depthwise branches read the same map.")
    merge: Literal["add", "concat"] = Field("add", description="How the depthwise branches are combined.")
    activation: dcfb.ActivationName = Field("relu6", description="Activation inside the depthwise block.")
    upsample: Literal["linear", "nearest"] = Field("linear", description="How a map is upsampled by two.")
    fusion: Literal["release", "paper"] = Field(
        "release", description="How two levels are fused: 'release' adds weighted maps, 'paper' concatenates gated "
                               "maps.")
    pool: Literal["max", "avg"] = Field("max", description="How the last map is pooled.")
    vector_dropout: float = Field(0.5, ge=0, lt=1, description="Share of the vector's values that is dropped.")

    def parts(self) -> tuple[cab.CabConfig, sab.SabConfig, dcfb.DcfbConfig]:
        """The options of the three attentions of a level."""
        return (cab.CabConfig(ratio=self.ratio), sab.SabConfig(kernel=self.sab_kernel, start=self.sab_start),
                dcfb.DcfbConfig(kernels=self.kernels, expansion=self.expansion, parallel=self.parallel,
                                merge=self.merge, activation=self.activation))


class E3dMsca(nn.Module):
    """p_l = dropout(relu(N_l f_l)); d_L = E_L p_L, d_l = E_l(p_l + resize(UCB_l d_{l+1})); b_1 = d_1,
    b_l = BFPU_{l-1}(d_l, b_{l-1}); v = dropout(relu(W pool(b_L))).

    E_l is channel attention, spatial attention and depthwise convolution fusion in sequence.

    Shapes: L >= 1 maps (B, c_l, ...) from shallow to deep, of any grids; gives (B, width), or the map b_L on the grid
    of the deepest with c_L channels (2 c_L where the paper's fusion joins several), or both. Missing rows are skipped.

    Raises: ComponentError if some inputs are images and others volumes.
    """

    def __init__(self, config: E3dMscaConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        levels = {str(level): shape for level, shape in enumerate(inputs, start=1)}
        channel, spatial, mix = config.parts()
        last = _last_map(config, inputs)
        self.config = config
        self.prepare = nn.ModuleDict({level: _prepared(config, shape) for level, shape in levels.items()})
        self.channel = nn.ModuleDict({
            level: cab.ChannelAttention(channel, [shape]) for level, shape in levels.items()})
        self.spatial = nn.ModuleDict({
            level: sab.SpatialAttention(spatial, [shape]) for level, shape in levels.items()
            if level == "1" or not config.share_sab})
        self.mix = nn.ModuleDict({level: dcfb.Dcfb(mix, [shape]) for level, shape in levels.items()})
        self.enlarge = nn.ModuleDict()
        self.join = nn.ModuleDict()
        joined = inputs[0]
        for level, (shallow, deep) in enumerate(pairwise(inputs), start=1):
            enlarging = ucb.UcbConfig(width=shallow.width, upsample=config.upsample)
            joining = bfpu.BfpuConfig(variant=config.fusion)
            self.enlarge[str(level)] = ucb.Ucb(enlarging, [deep])
            self.join[str(level)] = bfpu.Bfpu(joining, [deep, joined])
            joined = bfpu.bfpu_shape(joining, [deep, joined])
        if config.output != "map":
            self.project = nn.Sequential(nn.Linear(last.width, config.width), nn.ReLU(),
                                         nn.Dropout(config.vector_dropout))

    def forward(self, *maps: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The vector, the last map, or both."""
        levels = [prepare(features) for prepare, features in zip(self.prepare.values(), maps, strict=True)]
        refined = [self._refined(len(levels), levels[-1])]
        for level in range(len(levels) - 1, 0, -1):
            beside = levels[level - 1]
            enlarged = resized(self.enlarge[str(level)](refined[0]), beside.shape[2:])
            refined.insert(0, self._refined(level, beside + enlarged))
        joined = refined[0]
        for join, deep in zip(self.join.values(), refined[1:], strict=True):
            joined = join(deep, joined)
        if self.config.output == "map":
            return joined
        positions = joined.flatten(2)
        vector: Tensor = self.project(positions.amax(2) if self.config.pool == "max" else positions.mean(2))
        return (vector, joined) if self.config.output == "both" else vector

    def _refined(self, level: int, features: Tensor) -> Tensor:
        """E_l of a map."""
        name = str(level)
        attended = self.spatial["1" if self.config.share_sab else name](self.channel[name](features))
        result: Tensor = self.mix[name](attended)
        return result


def _prepared(config: E3dMscaConfig, shape: TensorShape) -> nn.Module:
    if config.norm == "none":
        return nn.Identity()
    return nn.Sequential(normalisation(config.norm, shape), nn.ReLU(), nn.Dropout(config.dropout))


def _last_map(config: E3dMscaConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    """The shape of b_L.

    Raises: ComponentError if some inputs are images and others volumes.
    """
    if len({shape.layout for shape in inputs}) > 1:
        raise ComponentError("some of its inputs are images and others volumes",
                             why="the levels of a pyramid are resized to each other's spatial size",
                             fix="give the maps of one backbone, from shallow to deep")
    doubled = config.fusion == "paper" and len(inputs) > 1
    return with_width(inputs[-1], inputs[-1].width * (2 if doubled else 1))


def e3d_msca_shape(config: E3dMscaConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `encoder.e3d_msca`.

    Raises: ComponentError if some inputs are images and others volumes.
    """
    last, vector = _last_map(config, inputs), Vector((config.width,))
    if config.output == "both":
        return Bundle((("vector", vector), ("map", last)))
    return last if config.output == "map" else vector


def _names(config: E3dMscaConfig) -> dict[str, str]:
    """The parameter names in the authors' code; its chain of one level has no norm, and no numbers in its names."""
    if config.norm == "none":
        return _level_names("1", "") | {"spatial.1.gate.convolution": "sab.conv"}
    names = {"project.0": "fc.0"}
    for level in _LEVELS:
        names |= _level_names(level, level) | {f"prepare.{level}.0": f"scale{level}.0",
                                               f"spatial.{level}.gate.convolution": "sab.conv"}
    return names


def _level_names(level: str, number: str) -> dict[str, str]:
    return {f"{ours}.{level}.{name}": f"{theirs}{number}.{there}"
            for ours, theirs, inner in (("channel", "cab", cab.NAMES), ("mix", "dcfb", dcfb.NAMES),
                                        ("enlarge", "ucb", ucb.NAMES), ("join", "bfpu", bfpu.NAMES))
            for name, there in inner.items()}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the authors' pyramid, or of its chain of one level, which ends in a map."""
    level = "1" if "cab1.fc1.weight" in shapes else ""
    hidden, channels = shapes[f"cab{level}.fc1.weight"][:2]
    start = f"dcfb{level}."
    block = dcfb.read_release({name.removeprefix(start): shape for name, shape in shapes.items()
                               if name.startswith(start)}, "")
    options: dict[str, Any] = {name: block[name] for name in ("kernels", "expansion", "merge")}
    options |= {"ratio": channels // hidden, "sab_kernel": shapes["sab.conv.weight"][-1]}
    return options | ({"width": shapes["fc.0.weight"][0]} if level else {"norm": "none", "output": "map"})


_LEVELS = tuple("123456789")  # the authors' code has three, and nothing in its names depends on how many
_TAPS = {"feature": ""} | {
    f"{theirs}{level}{after}": f"{ours}.{level}" for level in _LEVELS
    for ours, theirs, after in (("prepare", "f", "_norm"), ("mix", "d", ""), ("enlarge", "ucb", ""),
                                ("join", "bf", ""))}

component = Encoder(
    "e3d_msca", E3dMscaConfig, E3dMsca, rule="*maps: B _ _...", output=e3d_msca_shape, category="attention",
    paper="arXiv:2405.06880", reference={"release": Release(names=_names, read=_read, taps=_TAPS)},
)
