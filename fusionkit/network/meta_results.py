"""What operations give on the meta device, and what they cost, in microseconds in place of milliseconds.

PyTorch finds the sizes of most results there by Python code, of which the first call imports its compiler, for seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
MOST = 20_000
"""How many results are remembered before all are forgotten; one takes about a kilobyte."""
_FLOATING = frozenset({torch.float32, torch.float64})
_NUMBERS = _FLOATING | {torch.int64}
_TRUTH = frozenset({torch.bool})
_SETTINGS = (torch.dtype, torch.device, torch.layout, torch.memory_format)


class _Laid(NamedTuple):
    """How a tensor on the meta device lies in memory, which is all that there is of it."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    def made(self) -> Tensor:
        return torch.empty_strided(self.sizes, self.strides, dtype=self.dtype, device="meta")


_known: dict[Any, tuple[Callable[[Iterable[Tensor]], Any] | None, tuple[_Laid, ...]]] = {}


class MetaResults(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Within, an operation on the meta device gives what PyTorch says, which is asked once for each set of arguments.

    The commonest ones are not asked for: their results follow from the arguments. Whatever fails is asked again.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by PyTorch, which else imports its compiler at the first operation; nothing is compiled here."""
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _result(function, args, kwargs or {})


class Counted(MetaResults):  # type: ignore[no-untyped-call]
    """Adds up, within, the operations, the floating-point operations of products, and the bytes of what they create.

    Convolutions and products of matrices are counted, a multiply-add as two, and views take no bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.flops = 0
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        result = _result(function, args, given)
        self.operations += 1
        count = _formula(function._overloadpacket)
        if count:
            self.flops += count(*args, **given, out_val=result)
        if not _makes_views(function):
            self.bytes += sum(part.numel() * part.element_size()
                              for part in (result if isinstance(result, tuple | list) else (result,))
                              if isinstance(part, Tensor))
        return result


def _result(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    rule = _RULES.get(function)
    if rule and (not kwargs or rule is _alike):
        laid = rule(*args, **kwargs)
        if laid is not None:
            return laid.made() if isinstance(laid, _Laid) else tuple(part.made() for part in laid)
    key = None if _makes_views(function) else _key(function, args, kwargs)
    if key is None:
        return function(*args, **kwargs)
    known = _known.get(key)
    if known is None:
        return _remembered(key, function(*args, **kwargs))
    together, laid = known
    return laid[0].made() if together is None else together(part.made() for part in laid)


def _remembered(key: Any, result: Any) -> Any:
    """The result, and how it lies is kept if that is all that it is."""
    together = tuple if isinstance(result, tuple) else list if isinstance(result, list) else None
    parts = (result,) if together is None else tuple(result)
    if all(_is_plain(part) for part in parts):
        if len(_known) >= MOST:
            _known.clear()
        _known[key] = together, tuple(_Laid(tuple(part.shape), part.stride(), part.dtype) for part in parts)
    return result


@cache
def _makes_views(function: Any) -> bool:
    """Whether its results share memory with its arguments, or it writes to one."""
    return any(argument.alias_info is not None for argument in function._schema.arguments)


def _is_plain(value: Any) -> bool:
    return (type(value) in (Tensor, nn.Parameter) and value.is_meta and value.layout is torch.strided
            and not value.storage_offset())


def _key(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """All that the result depends on; None where it may depend on more, such as the device of a CPU's tensor."""
    try:
        return function, torch.get_default_dtype(), _frozen(args), tuple((n, _frozen(v)) for n, v in kwargs.items())
    except TypeError:
        return None


def _frozen(value: Any) -> Any:
    """Raises: TypeError for what is neither a tensor on the meta device nor a plain setting."""
    if isinstance(value, Tensor):
        if type(value) not in (Tensor, nn.Parameter) or not value.is_meta or value.layout is not torch.strided:
            raise TypeError
        return Tensor, tuple(value.shape), value.stride(), value.dtype
    if isinstance(value, tuple | list):
        return tuple([_frozen(part) for part in value])
    if value is None or isinstance(value, bool | int | float | str):
        return type(value), value  # 1, 1.0 and True are equal, and give results of different types
    if isinstance(value, _SETTINGS):
        return value
    raise TypeError


def _floating(x: Any) -> bool:
    """Whether it is a tensor of the plain kind that the rules are about: contiguous, of one of the usual types."""
    return (type(x) in (Tensor, nn.Parameter) and x.is_meta and x.dtype in _FLOATING and x.layout is torch.strided
            and x.is_contiguous())


def _contiguous(sizes: Sequence[int], dtype: torch.dtype) -> _Laid:
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= max(size, 1)
    return _Laid(tuple(sizes), tuple(reversed(strides)), dtype)


def _each_number(x: Any, *settings: Any) -> _Laid | None:
    """Of operations on each number alone, with numbers as settings."""
    plain = _floating(x) and all(type(setting) in (int, float, bool) for setting in settings)
    return _contiguous(x.shape, x.dtype) if plain else None


def _two(x: Any, y: Any) -> _Laid | None:
    """Of operations on the numbers of two tensors of equal sizes, or of one tensor and a number."""
    if type(y) in (int, float):
        return _each_number(x)
    if not (_floating(x) and _floating(y)) or x.dtype is not y.dtype or x.shape != y.shape:
        return None
    return _contiguous(x.shape, x.dtype)


def _addmm(bias: Any, x: Any, weight: Any) -> _Laid | None:
    if not (_floating(bias) and _is_matrix(x) and _is_matrix(weight)) or bias.dim() != 1:
        return None
    sizes = x.shape[0], weight.shape[1]
    fits = x.shape[1] == weight.shape[0] and bias.shape[0] == sizes[1] and bias.dtype is x.dtype is weight.dtype
    return _contiguous(sizes, x.dtype) if fits else None


def _mm(x: Any, y: Any) -> _Laid | None:
    fits = _is_matrix(x) and _is_matrix(y) and x.shape[1] == y.shape[0] and x.dtype is y.dtype
    return _contiguous((x.shape[0], y.shape[1]), x.dtype) if fits else None


def _is_matrix(x: Any) -> bool:
    """Whether it is a matrix of which rows or columns may be far apart."""
    return (type(x) in (Tensor, nn.Parameter) and x.is_meta and x.dtype in _FLOATING and x.layout is torch.strided
            and x.dim() == 2)


def _layer_norm(x: Any, normed: Any, weight: Any, bias: Any, _: float) -> tuple[_Laid, ...] | None:
    axes = len(normed)
    fits = _floating(x) and 0 < axes <= x.dim() and tuple(x.shape[-axes:]) == tuple(normed) and all(
        part is None or (_floating(part) and part.dtype is x.dtype and tuple(part.shape) == tuple(normed))
        for part in (weight, bias))
    if not fits:
        return None
    moments = _contiguous((*x.shape[:-axes], *([1] * axes)), x.dtype)
    return _contiguous(x.shape, x.dtype), moments, moments


def _batch_norm(x: Any, *settings: Any) -> tuple[_Laid, ...] | None:
    """In evaluation, where it gives no statistics of the batch."""
    weight, bias, mean, variance, training = settings[:5]
    fits = not training and _floating(x) and x.dim() > 1 and mean is not None and variance is not None and all(
        part is None or (_floating(part) and part.dtype is x.dtype and part.shape == x.shape[1:2])
        for part in (weight, bias, mean, variance))
    none = _contiguous((0,), x.dtype) if fits else None
    return None if none is None else (_contiguous(x.shape, x.dtype), none, none)


def _cat(tensors: Any, axis: int = 0) -> _Laid | None:
    first = tensors[0]
    rank = first.dim()
    fits = all(_floating(part) or _is_matrix(part) for part in tensors) and -rank <= axis < rank and \
        len({part.dtype for part in tensors}) == 1
    axis %= max(rank, 1)
    around = {(*part.shape[:axis], None, *part.shape[axis + 1 :]) for part in tensors}
    if not fits or len(around) != 1:
        return None
    sizes = list(first.shape)
    sizes[axis] = sum(part.shape[axis] for part in tensors)
    return _contiguous(sizes, first.dtype)


def _is_plain_row(x: Any, types: frozenset[torch.dtype]) -> bool:
    """Whether it is contiguous or has one axis, whose numbers may be far apart: results are contiguous all the same."""
    return (type(x) in (Tensor, nn.Parameter) and x.is_meta and x.dtype in types and x.layout is torch.strided
            and (x.dim() == 1 or x.is_contiguous()))


def _compared(x: Any, bound: Any) -> _Laid | None:
    plain = _is_plain_row(x, _NUMBERS) and type(bound) in (int, float)
    return _contiguous(x.shape, torch.bool) if plain else None


def _both(x: Any, y: Any) -> _Laid | None:
    plain = _is_plain_row(x, _TRUTH) and _is_plain_row(y, _TRUTH) and x.shape == y.shape
    return _contiguous(x.shape, torch.bool) if plain else None


def _where(condition: Any, x: Any, other: Any) -> _Laid | None:
    """With a single number where the condition is False."""
    plain = _is_plain_row(condition, _TRUTH) and _is_plain_row(x, _FLOATING) and condition.shape == x.shape and \
        x.dim() > 0 and type(other) is Tensor and not other.dim() and other.dtype in _NUMBERS
    return _contiguous(x.shape, x.dtype) if plain else None


def _rounded(x: Any) -> _Laid | None:
    return _contiguous(x.shape, x.dtype) if _is_plain_row(x, _FLOATING) else None


def _clamped(x: Any, low: Any = None, high: Any = None) -> _Laid | None:
    """Of whole numbers between whole numbers, or of others between any."""
    kinds = {type(bound) for bound in (low, high) if bound is not None}
    plain = kinds and _is_plain_row(x, _NUMBERS) and kinds <= ({int, float} if x.dtype in _FLOATING else {int})
    return _contiguous(x.shape, x.dtype) if plain else None


def _convolution(x: Any, weight: Any, bias: Any, *settings: Any) -> _Laid | None:
    """Of one that is not transposed, with numbers for every axis of the grid."""
    stride, padding, dilation, transposed, _, groups = settings
    rank = weight.dim() - 2
    fits = not transposed and _floating(x) and _floating(weight) and x.dim() == rank + 2 > 2 and \
        x.dtype is weight.dtype and x.shape[1] == weight.shape[1] * groups and not weight.shape[0] % groups and \
        (bias is None or (_floating(bias) and bias.dtype is x.dtype and tuple(bias.shape) == (weight.shape[0],))) and \
        all(len(each) == rank for each in (stride, padding, dilation)) and min((*stride, *dilation)) > 0
    if not fits:
        return None
    room = [size + 2 * around - apart * (kernel - 1) - 1 for size, around, apart, kernel
            in zip(x.shape[2:], padding, dilation, weight.shape[2:], strict=True)]
    if min((*x.shape, *weight.shape)) < 1 or min((*room, *padding)) < 0:
        return None
    grid = [left // step + 1 for left, step in zip(room, stride, strict=True)]
    return _contiguous((x.shape[0], weight.shape[0], *grid), x.dtype)


def _alike(x: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, **more: Any) -> _Laid | None:
    """A new tensor of the same sizes, also of one column among others; not in a memory format of its own."""
    there = device is None or torch.device(device).type == "meta"
    more = {name: value for name, value in more.items() if value not in (None, False, torch.preserve_format)}
    is_column = _is_matrix(x) and x.shape[1] == 1 and x.stride(0) >= x.stride(1)
    plain = there and layout in (None, torch.strided) and not more and (
        is_column or _is_plain_row(x, _NUMBERS | _TRUTH))
    return _contiguous(x.shape, dtype or x.dtype) if plain else None


def _embedding(table: Any, codes: Any, _: int = -1) -> _Laid | None:
    plain = _is_matrix(table) and _is_plain_row(codes, _NUMBERS - _FLOATING)
    return _contiguous((*codes.shape, table.shape[1]), table.dtype) if plain else None


def _mean(x: Any, axes: Any = None, keep: Any = False) -> _Laid | None:
    rank = x.dim()
    given = tuple(range(rank)) if not axes else tuple(axes)
    if not _floating(x) or not rank or not all(-rank <= axis < rank for axis in given):
        return None
    gone = {axis % rank for axis in given}
    if len(gone) != len(given):
        return None
    kept = [1 if axis in gone else size for axis, size in enumerate(x.shape) if keep or axis not in gone]
    return _contiguous(kept, x.dtype)


def _softmax(x: Any, axis: int) -> _Laid | None:
    return _each_number(x) if _floating(x) and -x.dim() <= axis < x.dim() else None


_RULES: Mapping[Any, Callable[..., Any]] = {
    **dict.fromkeys((_aten.relu.default, _aten.gelu.default, _aten.silu.default, _aten.sigmoid.default,
                     _aten.tanh.default, _aten.exp.default, _aten.elu.default, _aten.leaky_relu.default,
                     _aten.hardtanh.default, _aten.hardswish.default, _aten.softplus.default), _each_number),
    **dict.fromkeys((_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor, _aten.mul.Scalar), _two),
    _aten.addmm.default: _addmm, _aten.mm.default: _mm,
    _aten.native_layer_norm.default: _layer_norm, _aten.native_batch_norm.default: _batch_norm,
    _aten._safe_softmax.default: _softmax, _aten.cat.default: _cat,
    **dict.fromkeys((_aten.gt.Scalar, _aten.ge.Scalar, _aten.lt.Scalar, _aten.le.Scalar, _aten.eq.Scalar,
                     _aten.ne.Scalar), _compared),
    _aten.bitwise_and.Tensor: _both, _aten.where.self: _where, _aten.round.default: _rounded,
    _aten.abs.default: _rounded, _aten.clamp.default: _clamped,
    **dict.fromkeys((_aten.ones_like.default, _aten.zeros_like.default, _aten.empty_like.default), _alike),
    _aten.convolution.default: _convolution, _aten.embedding.default: _embedding,
    _aten.mean.dim: _mean, _aten.mean.default: _mean,
}
"""What an operation gives, without keywords but those of new tensors; None where PyTorch has to be asked."""


def _of_product(x: Tensor, y: Tensor, **_: Any) -> int:
    return 2 * prod(x.shape) * y.shape[-1]


def _of_sum(_: Tensor, x: Tensor, y: Tensor, **more: Any) -> int:
    return _of_product(x, y)


def _of_convolution(x: Tensor, weight: Tensor, *settings: Any, out_val: Tensor, **_: Any) -> int:
    transposed = settings[4]  # after bias, stride, padding and dilation
    grid = (x if transposed else out_val).shape[2:]
    return 2 * x.shape[0] * prod(grid) * prod(weight.shape)


_FORMULAS: Mapping[Any, Callable[..., int]] = {
    _aten.mm: _of_product, _aten.bmm: _of_product, _aten.addmm: _of_sum, _aten.baddbmm: _of_sum,
    _aten.convolution: _of_convolution}


@cache
def _formula(packet: Any) -> Callable[..., int] | None:
    """How floating-point operations are counted: PyTorch's formulas, of which the commonest are written here."""
    if packet in _FORMULAS or not any(part in packet.__name__ for part in ("mm", "conv", "attention")):
        return _FORMULAS.get(packet)
    # It imports triton, which takes longer than a small network does.
    from torch.utils.flop_counter import flop_registry

    return flop_registry.get(packet)
