"""Kolmogorov-Arnold layers: a learned spline for each pair of input and output, for vectors or for each token.

Source: Liu et al. 2024, KAN: Kolmogorov-Arnold Networks, arXiv 2404.19756, eq. 2.10-2.12 and the grid extension of
section 2.4; as the encoder of tables: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network
for Lung Disease Classification (MMCAF-Net), whose release is one layer of 24 outputs.
The authors' code starts all spline scales at 1, later versions of its library at 1/sqrt(inputs): `scale_sp_init`.
The authors' code fits the initial coefficients in float32, where rounding errors dominate; here in float64.
The paper freezes this encoder while the fusion is trained, the authors' code trains it: `freeze` of the node.
"""
# Axes: B batch, n tokens, N samples (B, or B n), i inputs, o outputs, J basis functions, K knots.

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal
from weakref import WeakKeyDictionary, WeakSet

import torch
from fusionkit_plugins.blocks.spline_product import BASES, Expansion, product
from fusionkit_plugins.blocks.splines import Basis, Cardinal, Recursion, fit, grid_from, knots
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Recorded, Release, TensorShape, at_least_single, places_of

_FEW_OUTSIDE = 0.05
"""The share of inputs slightly outside the grid, as is normal for new cases, up to which there is no warning."""
# Kept outside the modules, since a call must not change a module, and warnings do not belong in the weights.
_SEEN: WeakSet[nn.Module] = WeakSet()
_WARNED: WeakSet[nn.Module] = WeakSet()
_UNREAD: WeakKeyDictionary[nn.Module, Tensor] = WeakKeyDictionary()
"""Shares of inputs outside the grid that nobody has asked the device for yet."""


class KANConfig(Config):
    """Options of `encoder.kan`."""

    width: PositiveInt = Field(64, description="Width of the last layer, which is the result.")
    hidden: list[PositiveInt] = Field([], description="Widths of the layers before the last.")
    intervals: PositiveInt = Field(5, le=10_000, description="Intervals of the grid of each input.")
    order: PositiveInt = Field(3, le=8, description="Order of the splines: 1 linear, 3 cubic.")
    range: list[float] = Field(
        [-1.0, 1.0], min_length=2, max_length=2,
        description="Start and end of the grid; inputs should be inside.")
    outside: Literal["zero", "clamp", "linear"] = Field(
        "zero", description="Continuation of a spline outside the range: fade to 'zero' over `order` intervals, keep "
        "the value at the end ('clamp'), or a straight line ('linear').")
    squash: bool = Field(
        False, description="Whether every layer first maps its inputs into the range, by a tanh.")
    base: Literal["silu", "gelu", "relu", "tanh", "identity", "none"] = Field(
        "silu", description="Function that each pair adds to its spline, with a learned weight; 'none' adds nothing.")
    sparse: bool = Field(
        False, description="Whether each input is connected only to its nearest output and each output to its nearest "
        "input, by position along both layers.")
    noise: NonNegativeFloat = Field(
        0.5, description="Amplitude of the initial noise of the splines, in multiples of 1 / intervals.")
    scale_sp_init: Literal["one", "fan_in"] = Field(
        "one", description="Initial scales of the splines: 'one', or 'fan_in' for 1 / sqrt(inputs).")
    scale_base_mean: float = Field(0.0, description="Initial mean of the base function's weights, times "
                                   "sqrt(inputs).")
    scale_base_spread: NonNegativeFloat = Field(
        1.0, description="Half the width of their uniform distribution, times sqrt(inputs).")
    update_every: PositiveInt | None = Field(
        None, description="Adapts the knots to the inputs before the first training step, and again after every so "
        "many steps, which synchronises with the device in each step; None keeps the grid fixed.")
    update_steps: PositiveInt = Field(50, description="Number of training steps in which the knots may move.")

    @model_validator(mode="after")
    def _range_ascends(self) -> KANConfig:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"'range' is {self.range!r}; its first number must be the smaller one")
        return self


class KANLayer(nn.Module):
    """y_o = sum_i m_io (b_io base(x_i) + s_io sum_j c_jio B_j(x_i)), without bias.

    `coef` is c, `scale_sp` s, `scale_base` b, `mask` m, and `grid` has the knots of each input, (i, K). The basis of
    the initial cubic grid is computed in closed form, any other by recursion. If much would be kept for backward, the
    basis is recomputed instead.

    In training it warns once about inputs outside the grid. For that it checks the first batch after each evaluation,
    about once per epoch, and tells what it found at once on the CPU, and at the next evaluation on a GPU, which nothing
    waits for before. Neither this nor `update_every` works in compiled code or without gradients.

    Shapes: (N, i); gives (N, o).
    """

    grid: Tensor
    mask: Tensor
    steps: Tensor

    def __init__(self, config: KANConfig, inputs: int, outputs: int, place: int = 0) -> None:
        super().__init__()
        self.config = config
        self.place = place
        functions = config.intervals + config.order
        self.register_buffer("grid", at_least_single(self._even_grid(inputs).to(torch.get_default_dtype())))
        self.register_buffer("mask", _mask(inputs, outputs, config.sparse))
        self.coef = nn.Parameter(torch.empty(functions, inputs, outputs))
        self.scale_sp = nn.Parameter(torch.empty(inputs, outputs))
        self.scale_base = nn.Parameter(torch.empty(inputs, outputs)) if config.base != "none" else None
        if config.update_every is not None:
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        # Known without synchronising with the device: whether the grid is the initial one, and a pair is left out.
        self.even, self.sparse = config.update_every is None, config.sparse
        self.register_load_state_dict_post_hook(_loaded)
        self.reset_parameters()

    def _even_grid(self, inputs: int) -> Tensor:
        config = self.config
        return knots(config.intervals, config.order, *config.range).repeat(inputs, 1)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Reinitialise the parameters; the grid is kept. Does nothing on the meta device."""
        config, inputs = self.config, self.coef.shape[1]
        if self.coef.is_meta:
            return
        noise = (torch.rand(config.intervals + 1, *self.coef.shape[1:]) - 0.5) * (config.noise / config.intervals)
        knots_Ki = self._even_grid(inputs).t()
        self.coef.copy_(fit(knots_Ki[config.order : -config.order], noise, knots_Ki, config.order))
        self.scale_sp.fill_(1.0 if config.scale_sp_init == "one" else inputs**-0.5)
        if self.scale_base is not None:
            uniform = 2 * torch.rand(self.scale_base.shape) - 1
            self.scale_base.copy_((config.scale_base_mean + config.scale_base_spread * uniform) / inputs**0.5)

    def forward(self, inputs: Tensor, real_N: Tensor | None = None) -> Tensor:
        """The sums of splines and base functions; rows that are not `real_N` do not move the knots."""
        x_Ni = at_least_single(inputs)
        # Without gradients there is no training, and Monte Carlo samples must not move the knots.
        if self.training and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._in_training(x_Ni.detach(), real_N)
        rows = self.coef * self.scale_sp
        if self.scale_base is not None:
            rows = torch.cat([rows, self.scale_base.unsqueeze(0)])
        if self.sparse:
            rows = rows * self.mask
        return product(self._squashed(x_Ni), rows.flatten(0, 1), self._expansion())

    def _squashed(self, x_Ni: Tensor) -> Tensor:
        if not self.config.squash:
            return x_Ni
        low, high = self.config.range
        half, middle = (high - low) / 2, (high + low) / 2
        return middle + half * torch.tanh((x_Ni - middle) / half)

    def _basis(self) -> Basis:
        config = self.config
        if self.even and config.order == 3:
            low, high = config.range
            return Cardinal(low, (high - low) / config.intervals, config.intervals + config.order)
        return Recursion(self.grid.t(), config.order)

    def _expansion(self) -> Expansion:
        return Expansion(self._basis(), self.config.outside, BASES[self.config.base])

    def curves(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """What each pair contributes to the result, and its spline alone, unscaled: (N, o, i) both."""
        x_Ni = self._squashed(at_least_single(inputs))
        splines_Noi = torch.einsum("nji,jio->noi", self._expansion().values(x_Ni), self.coef.to(x_Ni.dtype))
        parts_Noi = self.scale_sp.mT * splines_Noi
        base = BASES[self.config.base]
        if self.scale_base is not None and base is not None:
            parts_Noi = parts_Noi + self.scale_base.mT * base.function(x_Ni).unsqueeze(1)
        return self.mask.mT * parts_Noi, splines_Noi

    @torch.no_grad()
    def update_grid(self, inputs: Tensor, even: float = 0.02) -> None:
        """Adapt the knots to the samples; the splines keep their values there as closely as possible.

        Computed in float64. `even` is the share of equal steps in the new grid. An input that is constant over the
        samples keeps its knots.

        Shapes: (N, i).

        Raises: ValueError if a sample is not finite.
        """
        x_Ni = self._squashed(inputs.double()).sort(0).values
        if not bool(x_Ni.isfinite().all()):
            raise ValueError("the grid cannot be adapted to samples that are not finite")
        order, before_Ki = self.config.order, self.grid.t().double()
        expansion = Expansion(Recursion(before_Ki, order), self.config.outside, None)
        wanted_Nio = torch.einsum("nji,jio->nio", expansion.values(x_Ni), self.coef.double())
        # Rounded, since these are the knots that the coefficients will be used with.
        grid_Ki = grid_from(x_Ni, self.config.intervals, order, even).to(self.grid.dtype).double()
        moves_i = (grid_Ki[1:] > grid_Ki[:-1]).all(0)
        grid_Ki = torch.where(moves_i, grid_Ki, before_Ki)
        coef = fit(x_Ni, wanted_Nio, grid_Ki, order)
        self.coef.copy_(torch.where(moves_i.unsqueeze(1), coef, self.coef.double()))
        self.grid.copy_(grid_Ki.t())
        self.even = False

    def _in_training(self, x_Ni: Tensor, real_N: Tensor | None) -> None:
        if self.config.update_every is not None:
            step = int(self.steps)
            if step < self.config.update_steps and step % self.config.update_every == 0:
                real_Ni = x_Ni if real_N is None else x_Ni[places_of(real_N)]
                if len(real_Ni):
                    _refuse_several_processes()
                    self.update_grid(real_Ni)
            self.steps += 1
        if self not in _SEEN and not self.config.squash and x_Ni.device.type != "meta":
            _SEEN.add(self)
            _UNREAD[self] = self._outside(x_Ni, real_N)
            if x_Ni.device.type == "cpu":
                self._read()

    def _outside(self, x_Ni: Tensor, real_N: Tensor | None) -> Tensor:
        """The share of the inputs that are outside the grid: a number that stays on the device."""
        order = self.config.order
        outside_Ni = (x_Ni < self.grid[:, order]) | (x_Ni > self.grid[:, -1 - order])
        if real_N is None:
            return outside_Ni.sum() / max(outside_Ni.numel(), 1)
        return (outside_Ni & real_N.unsqueeze(1)).sum() / (real_N.sum() * x_Ni.shape[1]).clamp(min=1)

    def _read(self) -> None:
        """Warn if the share that was found in training is large. This waits for the device."""
        if self not in _UNREAD:
            return
        share = float(_UNREAD.pop(self))
        if share > _FEW_OUTSIDE:
            _WARNED.add(self)
            fate = {"zero": "where its splines fade to zero", "clamp": "where its splines are constant",
                    "linear": "where its splines are straight lines"}[self.config.outside]
            warnings.warn(f"encoder.kan: {100 * share:.0f} % of the inputs of layer {self.place} are outside its grid, "
                          f"{fate}; scale them into 'range', widen it, or set 'squash'", stacklevel=2)

    def train(self, mode: bool = True) -> KANLayer:
        """Switch to training or evaluation mode; of the first batch in training the inputs are checked."""
        if not mode:
            self._read()
        elif not self.training and self not in _WARNED:
            _SEEN.discard(self)
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> KANLayer:
        # Knots are positions: rounded to half precision they would coincide, and rounded to single precision they would
        # stay rounded after a change to double.
        before = self.grid
        super()._apply(fn, recurse)
        if self.grid.dtype != before.dtype or before.is_meta:
            dtype = torch.promote_types(self.grid.dtype, torch.float32)
            exact = self._even_grid(before.shape[0]) if self.even or before.is_meta else before
            self.grid = exact.to(self.grid.device, dtype)
        return self


def _loaded(layer: KANLayer, _keys: object) -> None:
    """Update what is known about the buffers: a loaded grid may be adapted, and some pairs may be left out."""
    if layer.grid.is_meta:
        return
    layer.sparse = layer.config.sparse or not bool((layer.mask == 1).all())
    exact = layer._even_grid(layer.grid.shape[0]).to(layer.grid.device)
    step = float(exact[0, 1] - exact[0, 0])
    same = torch.allclose(layer.grid.double(), exact, rtol=1e-6, atol=1e-6 * step)
    layer.even = same and layer.config.update_every is None
    if layer.even:
        layer.grid = exact.to(torch.promote_types(layer.grid.dtype, torch.float32))


def _mask(inputs: int, outputs: int, sparse: bool) -> Tensor:
    """1 where a pair exists: everywhere, or between nearest positions, the lower of two that are equally near."""
    if not sparse:
        return torch.ones(inputs, outputs)
    nearest = {(i, ((2 * i + 1) * outputs - 1) // (2 * inputs)) for i in range(inputs)}
    nearest |= {(((2 * o + 1) * inputs - 1) // (2 * outputs), o) for o in range(outputs)}
    return torch.tensor([[float((i, o) in nearest) for o in range(outputs)] for i in range(inputs)])


def _refuse_several_processes() -> None:
    """Each process would fit its own splines, and their weights would diverge."""
    if torch.distributed.is_available() and torch.distributed.is_initialized() \
            and torch.distributed.get_world_size() > 1:
        raise ComponentError("'update_every' of encoder.kan works in one process only",
                             fix="call update_grid on the module before training, and save its weights")


class KAN(nn.Module):
    """Layers of splines in sequence; the last one is the result.

    Shapes: (B, c) or (B, n, c); gives (B, width) or (B, n, width). Missing rows are skipped; in training the knots
    follow masked tokens without their padding.
    """

    def __init__(self, config: KANConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        widths = [inputs[0].width, *config.hidden, config.width]
        self.layers = nn.ModuleList(KANLayer(config, before, after, place)
                                    for place, (before, after) in enumerate(pairwise(widths)))

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """The result of the last layer."""
        flat_Ni = features.flatten(0, -2)
        real_N = None if valid is None else valid.flatten()
        for layer in self.layers:
            flat_Ni = layer(flat_Ni, real_N)
        return flat_Ni if features.dim() == 2 else flat_Ni.unflatten(0, features.shape[:-1])

    @torch.no_grad()
    def update_grid(self, inputs: Tensor) -> None:
        """Adapt the knots of every layer to its inputs, see `KANLayer.update_grid`: (B, c) or (B, n, c)."""
        flat_Ni = inputs.flatten(0, -2)
        for layer in self.layers:
            layer.update_grid(flat_Ni)
            flat_Ni = layer(flat_Ni)


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "coef" in shapes:
        found["order"] = shapes["grid"][1] - shapes["coef"][2] - 1
        found["intervals"] = shapes["coef"][2] - found["order"]
        found["width"] = shapes["coef"][1]
    span = re.search(r"range=\[([^],]+),([^],]+)]", meta.get("constructor", ""))
    if span:
        found["range"] = [float(end) for end in span.groups()]
    return found


def _layout(name: str, tensor: Tensor) -> Tensor:
    """The authors' code keeps coefficients as (i, o, J)."""
    return tensor.permute(2, 0, 1) if name.endswith("coef") else tensor


def _replay(module: KAN, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    x_Ni, arrays = inputs[0], case.arrays
    if "out_basis" in arrays:
        order = arrays["grid"].shape[1] - 1 - arrays["out_basis"].shape[2]
        return {"basis": Recursion(arrays["grid"].t(), order).values(x_Ni).mT}
    if "x_eval" in arrays:
        order = arrays["grid"].shape[1] - 1 - arrays["out_coef64"].shape[2]
        return {"coef64": fit(arrays["x_eval"], x_Ni, arrays["grid"].t(), order).permute(1, 2, 0)}
    layer = module.layers[0]
    if "out_grid" in arrays:
        moved = copy.deepcopy(layer).double()
        moved.update_grid(x_Ni)
        return {"grid": moved.grid, "coef64": moved.coef.permute(1, 2, 0), "y_before": module(x_Ni),
                "y_after64": moved(x_Ni.double())}
    parts_Noi, splines_Noi = layer.curves(x_Ni)
    return {"y": module(x_Ni), "preacts": x_Ni.unsqueeze(1).expand_as(parts_Noi), "postacts": parts_Noi,
            "postspline": splines_Noi}


component = Encoder(
    "kan", KANConfig, KAN, rule="B _ -> B {width} | B [n] _ -> B [n] {width}", category="table",
    paper="arXiv:2404.19756",
    exceptions={"waits: item": "only with 'update_every', which adapts the knots to samples in some steps"},
    reference={"release": Release(names={"layers.0": ""}, layout=_layout, read=_read, replay=_replay)},
)
