"""PENet: a residual network for CT volumes that gives a pyramid of maps, the pooled vector, or both.

Source: Huang et al. 2020, PENet - a scalable deep-learning model for automated diagnosis of pulmonary embolism using
volumetric CT imaging, doi:10.1038/s41746-020-0266-y. The pyramid is the one that MMCAF-Net (Yu et al.) reads.
The network that Huang et al. publish has four stages, the one inside MMCAF-Net three: `blocks`, three stages.
The authors' code runs an ASPP before its classifier and keeps an unused decoder: `aspp` adds the first, and
`encoder.penet_decoder` is the second.
PENet uses special initial distributions, MMCAF-Net's PENet those of PyTorch: `start`, by default PyTorch's.
"""
# Axes: B batch, c channels, ... spatial axes of a map, w {width}, e {expansion}, s stage.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Annotated, Any, Literal, Self

from fusionkit_plugins.encoders.aspp import RELEASE_NAMES as ASPP_NAMES
from fusionkit_plugins.encoders.aspp import Aspp, AsppConfig
from fusionkit_plugins.encoders.penet_bottleneck import (
    CONVOLUTIONS,
    Bottleneck,
    BottleneckConfig,
    GroupedConfig,
    read_widths,
    strided,
)
from fusionkit_plugins.encoders.penet_bottleneck import RELEASE_NAMES as BOTTLENECK_NAMES
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import Bundle, Encoder, Probes, Recorded, Release, Shape, TensorShape, Vector, shape_of

_CONVOLVE: dict[int, Callable[..., Tensor]] = {2: F.conv2d, 3: F.conv3d}
_POOLS: dict[int, Any] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_STRIDES = {2: (2, 2), 3: (1, 2, 2)}
Start = Literal["torch", "kaiming", "normal", "xavier"]


class PenetConfig(GroupedConfig):
    """Options of `encoder.penet`."""

    output: Literal["pyramid", "pooled", "both"] = Field(
        "pyramid", description="pyramid: the map of each stage, named f1, f2, ...; pooled: the mean of the last; "
                               "both: the maps, then the vector, named pooled.")
    levels: list[NonNegativeInt] | None = Field(
        None, min_length=1, description="Stages whose maps are returned, counted from 1, with 0 for the first "
                                        "convolution; all stages by default.")
    aspp: PositiveInt | None = Field(
        None, description="Channels of an ASPP between the last map and the pooled vector (the release: 256); none "
                          "by default. 'output: pyramid' has no vector, and builds none.")
    blocks: list[Annotated[PositiveInt, Field(le=1000)]] = Field(
        [3, 4, 6], min_length=1, examples=[[1, 1]],
        description="Bottlenecks of each stage; each after the first halves the spatial size. PENet's classifier has "
                    "[3, 4, 6, 3].")
    width: PositiveInt = Field(128, examples=[16], description="Channels inside the blocks of the first stage, doubled "
                                                               "by each later stage.")
    expansion: PositiveInt = Field(2, description="Channels of a stage's map for each of those inside its blocks.")
    stem_width: PositiveInt = Field(64, examples=[16], description="Channels of the first convolution.")
    channels: Literal["repeat", "mean", "own"] = Field(
        "repeat", description="How the first convolution reads the input. repeat: a single channel is repeated to "
                              "'stem_channels', more channels are unchanged; mean: the mean of the channels "
                              "is repeated; own: channels are always unchanged.")
    stem_channels: PositiveInt = Field(3, description="Channels that one channel is repeated to; the authors' "
                                                      "weights have 3.")
    cardinality: PositiveInt = Field(32, examples=[4], description="Groups of the middle convolution of a block.")
    reduction: PositiveInt = Field(16, description="Channels for each hidden unit of squeeze and excitation.")
    final_survival: float = Field(
        0.5, gt=0, le=1, description="Stochastic depth: block l of L, counted from 0, is kept in a training step "
                                     "with probability 1 - (1 - final_survival) l / L; 1 turns it off.")
    drop: Literal["batch", "case"] = Field(
        "batch", description="Whether stochastic depth draws once for the whole batch, or for each case.")
    start: Start = Field(
        "torch", description="Initial weights. torch: PyTorch's own; kaiming: normal, fan-in, gain sqrt 2; normal: "
                             "deviation 0.2; xavier: normal, gain 0.2. The last three start every block as its skip.")

    @model_validator(mode="after")
    def _every_part_is_reached(self) -> Self:
        if self.levels is None:
            return self
        if self.output == "pooled":
            raise ValueError("'levels' selects maps, but 'output: pooled' gives none")
        if len(set(self.levels)) < len(self.levels) or max(self.levels) > len(self.blocks):
            raise ValueError(f"'levels' must be different numbers from 0 to {len(self.blocks)}, the stages of 'blocks'")
        if self.output == "pyramid" and max(self.levels) < len(self.blocks):
            raise ValueError(f"'levels' does not use the stages after {max(self.levels)}: remove them from 'blocks'")
        return self

    @property
    def given(self) -> list[int]:
        """The levels whose maps are returned, in order of depth."""
        if self.output == "pooled":
            return []
        return sorted(self.levels) if self.levels is not None else list(range(1, len(self.blocks) + 1))

    def stages(self) -> list[list[BottleneckConfig]]:
        """The options of every block, stage by stage."""
        total = sum(self.blocks)
        firsts = accumulate(self.blocks, initial=0)
        same = self.model_dump(include=set(BottleneckConfig.model_fields))
        return [[BottleneckConfig(**same | {
            "width": self.width * 2 ** stage, "stride": 2 if stage and not place else 1,
            "survival": 1 - (1 - self.final_survival) * (first + place) / total}) for place in range(count)]
            for stage, (first, count) in enumerate(zip(firsts, self.blocks, strict=False))]


class Stem(nn.Module):
    """A 7x7 convolution with stride 2 in the plane but not across slices, a norm and a leaky ReLU.

    A channel that would be repeated is convolved once with the sum of the filters: the same result with a third of the
    work.

    Shapes: (B, c, ...); gives (B, stem_width, ...).
    """

    def __init__(self, config: PenetConfig, shape: TensorShape) -> None:
        super().__init__()
        rank = len(shape.spatial)
        self.average = config.channels == "mean"
        repeated = self.average or (config.channels == "repeat" and shape.width == 1)
        channels = config.stem_channels if repeated else shape.width
        self.convolution = CONVOLUTIONS[rank](channels, config.stem_width, 7, _STRIDES[rank], 3, bias=False)
        self.norm = config.norm_of(config.stem_width, strided(shape.spatial, *_STRIDES[rank]))

    def forward(self, features: Tensor) -> Tensor:
        """The first map."""
        weight: Tensor = self.convolution.weight
        x = features.mean(1, keepdim=True) if self.average else features
        if x.shape[1] < weight.shape[1]:
            weight = weight.sum(1, keepdim=True)
        rank = x.dim() - 2
        return F.leaky_relu(self.norm(_CONVOLVE[rank](x, weight, stride=_STRIDES[rank], padding=3)))


class Penet(nn.Module):
    """A stem and a pooling, then stages of bottlenecks; every stride of two maps a side of n to ceil(n / 2).

    The pooling and each stage after the first halve a volume along all axes; the stem halves its plane once more.

    Shapes: (B, c, ...); gives (B, e * w * 2 ** (s - 1), ...) for each stage, and the vector of the last width, or
    that of `aspp`. Missing rows are skipped.

    Raises: ComponentError if 'width' is below 'cardinality', or a group of a norm would have a single value.
    """

    def __init__(self, config: PenetConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        rank = len(inputs[0].spatial)
        maps = _maps(config, inputs[0])
        self.given = config.given
        self.pooled, self.single = config.output != "pyramid", config.output == "pooled"
        self.stem = Stem(config, inputs[0])
        self.pool = _POOLS[rank](3, 2, 1)
        before = shape_of((maps[0].width, *strided(maps[0].spatial, 2)))
        self.stages = nn.ModuleList()
        for blocks, after in zip(config.stages(), maps[1:], strict=True):
            rest = [Bottleneck(block, [after]) for block in blocks[1:]]
            self.stages.append(nn.Sequential(Bottleneck(blocks[0], [before]), *rest))
            before = after
        self.aspp: nn.Module | None = None
        if config.aspp is not None and self.pooled:
            own = AsppConfig(width=config.aspp, norm=config.norm, group_channels=config.group_channels)
            self.aspp = Aspp(own, [before])
        start_weights(self, config.start)

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The maps, the vector, or the maps and the vector."""
        x = self.stem(features)
        maps = [x]
        x = self.pool(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        chosen = [maps[level] for level in self.given]
        if self.pooled:
            x = x if self.aspp is None else self.aspp(x)
            chosen.append(x.mean(tuple(range(2, x.dim()))))
        return chosen[0] if self.single else tuple(chosen)


def start_weights(module: nn.Module, start: Start) -> None:
    """Reinitialise every convolution and linear layer of a module, biases zero; 'torch' changes nothing.

    The last norm of every bottleneck then starts at zero, so that each starts as its skip.
    """
    if start == "torch":
        return
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear):
            _DRAWS[start](part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Bottleneck):
            nn.init.zeros_(part.widen_norm.get_parameter("weight"))


_DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "normal": partial(nn.init.normal_, std=0.2),
    "xavier": partial(nn.init.xavier_normal_, gain=0.2),
}


def _maps(config: PenetConfig, shape: TensorShape) -> list[TensorShape]:
    """The map of every level, with the first convolution as level 0."""
    grid = strided(shape.spatial, *_STRIDES[len(shape.spatial)])
    maps = [shape_of((config.stem_width, *grid))]
    for stage in range(len(config.blocks)):
        grid = strided(grid, 2)
        maps.append(shape_of((config.expansion * config.width * 2 ** stage, *grid)))
    return maps


def penet_shape(config: PenetConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `encoder.penet`."""
    maps = _maps(config, inputs[0])
    vector = Vector((config.aspp or maps[-1].width,))
    if config.output == "pooled":
        return vector
    given = tuple((f"f{level}", maps[level]) for level in config.given)
    return Bundle((*given, ("pooled", vector)) if config.output == "both" else given)


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    first = "encoders.0.penet_blocks.0."
    blocks: dict[int, set[str]] = {}
    for name in shapes:
        if name.startswith("encoders."):
            _, stage, _, block, *_ = name.split(".")
            blocks.setdefault(int(stage), set()).add(block)
    stem_width, stem_channels = shapes["in_conv.0.weight"][:2]
    read: dict[str, Any] = read_widths(shapes, first)
    read |= {"blocks": [len(blocks[stage]) for stage in sorted(blocks)], "stem_width": stem_width,
             "stem_channels": stem_channels}
    classifies = "classifier.fc.weight" in shapes and "asp_pool.in_conv.0.weight" in shapes
    return read | ({"aspp": shapes["asp_pool.in_conv.0.weight"][0]} if classifies else {})


def _replay(module: Penet, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """The maps and, if the recorded network has a classifier, its logit from the pooled vector."""
    *maps, vector = module(inputs[0])
    found = {f"f{level}": one for level, one in enumerate(maps, start=1)} | {"latent": maps[-1]}
    if "classifier.fc.weight" in case.rest:
        found["logit"] = F.linear(vector, case.rest["classifier.fc.weight"], case.rest["classifier.fc.bias"])
    return {name: found[name] for name in case.meta["outputs"]}


RELEASE_NAMES = {"stem.convolution": "in_conv.0", "stem.norm": "in_conv.1",
                 **{f"stages.{{i}}.{{j}}.{ours}": f"encoders.{{i}}.penet_blocks.{{j}}.{theirs}"
                    for ours, theirs in BOTTLENECK_NAMES.items()},
                 **{f"aspp.{ours}": f"asp_pool.{theirs}" for ours, theirs in ASPP_NAMES.items()}}

TAPS = {"stem": "stem", "pool": "pool", "aspp": "aspp", "f1": "stages.0", "f2": "stages.1", "f3": "stages.2",
        "latent": "stages.3"}

component = Encoder(
    "penet", PenetConfig, Penet, rule="B _ ...", output=penet_shape, category="image",
    paper="doi:10.1038/s41746-020-0266-y",
    reference={"release": Release(names=RELEASE_NAMES, unused=("asp_pool.", "decoders.", "out_conv.", "classifier."),
                                  options={"output": "both"}, read=_read, replay=_replay, taps=TAPS)},
    probes=Probes(values={"levels": [[1, 2]]}),
)
