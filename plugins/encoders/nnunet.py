"""nnU-Net's encoder for images and volumes, plain or residual, by the numbers of a plan: kernels and strides by axis.

Source: Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z; the residual form: Isensee et al. 2024, nnU-Net
Revisited, arXiv 2404.09556. An own file, since the authors' package pins versions of timm.
"""
# Axes: B batch, c channels, ... two or three spatial axes, w channels of the last stage.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Encoder,
    Probes,
    Recorded,
    Release,
    Shape,
    TensorShape,
    Vector,
    shape_of,
)

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_POOLS = {2: F.avg_pool2d, 3: F.avg_pool3d}
_SLOPE = 0.01
_BLOCKS = [1, 3, 4, 6, 6, 6]
Side = Annotated[int, Field(ge=1, le=100)]
BySide = Annotated[list[Side], Field(min_length=2, max_length=3)]
Stages = Annotated[list[Side | BySide], Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1000)]


class NnunetConfig(Config):
    """Options of `encoder.nnunet`; all but two have the names that they have in a `plans.json`."""

    network: Literal["plain", "residual"] = Field(
        "plain", description="plain: PlainConvEncoder, stages of convolutions; residual: ResidualEncoder, a stem and "
                             "stages of residual blocks.")
    features_per_stage: list[PositiveInt] = Field(
        [32, 64, 128, 256, 320, 320], min_length=1, examples=[[4, 6]], description="Channels of each stage.")
    kernel_sizes: Stages = Field(
        [3], description="Kernel of each stage, one number or one for each axis, odd; a "
                                                    "single entry is that of all stages.")
    strides: Stages | None = Field(
        None, description="Stride of each stage, one number or one for each axis. By "
                                                     "default 1 for the first stage, then 2.")
    n_conv_per_stage: list[Count] = Field(
        [2], min_length=1, description="plain: convolutions of each stage; a single entry is that of all stages.")
    n_blocks_per_stage: list[Count] | None = Field(
        None, min_length=1, description="residual: blocks of each stage; a single entry is that of "
                                                           "all stages. By default 1 3 4 6, then 6.")
    conv_bias: bool = Field(True, description="Whether the convolutions have a bias, but those of shortcuts.")
    output: Literal["pooled", "map", "taps"] = Field(
        "pooled", description="pooled: the mean of the last map; map: the last map; taps: the map of every stage, "
                              "named f1, f2, ...")

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        count = len(self.features_per_stage)
        for name, single in (("kernel_sizes", True), ("strides", False), ("n_conv_per_stage", True),
                             ("n_blocks_per_stage", True)):
            given = getattr(self, name)
            if given is not None and len(given) != count and not (single and len(given) == 1):
                raise ValueError(f"{name!r} has {len(given)} entries for the {count} stages of 'features_per_stage'")
        if any(side % 2 == 0 for one in self.kernel_sizes for side in ([one] if isinstance(one, int) else one)):
            raise ValueError("'kernel_sizes' has an even number, which would shift the map by half a voxel")
        if self.network == "plain" and self.n_blocks_per_stage is not None:
            raise ValueError("'n_blocks_per_stage' belongs to 'network: residual'; write 'n_conv_per_stage'")
        if self.network == "residual" and "n_conv_per_stage" in self.model_fields_set:
            raise ValueError("'n_conv_per_stage' belongs to 'network: plain'; write 'n_blocks_per_stage'")
        return self

    def stages(self, rank: int) -> list[Stage]:
        """Every stage for an input with so many spatial axes.

        Raises: ComponentError if a kernel or stride has another number of axes.
        """
        count = len(self.features_per_stage)
        strides: list[int | list[int]] = list(self.strides or [1, *[2] * (count - 1)])
        kernels: list[int | list[int]] = list(self.kernel_sizes) * (count if len(self.kernel_sizes) == 1 else 1)
        layers = self.n_conv_per_stage if self.network == "plain" else self.n_blocks_per_stage or [
            *_BLOCKS, *[_BLOCKS[-1]] * count][:count]
        layers = layers * count if len(layers) == 1 else layers
        return [Stage(width, _by_axis("kernel_sizes", kernel, rank), _by_axis("strides", stride, rank), number)
                for width, kernel, stride, number in zip(self.features_per_stage, kernels, strides, layers,
                                                         strict=True)]


class Stage:
    """What one stage is made of: its channels, its kernel and stride by axis, and how many convolutions or blocks."""

    def __init__(self, width: int, kernel: tuple[int, ...], stride: tuple[int, ...], number: int) -> None:
        self.width, self.kernel, self.stride, self.number = width, kernel, stride, number


def _by_axis(option: str, given: int | Sequence[int], rank: int) -> tuple[int, ...]:
    sides = (given,) * rank if isinstance(given, int) else tuple(given)
    if len(sides) != rank:
        raise ComponentError(f"{option!r} has {list(sides)} for an input with {rank} spatial axes",
                             fix=f"write one number, or {rank} of them")
    return sides


class ConvNorm(nn.Module):
    """A convolution, then instance norm, then a leaky ReLU unless `active` is false.

    Shapes: (B, before, ...); gives (B, width, ...), each axis divided by its stride and rounded up.
    """

    def __init__(self, before: int, stage: Stage, bias: bool, *, again: bool = False, active: bool = True) -> None:
        super().__init__()
        rank = len(stage.kernel)
        self.active = active
        self.conv = _CONVOLUTIONS[rank](before, stage.width, stage.kernel, 1 if again else stage.stride,
                                        tuple(side // 2 for side in stage.kernel), bias=bias)
        self.norm = _NORMS[rank](stage.width, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """The features after the layer."""
        x = self.norm(self.conv(x))
        return F.leaky_relu(x, _SLOPE) if self.active else x


class Block(nn.Module):
    """Two convolutions with a shortcut around them: an average pool by the stride, then a convolution to new channels.

    Shapes: (B, before, ...); gives (B, width, ...), each axis divided by its stride.
    """

    def __init__(self, before: int, stage: Stage, bias: bool, *, first: bool) -> None:
        super().__init__()
        self.stride = stage.stride if first and max(stage.stride) > 1 else None
        self.conv1 = ConvNorm(before, stage, bias, again=not first)
        self.conv2 = ConvNorm(stage.width, stage, bias, again=True, active=False)
        ones = (1,) * len(stage.kernel)
        self.skip = None if before == stage.width else ConvNorm(before, Stage(stage.width, ones, ones, 1), False,
                                                                active=False)

    def forward(self, x: Tensor) -> Tensor:
        """The features after the block."""
        found = self.conv2(self.conv1(x))
        if self.stride:
            # In bfloat16, torch has no average pool of volumes on the CPU.
            x = _POOLS[len(self.stride)](x.float(), self.stride, self.stride).to(found.dtype)
        return F.leaky_relu(found + (x if self.skip is None else self.skip(x)), _SLOPE)


class Nnunet(nn.Module):
    """Stages of convolutions or residual blocks with instance norm and leaky ReLU, the first of a stage with a stride.

    Shapes: (B, c, ...); gives (B, w), (B, w, ...) of the last stage, or one map for each. A stride divides a side and
    rounds up; the residual form needs sides that every stride divides. Missing rows are skipped.

    Raises: ComponentError if a stride of the residual form does not divide the input, or if one position is left,
    which instance norm cannot standardise.
    """

    def __init__(self, config: NnunetConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.output = config.output
        stages = config.stages(len(inputs[0].spatial))
        _check(config, stages, inputs[0])
        before = inputs[0].width
        self.stem: nn.Module | None = None
        if config.network == "residual":
            first = Stage(stages[0].width, stages[0].kernel, (1,) * len(stages[0].kernel), 1)
            self.stem, before = ConvNorm(before, first, config.conv_bias), stages[0].width
        self.stages = nn.ModuleList()
        for stage in stages:
            layers: list[nn.Module] = []
            for place in range(stage.number):
                layers.append(ConvNorm(before, stage, config.conv_bias, again=place > 0) if config.network == "plain"
                              else Block(before, stage, config.conv_bias, first=place == 0))
                before = stage.width
            self.stages.append(nn.Sequential(*layers))
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(part.weight, a=_SLOPE)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The vector, the last map, or the map of every stage."""
        if self.stem is not None:
            x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        if self.output == "taps":
            return tuple(maps)
        return x if self.output == "map" else x.flatten(2).mean(2)


def _check(config: NnunetConfig, stages: Sequence[Stage], shape: TensorShape) -> None:
    total = [1] * len(shape.spatial)
    for stage in stages:
        total = [one * side for one, side in zip(total, stage.stride, strict=True)]
    written = " x ".join(map(str, shape.spatial))
    if config.network == "residual" and any(side % one for side, one in zip(shape.spatial, total, strict=True)):
        wanted = " x ".join(str(-(-side // one) * one) for side, one in zip(shape.spatial, total, strict=True))
        raise ComponentError(f"its strides do not divide an input of {written}",
                             why=f"the residual form needs multiples of {' x '.join(map(str, total))}, since its "
                                 "shortcuts round down where its convolutions round up",
                             fix=f"resample, crop or pad the input to {wanted}, for example, or use 'network: plain'")
    if all(one >= side for side, one in zip(shape.spatial, total, strict=True)):
        raise ComponentError(f"of an input of {written} the last stage has one position left, which instance norm "
                             "cannot standardise", why=f"the strides multiply to {' x '.join(map(str, total))}",
                             fix="use a larger input, fewer stages, or smaller 'strides'")


def _maps(config: NnunetConfig, shape: TensorShape) -> Iterator[TensorShape]:
    grid: tuple[int, ...] = shape.spatial
    for stage in config.stages(len(grid)):
        grid = tuple(-(-side // one) for side, one in zip(grid, stage.stride, strict=True))
        yield shape_of((stage.width, *grid))


def _shape(config: NnunetConfig, inputs: Sequence[TensorShape]) -> Shape:
    _check(config, config.stages(len(inputs[0].spatial)), inputs[0])
    maps = list(_maps(config, inputs[0]))
    if config.output == "taps":
        return Bundle(tuple((f"f{place}", one) for place, one in enumerate(maps, start=1)))
    return maps[-1] if config.output == "map" else Vector((maps[-1].width,))


_LAYER = {"conv": "all_modules.0", "norm": "all_modules.1"}
"""The two parts of a layer of the release, which has each of them twice, and their second names."""
_SAME = {f"{layer}.{part}": f"{layer}.{second}" for part, second in _LAYER.items()
         for layer in ("stem.convs.{i}", "stages.{i}.0.convs.{j}", "stages.{i}.blocks.{j}.conv1",
                       "stages.{i}.blocks.{j}.conv2", "stages.{i}.blocks.{j}.skip.{k}")}


def _names(config: NnunetConfig) -> dict[str, str]:
    if config.network == "plain":
        layers = {"stages.{i}.{j}": "stages.{i}.0.convs.{j}"}
    else:
        layers = {"stem": "stem.convs.0", **{f"stages.{{i}}.{{j}}.conv{place}": f"stages.{{i}}.blocks.{{j}}.conv{place}"
                                             for place in (1, 2)}}
        strides = config.strides or [1, *[2] * (len(config.features_per_stage) - 1)]
        layers |= {f"stages.{place}.0.skip": f"stages.{place}.blocks.0.skip.{int(_strided(one))}"
                   for place, one in enumerate(strides)}
    return {f"{ours}.{part}": f"{theirs}.{second}" for ours, theirs in layers.items()
            for part, second in _LAYER.items()}


def _strided(stride: int | Sequence[int]) -> bool:
    """Whether a pool precedes the convolution of a shortcut, and takes the first number."""
    return stride > 1 if isinstance(stride, int) else max(stride) > 1


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Options that names and sizes of a checkpoint tell; strides have no weights."""
    del meta
    residual = "stem.convs.0.conv.weight" in shapes
    inside, layer = ("blocks", "conv1.conv.weight") if residual else ("0.convs", "conv.weight")
    first: list[Sequence[int]] = []
    while (name := f"stages.{len(first)}.{inside}.0.{layer}") in shapes:
        first.append(shapes[name])
    counts = [sum(name.startswith(f"stages.{place}.{inside}.") and name.endswith(f".{layer}")
                  and "all_modules" not in name for name in shapes) for place in range(len(first))]
    return {"network": "residual" if residual else "plain", "features_per_stage": [one[0] for one in first],
            "kernel_sizes": [list(one[2:]) for one in first],
            "n_blocks_per_stage" if residual else "n_conv_per_stage": counts}


def _replay(module: Nnunet, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    del case
    return {f"map{place}": one for place, one in enumerate(module(inputs[0]))}


component = Encoder(
    "nnunet", NnunetConfig, Nnunet, rule="B _ ...", output=_shape, category="image",
    paper="doi:10.1038/s41592-020-01008-z",
    reference={"release": Release(names=_names, options={"output": "taps"}, read=_read, replay=_replay, same=_SAME,
                                  strip=("encoder.", "_orig_mod.", "_orig_mod.encoder."),
                                  unused=("decoder.",))},
    exceptions={"gradients: *conv.bias": "instance norm subtracts what the bias adds; the authors' networks have it",
                "variance": "instance norm gives every map of every case mean 0, so that means of maps are small"},
    probes=Probes(together=[
        {"features_per_stage": [4, 6], "n_conv_per_stage": [1]},
        {"features_per_stage": [4, 6], "kernel_sizes": [1, 3], "strides": [1, 2]},
        {"network": "residual", "features_per_stage": [4, 6], "n_blocks_per_stage": [1], "strides": [1, 1]}]))
