"""Checks of precision, memory layout and the scale of numbers."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from contextlib import suppress
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Coded, TensorShape, is_loss, members
from fusionkit.shapes.rule import Mismatch
from fusionkit.testing.checks.advice import DTYPE
from fusionkit.testing.checks.behaviour import mixed
from fusionkit.testing.faults import Fault, Note
from fusionkit.testing.places import place_of_error, source_file
from fusionkit.testing.probing.probes import Probe, one_line, results, run

# Axes: B batch, c features.
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
_FORMATS = {"image": torch.channels_last, "volume": torch.channels_last_3d}
BAND = (1e-4, 1e4)
_CASES, _STARTS = (8, 48), 3
_CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten.convolution_backward)
_WORK = 30_000_000  # multiply-adds, or numbers of the inputs, that a batch may come to


def dtypes(probe: Probe) -> Fault | Note | None:
    """Weights and inputs in single, double or half precision give results of the same precision.

    What PyTorch has no kernel for on a CPU, and a layer outside of the author's file calls, is told and is no fault.
    """
    given: dict[str, tuple[Tensor, ...]] = {}
    note = None
    for name, dtype in _DTYPES.items():
        try:
            given[name] = run(probe.module().to(dtype), probe.data(2 if probe.heavy else 3, dtype=dtype))
        except RuntimeError as error:
            if name == "bfloat16" and _lacks_kernel(error, probe):
                note = Note(f"{name} was not tried: on this processor PyTorch has none of it for {_kernel(error)}")
                continue
            return Fault(f"in {{parts}}: {one_line(error)}", DTYPE, place_of_error(error, probe.component), (name,))
        other = {str(part.dtype).removeprefix("torch.") for part in given[name]} - {name}
        if other:
            return Fault(f"{{parts}} inputs give {', '.join(sorted(other))}", DTYPE, parts=(name,))
    for single, double in zip(given["float32"], given["float64"], strict=True):
        apart = float((single - double).abs().max()) if single.numel() else 0.0
        if apart > 1e-2 * (1 + float(double.abs().max())):
            return Fault(f"{{parts}} differs by {apart:.3g} from float32", "compute in the precision of the input",
                         parts=("float64",))
    return note


def _kernel(error: RuntimeError) -> str:
    """The kernel that PyTorch lacks for a precision, '' for another error."""
    named = re.match(r"\"(\w+)\" not implemented for '(BFloat16|Half)'", str(error))
    return named[1] if named else ""


def _lacks_kernel(error: RuntimeError, probe: Probe) -> bool:
    """Whether a layer of PyTorch, and no line of the author's `forward`, asked for a kernel that there is not."""
    called = traceback.extract_tb(error.__traceback__)[-1]
    return bool(_kernel(error)) and called.filename != source_file(probe.component)


def autocast(probe: Probe) -> Fault | None:
    """Mixed precision, as training uses it, runs forwards and backwards and stays finite.

    Convolutions and their gradients are computed in single precision and rounded to half precision, so that
    the component is tested and not the kernel: some CPU kernels read and write past the ends of their arrays
    (docs/decisions/0020-convolutions-under-autocast.md).
    """
    module, inputs = probe.module(), [x.requires_grad_() for x in probe.data(probe.cases)]
    with _SingleConvolutions():  # type: ignore[no-untyped-call]
        with torch.autocast("cpu", torch.bfloat16):
            outputs = results(module(*inputs, **probe.some_absent()))
        total = mixed([part.float() for part in outputs])
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
    gradients = [x.grad for x in (*module.parameters(), *inputs) if x.grad is not None]
    for name, parts in (("result", outputs), ("gradient", gradients)):
        if not all(bool(part.isfinite().all()) for part in parts):
            return Fault(f"under autocast to bfloat16 a {name} is not finite", "do exponents, logarithms and divisions "
                         "with x.float(), inside 'with torch.autocast(x.device.type, enabled=False):'")
    return None


class _SingleConvolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
    """Computes half-precision convolutions in single precision, and gives the result in half precision."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        if function._overloadpacket not in _CONVOLUTIONS or args[0].dtype != torch.bfloat16:
            return function(*args, **keywords)
        single, keywords = tree_map_only(Tensor, Tensor.float, (args, keywords))
        return tree_map_only(Tensor, Tensor.bfloat16, function(*single, **keywords))


def channels_last(probe: Probe) -> Fault | None:
    """Maps in the memory format channels last, which is fast on GPUs, give the same results."""
    module, inputs = probe.module(), probe.data(3)
    laid = [x.to(memory_format=_FORMATS[shape.layout]) if shape.layout in _FORMATS else x
            for x, shape in zip(inputs, probe.inputs, strict=True)]
    fix = "use reshape and flatten; avoid view, as_strided and strides"
    try:
        results_laid = run(module, laid)
    except RuntimeError as error:
        return Fault(f"maps with channels last in memory: {one_line(error)}", fix,
                             place_of_error(error, probe.component))
    for found, wanted in zip(results_laid, run(module, inputs), strict=True):
        if not torch.allclose(found, wanted, rtol=1e-3, atol=1e-3):
            apart = float((found - wanted).abs().max())
            return Fault(f"maps with channels last in memory change the result by {apart:.3g}", fix)
    return None


def variance(probe: Probe) -> Fault | None:
    """A new module preserves the scale of its signal: with inputs of variance one, each result's variance is in a band.

    The variance over the cases of a batch, in training, is averaged over the numbers of a result; the median of
    three initialisations counts. A result that does not depend on the case has none, however large it is. Half of a
    map's or a token row's variance is common to all its positions, as in real data: pure noise would vanish in
    any mean over positions.

    The band is 1e-4 to 1e4, deviations of a hundredth to a hundred. PyTorch's own linear layers start with a third of
    the input's variance, and a ReLU halves that again, so a perceptron of three layers ends near 5e-3 and is sound;
    a sum or product of a dozen unit inputs stays below 1e2. Two more orders of magnitude on either side, and a
    neighbour of unit variance in a concatenation dominates it or is dominated: the gradients of the next layer differ
    by the same factor of a hundred, and one learning rate no longer suits both. Products of several projections that
    each shrink (low-rank fusions whose factors are initialised as if there were one) end at 1e-12 and stay there.
    """
    seen: dict[str, list[float]] = {}
    for start in range(_STARTS if probe.cost * _CASES[1] < _WORK else 1):
        for name, value in _variances(probe, start).items():
            seen.setdefault(name, []).append(value)
    low, high = BAND
    strange = {name: median(values) for name, values in seen.items() if not low <= median(values) <= high}
    if not strange:
        return None
    variances = ", ".join(f"{value:.2g}" for value in strange.values())
    return Fault(f"inputs of variance 1 give a new module's {{parts}} a variance of {variances}",
                 f"initialise the weights so that it lies in {low:g} to {high:g}, counting the terms of every sum and "
                 "the factors of every product; declare an intended exception: exceptions={'variance': why}",
                 parts=tuple(strange))


def _variances(probe: Probe, start: int) -> dict[str, float]:
    fewest, most = _CASES
    work = max(probe.cost, sum(shape.count for shape in probe.inputs), 1)
    inputs = _signals(probe.inputs, max(fewest, min(most, _WORK // work)), start)
    module = probe.build(seed=start).train()
    outputs = run(module, inputs)
    return {name: float(part.float().var(0).mean()) for name, part in zip(_names(probe, len(outputs)), outputs,
                                                                           strict=True)
            if not is_loss(name)}


def _names(probe: Probe, count: int) -> list[str]:
    with suppress(ComponentError):
        promised = probe.promised()
        if promised is not None and not isinstance(promised, Mismatch):
            return [name for name, _ in members(promised, "result")]
    return [f"f{number}" for number in range(1, count + 1)] if count > 1 else ["result"]


def _signals(inputs: Sequence[TensorShape], cases: int, seed: int) -> list[Tensor]:
    """A batch with variance one in every number, half of it common to all positions of a case."""
    random = torch.Generator().manual_seed(100 + seed)
    signals = []
    for shape in inputs:
        common = [1] * len(shape.carried) if isinstance(shape, Coded) else [
            size if axis == "features" or axis == "channels" else 1
            for axis, size in zip(shape.axes, shape.sizes, strict=True)]
        own = torch.randn(cases, *shape.carried, generator=random)
        signals.append((own + torch.randn(cases, *common, generator=random)) / 2**0.5)
    return signals
