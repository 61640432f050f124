"""E3D-MSCA pyramid: the maps of a backbone refined by attention from deep to shallow, joined back, one vector.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), E3D-MSCA, UCB and BFPU as its image encoder chains them.
The paper gives every level a spatial attention of its own, the release shares one: `share_sab`, the release's.
The paper joins levels side by side, the release adds weighed maps: `fusion`, the release's.
The release resizes the first enlarged map to a constant and no other; here each is resized to the map that it is
added to if the grids differ, which is the same at the release's size and works at any other.
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
        "vector", description="'vector' gives the pooled and projected features, 'map' the last joined map, 'both' "
                              "the two as 'vector' and 'map'.")
    norm: Normalisation = Field(
        "batch", description="Normalisation of every map that comes in, followed by a ReLU and dropout; 'none' leaves "
                             "out all three.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of the values of the normalised maps that is dropped.")
    ratio: PositiveInt = Field(16, description="Channels for each hidden channel of the channel attention.")
    sab_kernel: Literal[3, 7, 11] = Field(7, description="Edge of the spatial attention's kernel, in positions.")
    sab_start: Literal["uniform", "normal"] = Field(
        "uniform", description="How the spatial attention starts: as PyTorch's convolutions, or normal with "
                               "deviation 0.02.")
    share_sab: bool = Field(True, description="Whether all levels share one spatial attention.")
    kernels: dcfb.Kernels = Field([1, 3, 5], description="Edges of the depthwise kernels, odd numbers.",
                                  examples=[[3, 5]])
    expansion: PositiveInt = Field(2, description="Channels inside the depthwise block for each channel of a level.")
    parallel: bool = Field(True, description="Whether all depthwise branches read the same map.")
    merge: Literal["add", "concat"] = Field("add", description="How the depthwise branches are joined.")
    activation: dcfb.ActivationName = Field("relu6", description="Function inside the depthwise block.")
    upsample: Literal["linear", "nearest"] = Field("linear", description="How a map's grid is doubled.")
    fusion: Literal["release", "paper"] = Field(
        "release", description="How two levels are joined: 'release' adds weighed maps, 'paper' puts gated maps side "
                               "by side.")
    pool: Literal["max", "avg"] = Field("max", description="How the positions of the last map become one.")
    vector_dropout: float = Field(0.5, ge=0, lt=1, description="Share of the vector's values that is dropped.")

    def parts(self) -> tuple[cab.CabConfig, sab.SabConfig, dcfb.DcfbConfig]:
        """The options of the three attentions of a level."""
        return (cab.CabConfig(ratio=self.ratio), sab.SabConfig(kernel=self.sab_kernel, start=self.sab_start),
                dcfb.DcfbConfig(kernels=self.kernels, expansion=self.expansion, parallel=self.parallel,
                                merge=self.merge, activation=self.activation))


class E3dMsca(nn.Module):
    """p_l = dropout(relu(N_l f_l)); d_L = E_L p_L, d_l = E_l(p_l + resize(UCB_l d_{l+1})); b_1 = d_1,
    b_l = BFPU_{l-1}(d_l, b_{l-1}); v = dropout(relu(W pool(b_L))).

    E_l is channel attention, spatial attention and depthwise convolution fusion in a row.

    Shapes: L >= 1 maps (B, c_l, ...) from shallow to deep, of any grids; gives (B, width), or the map b_L on the grid
    of the deepest with c_L channels (2 c_L where the paper's fusion joins several), or both. Absent rows pass by.

    Raises: ComponentError when some inputs are images and others volumes.
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

    Raises: ComponentError when some inputs are images and others volumes.
    """
    if len({shape.layout for shape in inputs}) > 1:
        raise ComponentError("some of its inputs are images and others volumes",
                             why="the levels of a pyramid are brought to each other's grids",
                             fix="give the maps of one backbone, from shallow to deep")
    doubled = config.fusion == "paper" and len(inputs) > 1
    return with_width(inputs[-1], inputs[-1].width * (2 if doubled else 1))


def e3d_msca_shape(config: E3dMscaConfig, inputs: Sequence[TensorShape]) -> Shape:
    """What `encoder.e3d_msca` gives.

    Raises: ComponentError when some inputs are images and others volumes.
    """
    last, vector = _last_map(config, inputs), Vector((config.width,))
    if config.output == "both":
        return Bundle((("vector", vector), ("map", last)))
    return last if config.output == "map" else vector


def _names(config: E3dMscaConfig) -> dict[str, str]:
    """How parameters are called in the release; its chain of one level has no norm, and no numbers in its names."""
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
    """Options of the release's pyramid, or of its chain of one level, which ends in a map."""
    level = "1" if "cab1.fc1.weight" in shapes else ""
    hidden, channels = shapes[f"cab{level}.fc1.weight"][:2]
    start = f"dcfb{level}."
    block = dcfb.read_release({name.removeprefix(start): shape for name, shape in shapes.items()
                               if name.startswith(start)}, "")
    options: dict[str, Any] = {name: block[name] for name in ("kernels", "expansion", "merge")}
    options |= {"ratio": channels // hidden, "sab_kernel": shapes["sab.conv.weight"][-1]}
    return options | ({"width": shapes["fc.0.weight"][0]} if level else {"norm": "none", "output": "map"})


_LEVELS = tuple("123456789")  # the release has three, and nothing in its names depends on how many
_TAPS = {"feature": ""} | {
    f"{theirs}{level}{after}": f"{ours}.{level}" for level in _LEVELS
    for ours, theirs, after in (("prepare", "f", "_norm"), ("mix", "d", ""), ("enlarge", "ucb", ""),
                                ("join", "bf", ""))}

component = Encoder(
    "e3d_msca", E3dMscaConfig, E3dMsca, rule="*maps: B _ _...", output=e3d_msca_shape, category="attention",
    paper="arXiv:2405.06880", reference={"release": Release(names=_names, read=_read, taps=_TAPS)},
)
