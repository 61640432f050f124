"""3D ResNet, in the form of MedicalNet too: late layers dilated in place of strided, shortcuts with or without weights.

Source: Chen, Ma, Zheng 2019, Med3D: Transfer Learning for 3D Medical Image Analysis, arXiv 1904.00625, whose weights
`preset: medicalnet` takes. MONAI's ResNet takes the same weights and computes something else with them: its third and
fourth layers have strides of 2 and no dilation.
"""
# Axes: B batch, c channels, ... three spatial axes, w width of a layer.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import Bundle, Config, Encoder, Probes, Recorded, Release, Shape, TensorShape, Vector, Volume

_BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
           152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
_DILATIONS = {"plain": (1, 1, 1, 1), "medicalnet": (1, 1, 2, 4)}
_STRIDES = {"plain": (1, 2, 2, 2), "medicalnet": (1, 2, 1, 1)}
Counts = Annotated[list[Annotated[PositiveInt, Field(le=1000)]], Field(min_length=4, max_length=4)]


class ResNet3dConfig(Config):
    """Options of `encoder.resnet3d`."""

    depth: Literal[10, 18, 34, 50, 101, 152, 200] = Field(
        18, description="Number of layers: up to 34 with blocks of two convolutions, from 50 on with bottlenecks of "
                        "three, whose maps have four times the width.")
    blocks: Counts | None = Field(None, examples=[[1, 2, 1, 1]], description="Blocks of each layer in place of those "
                                                                             "of the depth.")
    preset: Literal["plain", "medicalnet"] = Field(
        "plain", description="What the next three options are unless they are set. plain: a ResNet, strides 1 2 2 2; "
                             "medicalnet: the network whose weights MedicalNet publishes.")
    dilations: Counts | None = Field(None, examples=[[1, 1, 2, 4]],
                                     description="Dilation of each layer; medicalnet: 1 1 2 4.")
    strides: Counts | None = Field(None, examples=[[1, 2, 2, 1]],
                                   description="Stride of each layer; medicalnet: 1 2 1 1.")
    shortcut: Literal["A", "B"] | None = Field(
        None, description="Around a block that changes its map. A: every stride-th position, zeros in new channels; B: "
                          "a 1x1 convolution and a norm. plain: B; medicalnet: A for a depth of 18 or 34, else B.")
    stem_stride: PositiveInt = Field(2, description="Stride of the first convolution.")
    bias_shortcut: bool = Field(False, description="Whether the convolutions of shortcut B have a bias.")
    width: PositiveInt = Field(64, examples=[4], description="Channels of the first layer, doubled by each later one.")
    output: Literal["pooled", "map", "taps"] = Field(
        "pooled", description="pooled: the mean of the last map; map: the last map; taps: the map of every layer, "
                              "named f1 to f4.")

    @model_validator(mode="after")
    def _a_bias_needs_a_convolution(self) -> Self:
        if self.bias_shortcut and self.form() == "A":
            raise ValueError("'bias_shortcut' needs 'shortcut: B': shortcut A has no convolution")
        return self

    def form(self) -> str:
        """The shortcut, A or B."""
        if self.shortcut is not None:
            return self.shortcut
        return "A" if self.preset == "medicalnet" and self.depth in (18, 34) else "B"

    def layers(self) -> list[tuple[int, int, int, int]]:
        """Of every layer: blocks, width, stride, dilation."""
        counts = self.blocks or _BLOCKS[self.depth]
        widths = [self.width * 2 ** place for place in range(4)]
        return list(zip(counts, widths, self.strides or _STRIDES[self.preset],
                        self.dilations or _DILATIONS[self.preset], strict=True))

    @property
    def expansion(self) -> int:
        """Channels of a block's result for each of those inside."""
        return 4 if self.depth >= 50 else 1


class Block(nn.Module):
    """Two 3x3x3 convolutions, or a bottleneck of three, with a shortcut around them.

    Shapes: (B, before, ...); gives (B, expansion * w, ...), each axis divided by the stride and rounded up.
    """

    def __init__(self, config: ResNet3dConfig, before: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        after = config.expansion * width
        self.stride, self.more = stride, after - before
        wide = partial(nn.Conv3d, kernel_size=3, padding=dilation, dilation=dilation, bias=False)
        self.conv3: nn.Conv3d | None = None
        if config.expansion == 1:
            self.conv1, self.bn1 = wide(before, width, stride=stride), nn.BatchNorm3d(width)
            self.conv2, self.bn2 = wide(width, width), nn.BatchNorm3d(width)
        else:
            self.conv1, self.bn1 = nn.Conv3d(before, width, 1, bias=False), nn.BatchNorm3d(width)
            self.conv2, self.bn2 = wide(width, width, stride=stride), nn.BatchNorm3d(width)
            self.conv3, self.bn3 = nn.Conv3d(width, after, 1, bias=False), nn.BatchNorm3d(after)
        self.downsample: nn.Module | None = None
        # Without weights there can be no fewer channels than before, which only odd widths would ask for.
        if config.form() == "B" and (stride > 1 or self.more):
            self.downsample = nn.Sequential(nn.Conv3d(before, after, 1, stride, bias=config.bias_shortcut),
                                            nn.BatchNorm3d(after))

    def forward(self, x: Tensor) -> Tensor:
        """The features after the block."""
        found = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.conv3 is not None:
            found = self.bn3(self.conv3(found.relu()))
        return (found + self._around(x)).relu()  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped

    def _around(self, x: Tensor) -> Tensor:
        if self.downsample is not None:
            found: Tensor = self.downsample(x)
            return found
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride, :: self.stride]
        # The authors' code takes `.data` here, which stops the gradient; the values are the same.
        return F.pad(x, [0, 0, 0, 0, 0, 0, 0, self.more]) if self.more else x


class ResNet3d(nn.Module):
    """A 7x7x7 convolution, a max pool of stride 2, then four layers of residual blocks.

    Shapes: (B, c, ...); gives (B, e), (B, e, ...) of the last layer, or one map for each layer, with e the width of a
    layer times the expansion (1, or 4 for bottlenecks). Each stride divides a side and rounds up. Missing rows are
    skipped. Weights of a network for one channel fit more: `weights:` spreads the first convolution over them.
    """

    def __init__(self, config: ResNet3dConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.output = config.output
        self.conv1 = nn.Conv3d(inputs[0].width, config.width, 7, config.stem_stride, 3, bias=False)
        self.bn1 = nn.BatchNorm3d(config.width)
        before = config.width
        self.names = [f"layer{place}" for place in range(1, 5)]
        for name, (count, width, stride, dilation) in zip(self.names, config.layers(), strict=True):
            first = Block(config, before, width, stride, dilation)
            before = config.expansion * width
            self.add_module(name, nn.Sequential(
                first, *(Block(config, before, width, 1, dilation) for _ in range(count - 1))))
        for part in self.modules():
            if isinstance(part, nn.Conv3d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, volume: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The vector, the last map, or the map of every layer."""
        x = F.max_pool3d(self.bn1(self.conv1(volume)).relu(), 3, 2, 1)
        maps = []
        for name in self.names:
            x = self.get_submodule(name)(x)
            maps.append(x)
        if self.output == "taps":
            return tuple(maps)
        return x if self.output == "map" else x.flatten(2).mean(2)

    def adapt_weights(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file: a first convolution of one channel is shared out among ours, a classifier left out."""
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(_HEADS)}
        first, channels = kept.get("conv1.weight"), self.conv1.in_channels
        if first is not None and first.dim() == 5 and first.shape[1] == 1 != channels:
            kept["conv1.weight"] = first.expand(-1, channels, -1, -1, -1) / channels
        return kept


_HEADS = ("conv_seg.", "fc.")


def shape(config: ResNet3dConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The vector, the last map, or the maps of the layers."""
    grid = _strided(_strided(inputs[0].spatial, config.stem_stride), 2)
    maps = []
    for _, width, stride, _ in config.layers():
        grid = _strided(grid, stride)
        maps.append(Volume((config.expansion * width, *grid)))
    if config.output == "taps":
        return Bundle(tuple((f"f{place}", one) for place, one in enumerate(maps, start=1)))
    return maps[-1] if config.output == "map" else Vector((maps[-1].width,))


def _strided(grid: tuple[int, ...], stride: int) -> tuple[int, ...]:
    return tuple(-(-size // stride) for size in grid)


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options that names and sizes of a checkpoint tell."""
    del meta
    counts = [len({name.split(".")[1] for name in shapes if name.startswith(f"layer{place}.")})
              for place in range(1, 5)]
    bottlenecks = "layer1.0.conv3.weight" in shapes
    return {"depth": 50 if bottlenecks else 10, "blocks": counts, "width": shapes["conv1.weight"][0],
            "shortcut": "B" if "layer2.0.downsample.0.weight" in shapes else "A"}


def _replay(module: ResNet3d, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    del case
    last = module(inputs[0])[-1]
    return {"map": last, "pooled": last.flatten(2).mean(2)}


component = Encoder(
    "resnet3d", ResNet3dConfig, ResNet3d, rule="B _ _ _ _", output=shape, category="image", paper="arXiv:1904.00625",
    reference={"release": Release(names={"": ""}, unused=_HEADS, options={"output": "taps", "preset": "medicalnet"},
                                  read=_read, replay=_replay, taps={f"layer{i}": f"layer{i}" for i in range(1, 5)})},
    probes=Probes(together=[{"depth": 50, "width": 4}, {"shortcut": "A", "width": 4},
                            {"preset": "medicalnet", "width": 4},
                            {"bias_shortcut": True, "shortcut": "B", "width": 4}]))
