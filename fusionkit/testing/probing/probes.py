"""Inputs to test a component with, derived from its rule: two sets, each with a different prime per free axis."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.component import Component
from fusionkit.components.config import ComponentError, Config
from fusionkit.network.meta_results import Counted, MetaResults
from fusionkit.network.without_values import WithoutValues
from fusionkit.shapes.layouts import Shape, TensorShape
from fusionkit.shapes.rule import Mismatch, result_shape
from fusionkit.testing.probing.coded import taking_anything
from fusionkit.testing.probing.options import Choice

# Axes: B batch, M inputs.
HEAVY = 20_000_000
"""Work of one case above which other options are tried less: all checks together run a few hundred cases."""
OVERHEAD = 50_000
"""Overhead of an operation in multiply-adds: about 10 microseconds, more on the meta device."""
COSTLY = 300_000_000
"""Work of one case above which checks take fewer cases and smaller maps, and other options are tried by `rule` only."""
LIGHT = 1_000_000
"""Multiply-adds of one case below which it runs with the full grid and in double precision."""


MASKS = ("present", "valid", "known")
"""Keywords of `forward` that are masks and no ports."""


@dataclass(frozen=True)
class Output:
    """The sizes of what a module gave for a batch; `single` when it was one tensor and no tuple."""

    batch: int
    sizes: tuple[tuple[int, ...], ...]
    single: bool


@dataclass(frozen=True)
class Witness:
    """A module's output sizes for a batch on one set of sizes, its multiply-adds per case, and number of operations."""

    inputs: tuple[TensorShape, ...]
    output: Output
    cost: int = 0
    operations: int = 0


@dataclass(frozen=True)
class Probe:
    """A component with checked options on inputs that its rule accepts.

    `witnesses` are runs on these inputs and, where the component takes them, on others with every free size
    changed, on the meta device where that works; `meta_error` is the error there if the same works on the
    CPU. `inputs` may have smaller grids than the witnesses, to limit the computation.
    """

    component: Component
    choice: Choice
    inputs: tuple[TensorShape, ...]
    layout: str = ""
    witnesses: tuple[Witness, ...] = ()
    meta_error: str | None = None
    cost: int = 0
    """Multiply-adds for one case."""
    operations: int = 0
    brief: bool = False
    """Only the check `rule` uses it."""

    def __str__(self) -> str:
        return self.on(self.inputs)

    def on(self, inputs: Sequence[TensorShape]) -> str:
        """The options and these inputs in words."""
        return f"{self.choice.label} on {', '.join(f'({shape})' for shape in inputs)}"

    @property
    def config(self) -> Config:
        """The checked options."""
        return self.choice.config

    @property
    def work(self) -> int:
        """The cost of running one case, in multiply-adds."""
        return self.cost + OVERHEAD * self.operations

    @property
    def heavy(self) -> bool:
        """Whether running it takes long."""
        return self.work > HEAVY

    @property
    def costly(self) -> bool:
        """Whether running it takes so long that batches are of three cases."""
        return self.work > COSTLY

    @property
    def cases(self) -> int:
        """How many cases checks take in a batch: five, one for each row of `some_absent`, unless that takes long."""
        return 3 if self.costly and not self.knows_presence else 5

    def promised(self, inputs: Sequence[TensorShape] | None = None) -> Shape | Mismatch | None:
        """The result of the rule, or of the output function; None where only a run can tell."""
        shapes = self.inputs if inputs is None else tuple(inputs)
        named = [(f"input {place}", shape) for place, shape in enumerate(shapes, start=1)]
        bound = self.component.parsed.bind(named, dict(self.config))
        if isinstance(bound, Mismatch):
            return bound
        if self.component.output:
            with WithoutValues():  # it may build the module to see
                return self.component.output(self.config, shapes)
        return result_shape(bound, dict(self.config))

    def build(self, device: str = "cpu", seed: int = 0) -> nn.Module:
        """The module as a network would have it, in evaluation mode."""
        with torch.random.fork_rng(devices=[]), torch.device(device), WithoutValues(), quick(device):
            torch.manual_seed(seed)
            module = self.component.module(self.config, list(self.inputs))
        if not isinstance(module, nn.Module):
            raise TypeError(f"the component gives {type(module).__name__}, not an nn.Module")
        return taking_anything(module, self.inputs).eval()

    @cached_property
    def built(self) -> nn.Module:
        """One shared module for checks that do not change it."""
        return self.build()

    def module(self, seed: int = 0) -> nn.Module:
        """A copy of the module with its weights perturbed, away from special initial values such as zeros."""
        return copy.deepcopy(self._moved) if seed == 0 else _moved(copy.deepcopy(self.built), seed)

    @cached_property
    def _moved(self) -> nn.Module:
        """Used by most checks: for large modules, drawing weights takes longer than copying them."""
        return _moved(copy.deepcopy(self.built), 0)

    def data(self, batch: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Normal numbers for every input."""
        random = torch.Generator().manual_seed(seed)
        return [torch.randn(batch, *shape.carried, generator=random).to(dtype) for shape in self.inputs]

    @cached_property
    def takes_double(self) -> bool:
        """Whether the module supports double precision; where it does not, another check reports it."""
        try:
            outputs = run(self.module().double(), self.data(2, dtype=torch.float64))
        except RuntimeError:
            return False
        return all(part.dtype == torch.float64 for part in outputs)

    @property
    def widest(self) -> torch.dtype:
        """Double precision, in which rounding hides nothing, unless it is unsupported or would take long."""
        return torch.float64 if self.cost <= LIGHT and self.takes_double else torch.float32

    @cached_property
    def knows_presence(self) -> bool:
        """Whether `forward` takes the mask."""
        return "present" in inspect.signature(self.built.forward).parameters

    def some_absent(self) -> dict[str, Tensor]:
        """The keyword `present` for five rows: all, none, the first, all but the first, all but the last."""
        if not self.knows_presence:
            return {}
        number = len(self.inputs)
        first, last = torch.arange(number) == 0, torch.arange(number) == number - 1
        every = torch.ones(number, dtype=torch.bool)
        return {"present": torch.stack([every, ~every, first, ~first, ~last])}

    @property
    def ports(self) -> list[str]:
        """A name for each input: that of its port, with a number where a port takes several."""
        names = [parameter.name for parameter in inspect.signature(self.built.forward).parameters.values()
                 if parameter.name not in MASKS]
        several = len(self.inputs) - len(names) + 1
        return [*names[:-1], *([names[-1]] if several == 1 and not self.component.parsed.ports[-1].variadic else
                               [f"{names[-1]}_{number}" for number in range(1, several + 1)])]


def _moved(module: nn.Module, seed: int) -> nn.Module:
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = _NOISE * _spread(parameter) * torch.randn(parameter.shape, generator=random)
            parameter.add_(noise.to(parameter.dtype))
    return module


_NOISE = 0.1
"""Noise added to every weight, as a share of its spread: a hundred layers with noise of one size would explode."""


def _spread(weight: Tensor) -> float:
    """The standard deviation of a weight; of a constant one its value, and of zeros what keeps a product's scale."""
    if not weight.numel():
        return 0.0
    spread = float(weight.float().std(correction=0)) or float(weight.float().abs().max())
    return spread or (1.0 if weight.dim() < 2 else (weight.shape[0] / weight.numel()) ** 0.5)


def witness(probe: Probe, device: str, batch: int, masked: bool = False) -> Witness:
    """The probe's module run once on its inputs.

    Raises: what the component raises, and ComponentError when its rule refuses the inputs.
    """
    promised = probe.promised()
    if isinstance(promised, Mismatch):
        raise ComponentError(promised.why)
    module = probe.build(device)
    inputs = [torch.zeros(batch, *shape.carried, device=device) for shape in probe.inputs]
    with torch.no_grad():
        if masked and "present" in inspect.signature(module.forward).parameters:
            with quick(device):
                output = module(*inputs, present=torch.ones(batch, len(inputs), dtype=torch.bool, device=device))
            return Witness(probe.inputs, _output(batch, output))
        with Counted() as work:
            output = module(*inputs)
    return Witness(probe.inputs, _output(batch, output), work.flops // 2 // batch, work.operations)


def quick(device: str) -> AbstractContextManager[object]:
    """Within, what operations give on the meta device is remembered; nothing changes on another."""
    return MetaResults() if device == "meta" else nullcontext()


def _output(batch: int, output: Any) -> Output:
    return Output(batch, tuple(tuple(part.shape) for part in results(output)), isinstance(output, Tensor))


def run(module: Callable[..., Any], inputs: Sequence[Tensor], **keywords: Tensor) -> tuple[Tensor, ...]:
    """The results of a module without gradients, one tensor as a tuple of one.

    Inputs are copied and the random state is reset, so that a module that changes inputs or draws random numbers
    is found by the check for that, and not by every check that compares results.

    Raises: TypeError when it gives something other than tensors.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return results(module(*[x.clone() for x in inputs], **keywords))


def results(output: Any) -> tuple[Tensor, ...]:
    """A module's output as a tuple of tensors.

    Raises: TypeError when it is anything else.
    """
    parts = output if isinstance(output, tuple) else (output,)
    for part in parts:
        if not isinstance(part, Tensor):
            raise TypeError(f"forward gives {type(part).__name__}; it must give a tensor or a tuple of tensors")
    return parts


def one_line(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
