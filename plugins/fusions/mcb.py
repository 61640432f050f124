"""Compact bilinear pooling (MCB): a compact sketch of the outer product of two vectors, by a convolution.

Source: Fukui et al. 2016, Multimodal Compact Bilinear Pooling for Visual Question Answering and Visual Grounding,
arXiv 1606.01847, algorithm 1; signed root and L2 norm as there.
The root is that of MFB, whose slope at zero is finite; the initial linear layer is ours.
"""

# Axes: B batch, c width of one input, s {sketch}, f frequencies of a sketch, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.fusions.mfb import signed_root
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import Config, Fusion, TensorShape, at_least_single


class MCBConfig(Config):
    """Options of `fusion.mcb`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    sketch: PositiveInt = Field(
        4096, examples=[31], description="Length of the sketch of the outer product; 4,000 to 16,000 are usual.")


class MCB(nn.Module):
    """`y = W n(z)`, z the circular convolution of a count sketch of each input, n the signed root and the L2 norm.

    z is itself a count sketch of the outer product of both: inner products of two z are those of the outer products in
    expectation.

    Shapes: vectors (B, c_1) and (B, c_2); gives (B, width). Costs (sketch + 1) width. Three Fourier transforms,
    in single precision at least.

    n(z) has length 1, so W is initially normal with variance 1, which gives the result variance 1; its bias is zero.
    """

    def __init__(self, config: MCBConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.sketches = nn.ModuleList(CountSketch(shape.width, config.sketch) for shape in inputs)
        self.output = nn.Linear(config.sketch, config.width)
        nn.init.normal_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The fused features."""
        spectra_Bf = [torch.fft.rfft(sketch(at_least_single(x)))
                      for sketch, x in zip(self.sketches, (first, second), strict=True)]
        product_Bs = torch.fft.irfft(torch.mul(*spectra_Bf), n=self.output.in_features)
        return self.output(F.normalize(signed_root(product_Bs)).to(first.dtype))


class CountSketch(nn.Module):
    """A count sketch: every feature, with a random sign, is added to a random one of `length` sums, drawn once.

    The draw is a buffer, saved and loaded with the weights.

    Shapes: (B, width); gives (B, length).
    """

    place_c: Tensor
    sign_c: Tensor

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("place_c", torch.randint(length, (width,)))
        self.register_buffer("sign_c", torch.randint(2, (width,)) * 2.0 - 1.0)

    def forward(self, features: Tensor) -> Tensor:
        """The sketch."""
        empty_Bs = features.new_zeros(features.shape[0], self.length)
        return empty_Bs.index_add(1, self.place_c, features * self.sign_c.to(features.dtype))


component = Fusion(
    "mcb", MCBConfig, MCB, rule="first: B _, second: B _ -> B {width}",
    absent="none", category="single-level", paper="arXiv:1606.01847",
)
