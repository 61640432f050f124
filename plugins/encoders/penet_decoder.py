"""Decoder of PENet: upsamples the deepest map of a pyramid to the finest one, adding the other maps in between.

Source: Huang et al. 2020, PENet, doi:10.1038/s41746-020-0266-y, whose release pretrains the encoder by segmentation.
The authors' code doubles the grid at each step and fails where the pyramid had rounded up, as with 12 slices; here what
the rounding added is cut off again, which changes nothing where both work.
"""
# Axes: B batch, c channels, w channels of the last step, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from fusionkit_plugins.encoders.penet_bottleneck import CONVOLUTIONS, GroupedConfig
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import ComponentError, Encoder, Probes, Recorded, Release, Shape, TensorShape, shape_of

_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class PenetDecoderConfig(GroupedConfig):
    """Options of `encoder.penet_decoder`."""

    middles: list[PositiveInt] = Field(
        [256, 128, 64, 64], min_length=1, examples=[[16, 8, 8, 8]],
        description="Channels inside each step, from the deepest; of this list and the next two, as many entries are "
                    "used as there are steps.")
    widths: list[PositiveInt] = Field([128, 64, 64, 64], min_length=1, examples=[[8, 8, 8, 8]],
                                      description="Channels of the result of each step.")
    slice_strides: list[Literal[1, 2]] = Field(
        [2, 2, 2, 1], min_length=1, description="How each step multiplies the slices of a volume; the plane it doubles "
                                                "always.")
    first_skip: Literal[0, 1] = Field(
        1, description="1: the deepest map has a step of its own, and each later step first adds the next map, so "
                       "there are as many steps as maps; 0: the first step already adds the second deepest map.")
    outputs: PositiveInt | None = Field(
        None, description="Channels of a final 3x3 convolution, such as the classes of a segmentation; none by "
                          "default.")

    @model_validator(mode="after")
    def _lists_are_of_one_length(self) -> Self:
        if not len(self.middles) == len(self.widths) == len(self.slice_strides):
            raise ValueError("'middles', 'widths' and 'slice_strides' must have one number for each step")
        return self


class Step(nn.Module):
    """A map added to the one from below, a convolution, a transposed one that upsamples, and a convolution.

    Shapes: (B, c, ...) and the map to add (B, c', ...), which may be one smaller along an axis, or None; gives
    (B, widths[index], ...) of the upsampled size.
    """

    def __init__(self, config: PenetDecoderConfig, index: int, deep: TensorShape, skip: TensorShape | None) -> None:
        super().__init__()
        rank, grid = len(deep.spatial), (skip or deep).spatial
        middle, width = config.middles[index], config.widths[index]
        strides, larger = _enlarged(config, index, grid)
        convolution = CONVOLUTIONS[rank]
        self.lateral: nn.Module | None = None
        if skip is not None:
            self.lateral = self._layer(convolution(skip.width, deep.width, 1, bias=False), config, deep.width, grid)
        self.first = self._layer(convolution(deep.width, middle, 3, 1, 1, bias=False), config, middle, grid)
        kernel = tuple(stride + 2 for stride in strides)
        enlarge = _TRANSPOSED[rank](middle, middle, kernel, strides, 1, bias=config.bias_before(middle))
        self.enlarge = self._layer(enlarge, config, middle, larger)
        self.last = self._layer(convolution(middle, width, 3, 1, 1, bias=False), config, width, larger)

    @staticmethod
    def _layer(convolution: nn.Module, config: PenetDecoderConfig, width: int, grid: Sequence[int]) -> nn.Module:
        return nn.Sequential(convolution, config.norm_of(width, grid), nn.LeakyReLU())

    def forward(self, deep: Tensor, skip: Tensor | None) -> Tensor:
        """The upsampled map."""
        if self.lateral is not None and skip is not None:
            deep = deep[(..., *map(slice, skip.shape[2:]))] + self.lateral(skip)
        result: Tensor = self.last(self.enlarge(self.first(deep)))
        return result


class PenetDecoder(nn.Module):
    """The steps from the deepest map upwards.

    Shapes: maps (B, c, ...) from the finest to the deepest, as a pyramid lists them; gives (B, w, ...), or
    (B, outputs, ...). Missing rows are skipped.

    Raises: ComponentError if the options are for fewer steps, or a map does not have the spatial size of its step.
    """

    def __init__(self, config: PenetDecoderConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.first_skip = config.first_skip
        walk = list(_walk(config, inputs))
        self.steps = nn.ModuleList(Step(config, index, deep, skip) for index, (deep, skip) in enumerate(walk))
        self.last: nn.Module = nn.Identity()
        if config.outputs is not None:
            rank = len(inputs[0].spatial)
            self.last = CONVOLUTIONS[rank](config.widths[len(walk) - 1], config.outputs, 3, padding=1)

    def forward(self, *maps: Tensor) -> Tensor:
        """The map at the finest resolution."""
        deep, *skips = maps[::-1]
        added: list[Tensor | None] = [None] * self.first_skip + list(skips)
        for step, skip in zip(self.steps, added, strict=True):
            deep = step(deep, skip)
        result: Tensor = self.last(deep)
        return result


def _walk(config: PenetDecoderConfig, inputs: Sequence[TensorShape]) -> Iterator[
        tuple[TensorShape, TensorShape | None]]:
    """The inputs of each step: the map from below, and the one to add.

    Raises: ComponentError if the options are for fewer steps, or a map does not have the spatial size of its step.
    """
    deep, *skips = inputs[::-1]
    added: list[TensorShape | None] = [None] * config.first_skip + list(skips)
    if not 1 <= len(added) <= len(config.widths):
        raise ComponentError(f"its {len(inputs)} maps need {len(added)} steps with 'first_skip: "
                             f"{config.first_skip}', but its options are for 1 to {len(config.widths)}",
                             fix="make 'middles', 'widths' and 'slice_strides' longer, or connect other maps")
    for index, skip in enumerate(added):
        if skip is not None and not _fits(deep.spatial, skip.spatial):
            raise ComponentError(
                f"step {index} has the spatial size {_grid(deep.spatial)}, but the map that it adds has "
                f"{_grid(skip.spatial)}", why="they must be equal, or the map one smaller where it had been rounded up",
                fix="connect the maps from the finest to the deepest, or change 'first_skip' or 'slice_strides'")
        yield deep, skip
        deep = shape_of((config.widths[index], *_enlarged(config, index, (skip or deep).spatial)[1]))


def _fits(grid: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(grid) == len(wanted) and all(side - 1 <= one <= side for side, one in zip(grid, wanted, strict=True))


def _grid(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _enlarged(config: PenetDecoderConfig, index: int, grid: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The strides of a step, and the spatial size after it."""
    strides = (*([config.slice_strides[index]] if len(grid) == 3 else []), 2, 2)
    return strides, tuple(size * stride for size, stride in zip(grid, strides, strict=True))


def decoded_shape(config: PenetDecoderConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `encoder.penet_decoder`.

    Raises: ComponentError if the options are for fewer steps, or a map does not have the spatial size of its step.
    """
    walk = list(_walk(config, inputs))
    last, (deep, skip) = len(walk) - 1, walk[-1]
    _, grid = _enlarged(config, last, (skip or deep).spatial)
    return shape_of((config.outputs or config.widths[last], *grid))


_STEP_NAMES = {"lateral.0": "lateral.conv", "lateral.1": "lateral.norm", "first.0": "conv1", "first.1": "norm1",
               "enlarge.0": "conv2", "enlarge.1": "norm2", "last.0": "conv3", "last.1": "norm3"}


def _names(config: PenetDecoderConfig) -> Mapping[str, str]:
    """A single step is recorded on its own, several in a list."""
    if len(config.widths) == 1:
        return {f"steps.0.{ours}": theirs for ours, theirs in _STEP_NAMES.items()}
    steps = {f"steps.{{i}}.{ours}": f"decoders.{{i}}.{theirs}" for ours, theirs in _STEP_NAMES.items()}
    return {**steps, "last": "out_conv"}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    alone = "conv1.weight" in shapes
    count = len({name.split(".")[1] for name in shapes if name.startswith("decoders.")})
    steps = [""] if alone else [f"decoders.{index}." for index in range(count)]
    last = shapes.get("out_conv.weight")
    return {"middles": [shapes[f"{step}conv1.weight"][0] for step in steps],
            "widths": [shapes[f"{step}conv3.weight"][0] for step in steps],
            "slice_strides": [shapes[f"{step}conv2.weight"][2] - 2 for step in steps],
            "first_skip": 0 if "lateral.conv.weight" in shapes else 1, "outputs": last[0] if last else None}


def _sizes(inputs: Sequence[Sequence[int]], meta: Mapping[str, Any]) -> list[Sequence[int]]:
    """The authors' code lists the deepest map first."""
    return list(inputs[::-1])


def _replay(module: PenetDecoder, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    return {"output0": module(*inputs[::-1])}


component = Encoder(
    "penet_decoder", PenetDecoderConfig, PenetDecoder, rule="*maps: B _ _...", output=decoded_shape, category="image",
    paper="doi:10.1038/s41746-020-0266-y",
    reference={"release": Release(names=_names, read=_read, sizes=_sizes, replay=_replay)},
    probes=Probes(values={"slice_strides": [[1, 1, 1, 2]]}),
)
