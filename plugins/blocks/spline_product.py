"""The sum of splines that `encoder.kan` computes, as one matrix product; its backward may recompute the basis.

Source: stated here. For every sample, a row has the J basis functions of all inputs and the base function as one more;
the row times a matrix of coefficients is the result, so that no value for each (sample, input, output) is stored.
"""
# Axes: N samples, i inputs, o outputs, J basis functions, R rows (J, and one more with a base function).

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from fusionkit_plugins.blocks.splines import Basis
from torch import Tensor
from torch.nn import functional as F

_SMALL = 100_000
"""With fewer numbers in all rows, keeping them for backward is faster and needs little memory."""
_SAMPLES, _VALUES = 256, 150_000
"""A chunk that fits into the processor's cache and is large enough for a matrix product: 1.5 times faster."""

# Whether a transform of torch.func is active. There is no public API for this; without the private one, assume not.
_transforming: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)


class Base(NamedTuple):
    """An elementwise function, and the gradient of its argument from (gradient of the result, argument)."""

    function: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


BASES: Mapping[str, Base | None] = {
    "silu": Base(F.silu, torch.ops.aten.silu_backward),
    "gelu": Base(F.gelu, torch.ops.aten.gelu_backward),
    "relu": Base(F.relu, lambda gradient, x: gradient * (x > 0)),
    "tanh": Base(torch.tanh, lambda gradient, x: gradient * (1 - torch.tanh(x).square())),
    "identity": Base(torch.clone, lambda gradient, x: gradient),
    "none": None,
}


class Expansion(NamedTuple):
    """The contents of the row of a sample: the basis, its continuation `outside` of its range, the base function."""

    basis: Basis
    outside: str
    base: Base | None

    @property
    def rows(self) -> int:
        """The number of values for each sample and input."""
        return self.basis.count + (self.base is not None)

    def values(self, x_Ni: Tensor) -> Tensor:
        """The spline basis with its continuation outside: (N, J, i)."""
        if self.outside == "zero":
            return self.basis.values(x_Ni)
        inside_Ni = self.basis.inside(x_Ni)
        values = self.basis.values(inside_Ni)
        if self.outside == "clamp":
            return values
        # The slope is that at the end of the range; inside the range, its factor is zero.
        return values + (x_Ni - inside_Ni).unsqueeze(1) * self.basis.slopes(inside_Ni.detach())

    def row(self, x_Ni: Tensor) -> Tensor:
        """The full row of each sample, differentiable to any order: (N, R, i)."""
        values = self.values(x_Ni)
        return values if self.base is None else torch.cat([values, self.base.function(x_Ni).unsqueeze(1)], 1)

    def write(self, x_Ni: Tensor, row_NRi: Tensor, slopes: bool) -> Tensor | None:
        """Write the row into an existing tensor; return the derivatives of the splines, (N, J, i), if requested."""
        inside_Ni = x_Ni if self.outside == "zero" else self.basis.inside(x_Ni)
        values = row_NRi[:, : self.basis.count]
        found = self.basis.write(inside_Ni, values, slopes or self.outside == "linear")
        if found is not None and self.outside == "linear":
            values.addcmul_((x_Ni - inside_Ni).unsqueeze(1), found)
        if self.base is not None:
            row_NRi[:, -1] = self.base.function(x_Ni)
        if found is not None and self.outside == "clamp":
            found = found * (x_Ni == inside_Ni).unsqueeze(1)
        return found if slopes else None


def product(x_Ni: Tensor, matrix_Ro: Tensor, expansion: Expansion) -> Tensor:
    """The rows of all samples times the matrix: (N, o), in the precision of the matrix.

    Shapes: samples (N, i) in single precision or better, matrix (R * i, o).
    """
    if torch.compiler.is_compiling() or x_Ni.device.type == "meta" or _transforming():
        # A compiler decides itself what to recompute; torch.func needs a form of function with more overhead.
        return _plain(x_Ni, matrix_Ro, expansion)
    if torch.is_autocast_enabled(x_Ni.device.type):
        matrix_Ro = matrix_Ro.to(torch.get_autocast_dtype(x_Ni.device.type))
    chosen: Any = _Kept if x_Ni.numel() * expansion.rows < _SMALL else _Recomputed
    result: Tensor = chosen.apply(x_Ni, matrix_Ro, expansion)
    return result


def _plain(x_Ni: Tensor, matrix_Ro: Tensor, expansion: Expansion) -> Tensor:
    """The product in differentiable operations."""
    return expansion.row(x_Ni).flatten(1).to(matrix_Ro.dtype) @ matrix_Ro


def _pieces(x_Ni: Tensor, matrix_Ro: Tensor) -> Iterator[slice]:
    count, size = x_Ni.shape[0], max(_SAMPLES, _VALUES // matrix_Ro.shape[0])
    if x_Ni.device.type != "cpu" or matrix_Ro.dtype != x_Ni.dtype:
        # A GPU has no such cache and each launch costs time; in half precision a sum over chunks would lose accuracy.
        size = max(count, 1)
    return (slice(start, start + size) for start in range(0, count, size))


class _Kept(torch.autograd.Function):
    """`product` for small sizes, where the number of operations determines the time: it keeps the rows and slopes.

    A gradient that will be differentiated again uses the plain form.
    """

    @staticmethod
    def forward(ctx: Any, x_Ni: Tensor, matrix_Ro: Tensor, expansion: Expansion) -> Tensor:
        row = x_Ni.new_empty(x_Ni.shape[0], expansion.rows, x_Ni.shape[1])
        slopes = expansion.write(x_Ni, row, slopes=ctx.needs_input_grad[0])
        ctx.save_for_backward(x_Ni, matrix_Ro, row, slopes)
        ctx.expansion = expansion
        return row.flatten(1).to(matrix_Ro.dtype).mm(matrix_Ro)

    @staticmethod
    def backward(ctx: Any, gradient_No: Tensor) -> tuple[Tensor | None, ...]:
        x_Ni, matrix_Ro, row_NRi, slopes_NJi = ctx.saved_tensors
        for_samples, for_matrix = None, None
        if torch.is_grad_enabled():
            for_samples, for_matrix = _again(ctx, x_Ni, matrix_Ro, gradient_No)
        else:
            if ctx.needs_input_grad[0]:
                for_samples = _through(x_Ni, matrix_Ro, gradient_No, slopes_NJi, ctx.expansion)
            if ctx.needs_input_grad[1]:
                for_matrix = row_NRi.flatten(1).to(matrix_Ro.dtype).t().mm(gradient_No)
        return for_samples, for_matrix, None


class _Recomputed(torch.autograd.Function):
    """`product` that keeps only the samples and the matrix for backward, nothing for each sample and basis function.

    A gradient that will be differentiated again uses the plain form.
    """

    @staticmethod
    def forward(ctx: Any, x_Ni: Tensor, matrix_Ro: Tensor, expansion: Expansion) -> Tensor:
        ctx.save_for_backward(x_Ni, matrix_Ro)
        ctx.expansion = expansion
        result = matrix_Ro.new_empty(x_Ni.shape[0], matrix_Ro.shape[1])
        for piece in _pieces(x_Ni, matrix_Ro):
            part_Ni = x_Ni[piece]
            row = part_Ni.new_empty(part_Ni.shape[0], expansion.rows, part_Ni.shape[1])
            expansion.write(part_Ni, row, slopes=False)
            torch.mm(row.flatten(1).to(matrix_Ro.dtype), matrix_Ro, out=result[piece])
        return result

    @staticmethod
    def backward(ctx: Any, gradient_No: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_Ni, matrix_Ro = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*_again(ctx, x_Ni, matrix_Ro, gradient_No), None)
        of_samples, of_matrix = ctx.needs_input_grad[:2]
        return (*_gradients(x_Ni, matrix_Ro, gradient_No, ctx.expansion, of_samples=of_samples,
                            of_matrix=of_matrix), None)


def _again(ctx: Any, x_Ni: Tensor, matrix_Ro: Tensor, gradient_No: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Gradients that can be differentiated again."""
    result = _plain(x_Ni, matrix_Ro, ctx.expansion)
    of_samples, of_matrix = ctx.needs_input_grad[:2]
    wanted = [x for x, needed in ((x_Ni, of_samples), (matrix_Ro, of_matrix)) if needed]
    found = iter(torch.autograd.grad(result, wanted, gradient_No, create_graph=True))
    return next(found) if of_samples else None, next(found) if of_matrix else None


def _gradients(x_Ni: Tensor, matrix_Ro: Tensor, gradient_No: Tensor, expansion: Expansion, *, of_samples: bool,
               of_matrix: bool) -> tuple[Tensor | None, Tensor | None]:
    for_samples = torch.empty_like(x_Ni) if of_samples else None
    for_matrix = torch.zeros_like(matrix_Ro) if of_matrix else None
    for piece in _pieces(x_Ni, matrix_Ro):
        part_Ni, part_No = x_Ni[piece], gradient_No[piece]
        row = part_Ni.new_empty(part_Ni.shape[0], expansion.rows, part_Ni.shape[1])
        slopes = expansion.write(part_Ni, row, slopes=of_samples)
        if for_matrix is not None:
            for_matrix.addmm_(row.flatten(1).to(matrix_Ro.dtype).mT, part_No)
        if for_samples is not None:
            for_samples[piece] = _through(part_Ni, matrix_Ro, part_No, slopes, expansion)
    return for_samples, for_matrix


def _through(x_Ni: Tensor, matrix_Ro: Tensor, gradient_No: Tensor, slopes_NJi: Tensor | None,
             expansion: Expansion) -> Tensor:
    """The gradient of the samples from that of the result."""
    assert slopes_NJi is not None, "slopes are computed whenever samples need a gradient; please report"
    back = gradient_No.mm(matrix_Ro.t()).to(x_Ni.dtype).view(x_Ni.shape[0], expansion.rows, x_Ni.shape[1])
    count = expansion.basis.count
    found = back[:, :count].mul_(slopes_NJi).sum(1)
    if expansion.base is None:
        return found
    return found.add_(expansion.base.gradient(back[:, count], x_Ni))
