"""InceptionV3 as in Keras: unpadded first layers, factorised convolutions, norms without scale.

Source: Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, arXiv 1512.00567, in the form of
keras.applications, whose weights it takes; the default taps are those of the MultiFusionNet notebook, arXiv 2401.00728.
"""
# Axes: B batch, c channels (1 or 3), h and w sizes of the image.

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.keras import EPSILON, MOMENTUM, conv_names, norm_names, start_like_keras
from fusionkit_plugins.blocks.options import SignedImage
from fusionkit_plugins.encoders.resnet50v2 import keras_layout, known_taps
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Probes, Release, TensorShape

_SMALLEST = 75
_CONVOLUTIONS = 94
TAPS = ["mixed10", "conv2d_90", "conv2d_86", "conv2d_78", "conv2d_92"]

Unit = tuple[int, int, int, int, bool]
"""Width, height and width of the kernel, stride, and whether it is padded to keep the spatial size."""
Part = Unit | str | tuple["Row", ...]
Row = tuple[Part, ...]
"""A sequence: units, the poolings `avg` and `max`, or parallel sequences whose results are concatenated."""


def _unit(width: int, high: int, wide: int | None = None, stride: int = 1, same: bool = True) -> Unit:
    return width, high, wide or high, stride, same


def _early(pool: int) -> tuple[Row, ...]:
    """mixed0 to mixed2."""
    return ((_unit(64, 1),), (_unit(48, 1), _unit(64, 5)), (_unit(64, 1), _unit(96, 3), _unit(96, 3)),
            ("avg", _unit(pool, 1)))


def _middle(width: int) -> tuple[Row, ...]:
    """mixed4 to mixed7."""
    return ((_unit(192, 1),), (_unit(width, 1), _unit(width, 1, 7), _unit(192, 7, 1)),
            (_unit(width, 1), _unit(width, 7, 1), _unit(width, 1, 7), _unit(width, 7, 1), _unit(192, 1, 7)),
            ("avg", _unit(192, 1)))


_SPLIT: tuple[Row, ...] = ((_unit(384, 1, 3),), (_unit(384, 3, 1),))
_LATE: tuple[Row, ...] = ((_unit(320, 1),), (_unit(384, 1), _SPLIT), (_unit(448, 1), _unit(384, 3), _SPLIT),
                          ("avg", _unit(192, 1)))
_DOWN = {
    "mixed3": ((_unit(384, 3, stride=2, same=False),),
               (_unit(64, 1), _unit(96, 3), _unit(96, 3, stride=2, same=False)), ("max",)),
    "mixed8": ((_unit(192, 1), _unit(320, 3, stride=2, same=False)),
               (_unit(192, 1), _unit(192, 1, 7), _unit(192, 7, 1), _unit(192, 3, stride=2, same=False)), ("max",)),
}
_STEM: Row = (_unit(32, 3, stride=2, same=False), _unit(32, 3, same=False), _unit(64, 3), "max",
              _unit(80, 1, same=False), _unit(192, 3, same=False), "max")
_BLOCKS: dict[str, tuple[Row, ...]] = {
    "mixed0": _early(32), "mixed1": _early(64), "mixed2": _early(64), "mixed3": _DOWN["mixed3"],
    "mixed4": _middle(128), "mixed5": _middle(160), "mixed6": _middle(160), "mixed7": _middle(192),
    "mixed8": _DOWN["mixed8"], "mixed9": _LATE, "mixed10": _LATE,
}


class InceptionV3Config(Config):
    """Options of `encoder.inceptionv3`."""

    taps: list[str] = Field(
        TAPS, min_length=1, description="Outputs: mixed0 to mixed10, or conv2d_0 to conv2d_93, the convolutions "
                                        "without norm in the order of a fresh network.")
    width: PositiveInt = Field(32, description="Channels of the first convolution, with which all others "
                                               "scale; 32 is the published network.", examples=[4])
    normalise: SignedImage = "signed"


class ConvNorm(nn.Module):
    """A convolution, called separately so that it can be tapped, and a normalisation with shift but without scale.

    Shapes: (B, width, h, w), as `conv` gives it; gives the same.
    """

    def __init__(self, before: int, unit: Unit, width: int) -> None:
        super().__init__()
        _, high, wide, stride, same = unit
        padding = (high // 2, wide // 2) if same else 0
        self.conv = nn.Conv2d(before, width, (high, wide), stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(width, eps=EPSILON, momentum=MOMENTUM, affine=False)
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """The normalised map of a convolved one."""
        return (self.norm(x) + self.shift[:, None, None]).relu()


class InceptionV3(nn.Module):
    """The network without its classifier, returning the maps named in `taps`, in that order.

    Shapes: (B, c, h, w), at least 75x75; gives maps (B, c_i, h_i, w_i), f1, f2, ... or a single one. One channel is
    used as three equal ones. Missing rows are skipped.
    """

    def __init__(self, config: InceptionV3Config, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if inputs[0].width not in (1, 3):
            raise ComponentError(f"it takes images of 1 or 3 channels, not {inputs[0].width}",
                                 fix="put an `encoder.project` of width 3 before it")
        if min(inputs[0].spatial) < _SMALLEST:
            raise ComponentError(f"its images must be at least {_SMALLEST}x{_SMALLEST}",
                                 why="unpadded convolutions need this size", fix="enlarge the images")
        known_taps(config.taps, {*_BLOCKS, *(f"conv2d_{number}" for number in range(_CONVOLUTIONS))}, "InceptionV3")
        self.taps, self.normalise, self.scale = tuple(config.taps), config.normalise, config.width
        self.units = nn.ModuleList()
        before = self._add(_STEM, 3)
        for block in _BLOCKS.values():
            before = sum(self._add(row, before) for row in block)
        start_like_keras(self)

    def _add(self, row: Row, before: int) -> int:
        """The modules of a sequence, in Keras's order; returns the number of output channels."""
        for part in row:
            if isinstance(part, str):
                continue
            if isinstance(part[0], tuple):
                before = sum(self._add(one, before) for one in part)
            else:
                width = max(1, part[0] * self.scale // 32)
                self.units.append(ConvNorm(before, part, width))
                before = width
        return before

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The maps."""
        x = image.expand(-1, 3, -1, -1)
        x = x * 2 - 1 if self.normalise == "signed" else x
        seen: dict[str, Tensor] = {}
        numbers = iter(range(len(self.units)))
        x = self._run(_STEM, x, numbers, seen)
        for name, block in _BLOCKS.items():
            x = torch.cat([self._run(row, x, numbers, seen) for row in block], 1)
            seen |= {name: x} if name in self.taps else {}
        found = tuple(seen[tap] for tap in self.taps)
        return found if len(found) > 1 else found[0]

    def _run(self, row: Row, x: Tensor, numbers: Iterator[int], seen: dict[str, Tensor]) -> Tensor:
        for part in row:
            if part == "avg":
                x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            elif part == "max":
                x = F.max_pool2d(x, 3, 2)
            elif isinstance(part[0], tuple):
                x = torch.cat([self._run(one, x, numbers, seen) for one in part], 1)
            else:
                number = next(numbers)
                unit = self.units[number]
                x = unit.conv(x)
                seen |= {f"conv2d_{number}": x} if f"conv2d_{number}" in self.taps else {}
                x = unit(x)
        return x


def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for number in range(_CONVOLUTIONS):
        ours = f"units.{number}"
        norm = norm_names(f"{ours}.norm", f"batch_normalization_{number}")
        names |= conv_names(f"{ours}.conv", f"conv2d_{number}") | norm
        names[f"{ours}.shift"] = f"batch_normalization_{number}.beta"
    return names


def _distances(row: Row, after: int = 0) -> list[int]:
    """The number of layers between each convolution of a sequence and the end of its block, in order of creation."""
    found: list[int] = []
    for part in reversed(row):
        if isinstance(part, str):
            after += 1
        elif isinstance(part[0], tuple):
            found = [distance for one in part for distance in _distances(one, after + 1)] + found
            after = max(found)
        else:
            after += 3
            found = [after, *found]
    return found


def _order() -> dict[str, list[str]]:
    """The numbered layers in the order of the network: within a block those farthest from its end first."""
    order = list(range(len(_distances(_STEM))))
    for block in _BLOCKS.values():
        distances = [distance for row in block for distance in _distances(row)]
        order += [len(order) + place for place in sorted(range(len(distances)), key=lambda place: -distances[place])]
    return {kind: [f"{kind}_{number}" for number in order] for kind in ("conv2d", "batch_normalization")}


component = Encoder(
    "inceptionv3", InceptionV3Config, InceptionV3, rule="image: B _ h w -> ?", category="image",
    paper="arXiv:1512.00567",
    reference={"keras": Release(names=_names(), layout=keras_layout, unused=("predictions.",), ordered=_order())},
    probes=Probes(values={"taps": [["mixed10", "conv2d_78"]]}),
)
