"""ResNet50V2 as in Keras: pre-activation residual blocks, with the stride in the last block of a stage.

Source: He et al. 2016, Identity Mappings in Deep Residual Networks, arXiv 1603.05027, in the form of keras.applications
(strides in the last block of a stage, a 1x1 max pool as its shortcut), whose weights it takes; the default taps are
those of the MultiFusionNet notebook, arXiv 2401.00728. timm's ResNetV2 is another network, see `encoder.timm`.
"""
# Axes: B batch, c channels (1 or 3), h and w sizes of the image.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import torch.nn.functional as F
from fusionkit_plugins.blocks.keras import MOMENTUM, conv_names, kernel_layout, norm_names, start_like_keras
from fusionkit_plugins.blocks.options import SignedImage
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Probes, Release, TensorShape

_EPSILON = 1.001e-5
_STAGES = ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1))
TAPS = ["post_relu", "conv3_block3_2_conv", "conv4_block6_3_conv", "conv3_block4_3_conv", "conv2_block3_3_conv"]


class ResNet50V2Config(Config):
    """Options of `encoder.resnet50v2`."""

    taps: list[str] = Field(TAPS, min_length=1, description="Outputs, by Keras's layer names: post_relu, "
                                                            "convI_blockJ_out, convI_blockJ_K_conv, conv1_conv.")
    width: PositiveInt = Field(64, description="Channels of the first convolution, with which all others "
                                               "scale; 64 is the published network.", examples=[4])
    normalise: SignedImage = "signed"


class Block(nn.Module):
    """A pre-activation bottleneck.

    Shapes: (B, c, h, w); gives (B, 4 * width, h / stride, w / stride), rounded up.
    """

    def __init__(self, before: int, width: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.stride = stride
        self.preact_bn = _norm(before)
        self.shortcut = nn.Conv2d(before, 4 * width, 1, stride) if shortcut else None
        self.conv1, self.bn1 = nn.Conv2d(before, width, 1, bias=False), _norm(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), _norm(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The result `out`, and those of every convolution."""
        start = self.preact_bn(x).relu()
        around = self.shortcut(start) if self.shortcut is not None else x
        if self.shortcut is None and self.stride > 1:
            around = F.max_pool2d(x, 1, self.stride)
        first = self.conv1(start)
        second = self.conv2(self.bn1(first).relu())
        third = self.conv3(self.bn2(second).relu())
        return {"1_conv": first, "2_conv": second, "3_conv": third, "out": around + third}


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_EPSILON, momentum=MOMENTUM)


class ResNet50V2(nn.Module):
    """The network without its classifier, returning the maps named in `taps`, in that order.

    Shapes: (B, c, h, w); gives maps (B, c_i, h_i, w_i), f1, f2, ... or a single one. One channel is used as three
    equal ones. Missing rows are skipped.
    """

    def __init__(self, config: ResNet50V2Config, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if inputs[0].width not in (1, 3):
            raise ComponentError(f"it takes images of 1 or 3 channels, not {inputs[0].width}",
                                 fix="put an `encoder.project` of width 3 before it")
        self.taps, self.normalise = tuple(config.taps), config.normalise
        known_taps(self.taps, set(_points()), "ResNet50V2")
        self.conv1_conv = nn.Conv2d(3, config.width, 7, 2, 3)
        self.blocks = nn.ModuleDict()
        before = config.width
        for name, width, stride, shortcut in _layout():
            width = width * config.width // 64
            self.blocks[name] = Block(before, width, stride, shortcut)
            before = 4 * width
        self.post_bn = _norm(before)
        start_like_keras(self)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The maps."""
        x = image.expand(-1, 3, -1, -1)
        x = x * 2 - 1 if self.normalise == "signed" else x
        x = self.conv1_conv(x)
        seen = {"conv1_conv": x}
        x = F.max_pool2d(F.pad(x, [1, 1, 1, 1]), 3, 2)
        for name, block in self.blocks.items():
            results = block(x)
            x = results["out"]
            seen |= {f"{name}_{part}": value for part, value in results.items() if f"{name}_{part}" in self.taps}
        seen["post_relu"] = self.post_bn(x).relu()
        found = tuple(seen[tap] for tap in self.taps)
        return found if len(found) > 1 else found[0]


def _layout() -> Iterator[tuple[str, int, int, bool]]:
    """Every block: name, width, stride, whether its shortcut is a convolution."""
    for stage, (width, count, stride) in enumerate(_STAGES, start=2):
        for block in range(1, count + 1):
            yield f"conv{stage}_block{block}", width, stride if block == count else 1, block == 1


def _points() -> Iterator[str]:
    yield from ("conv1_conv", "post_relu")
    for name, *_ in _layout():
        yield from (f"{name}_{part}" for part in ("1_conv", "2_conv", "3_conv", "out"))


def known_taps(taps: Sequence[str], points: set[str], network: str) -> None:
    """Check the names of layers.

    Raises: ComponentError for an unknown or repeated name.
    """
    for tap in taps:
        if tap not in points:
            close = get_close_matches(tap, sorted(points), 1)
            raise ComponentError(f"there is no layer {tap!r} to tap",
                                 fix=f"did you mean {close[0]!r}?" if close else f"see Keras's summary of {network}")
    if len(set(taps)) < len(taps):
        raise ComponentError("a layer is tapped twice", fix="name each once")


def _names() -> dict[str, str]:
    names = {**conv_names("conv1_conv", "conv1_conv"), **norm_names("post_bn", "post_bn")}
    for name, *_ in _layout():
        for ours, theirs in (("shortcut", "0_conv"), ("conv1", "1_conv"), ("conv2", "2_conv"), ("conv3", "3_conv")):
            names |= conv_names(f"blocks.{name}.{ours}", f"{name}_{theirs}")
        for ours, theirs in (("preact_bn", "preact_bn"), ("bn1", "1_bn"), ("bn2", "2_bn")):
            names |= norm_names(f"blocks.{name}.{ours}", f"{name}_{theirs}")
    return names


def _order() -> dict[str, list[str]]:
    """The layers with parameters in sequence; of two in parallel, the shortcut comes first."""
    convolutions, norms = ["conv1_conv"], []
    for name, _, _, shortcut in _layout():
        places = ("1_conv", "2_conv", *(["0_conv"] if shortcut else []), "3_conv")
        convolutions += [f"{name}_{place}" for place in places]
        norms += [f"{name}_{place}" for place in ("preact_bn", "1_bn", "2_bn")]
    return {"conv2d": convolutions, "batch_normalization": [*norms, "post_bn"]}


def keras_layout(name: str, tensor: Tensor) -> Tensor:
    """A tensor of Keras as ours."""
    return kernel_layout(tensor) if tensor.dim() > 1 else tensor


component = Encoder(
    "resnet50v2", ResNet50V2Config, ResNet50V2, rule="image: B _ h w -> ?", category="image",
    paper="arXiv:1603.05027",
    reference={"keras": Release(names=_names(), layout=keras_layout, unused=("predictions.", "probs."),
                                ordered=_order())},
    probes=Probes(values={"taps": [["post_relu"]]}),
)
