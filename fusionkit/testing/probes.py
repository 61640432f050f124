"""Inputs to try a component on, made from its rule: each free axis has a prime of its own."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.contract import Component, ComponentError, Config
from fusionkit.rules import Alternative, Axis, Mismatch, Port, axis_size, result_shape
from fusionkit.shapes import Shape, TensorShape, shape_of
from fusionkit.testing.options import Choice, choices

# Axes: B batch, M inputs.
_META_BATCHES, _CPU_BATCHES = (61, 67), (2, 5)
_FEATURES = (5, 19, 23, 29, 31, 43, 47, 53, 59)
_Grids = Mapping[int, Sequence[tuple[int, ...]]]
_SMALL_GRIDS: _Grids = {2: ((7, 11), (13, 3), (11, 7)), 3: ((3, 7, 11), (7, 2, 13), (11, 3, 7))}
_GRIDS: _Grids = {2: ((37, 41), (17, 43), (31, 29)), 3: ((7, 11, 13), (13, 7, 17), (11, 13, 7))}
_LARGE_GRIDS: _Grids = {2: ((67, 71),), 3: ((37, 41, 43),)}


@dataclass(frozen=True)
class Output:
    """The sizes of what a module gave for a batch; `single` when it was one tensor and no tuple."""

    batch: int
    sizes: tuple[tuple[int, ...], ...]
    single: bool


@dataclass(frozen=True)
class Probe:
    """A component with checked options on inputs that its rule accepts.

    `outputs` are those of two batches, on the meta device where that works; `meta_error` is what went wrong
    there where the same works on the CPU.
    """

    component: Component
    choice: Choice
    inputs: tuple[TensorShape, ...]
    layout: str = ""
    outputs: tuple[Output, ...] = ()
    meta_error: str | None = None

    def __str__(self) -> str:
        return f"{self.choice.label} on {', '.join(f'({shape})' for shape in self.inputs)}"

    @property
    def config(self) -> Config:
        """The checked options."""
        return self.choice.config

    def promised(self) -> Shape | Mismatch | None:
        """What the rule, or the output function, says of the inputs; None where it is left to a run."""
        named = [(f"input {place}", shape) for place, shape in enumerate(self.inputs, start=1)]
        bound = self.component.parsed.bind(named, dict(self.config))
        if isinstance(bound, Mismatch):
            return bound
        if self.component.output:
            return self.component.output(self.config, self.inputs)
        return result_shape(bound, dict(self.config))

    def build(self, device: str = "cpu", seed: int = 0) -> nn.Module:
        """The module as a network would have it, in evaluation mode."""
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(seed)
            module = self.component.module(self.config, list(self.inputs))
        if not isinstance(module, nn.Module):
            raise TypeError(f"the component gives {type(module).__name__}, not an nn.Module")
        return module.eval()

    @cached_property
    def _built(self) -> nn.Module:
        return self.build()

    def module(self, seed: int = 0) -> nn.Module:
        """A copy of the module with its weights moved off any special start, such as zeros."""
        module = copy.deepcopy(self._built)
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random).to(parameter.dtype))
        return module

    def data(self, batch: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Normal numbers for every input."""
        random = torch.Generator().manual_seed(seed)
        return [torch.randn(batch, *shape.sizes, generator=random).to(dtype) for shape in self.inputs]

    def some_absent(self) -> dict[str, Tensor]:
        """The keyword `present` for five rows: all, none, the first, all but the first, all but the last."""
        if "present" not in inspect.signature(self._built.forward).parameters:
            return {}
        number = len(self.inputs)
        first, last = torch.arange(number) == 0, torch.arange(number) == number - 1
        every = torch.ones(number, dtype=torch.bool)
        return {"present": torch.stack([every, ~every, first, ~first, ~last])}


@dataclass
class Probes:
    """All probes of one component, what refused to be one, and what failed on inputs that the rule accepts."""

    accepted: list[Probe] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[tuple[Probe, str]] = field(default_factory=list)

    @property
    def few(self) -> list[Probe]:
        """The defaults on every layout, and each other choice on one of the layouts in turn."""
        groups: dict[str, list[Probe]] = {}
        for probe in self.accepted:
            groups.setdefault(probe.choice.label, []).append(probe)
        first, *others = groups.values()
        return [*first, *(group[turn % len(group)] for turn, group in enumerate(others))]


@dataclass(frozen=True)
class _Scheme:
    """How sizes are chosen: every `_` with its own, or those in the same place equal; which numbers; how large."""

    grids: _Grids
    shared: bool = False
    features: tuple[int, ...] = _FEATURES


def _schemes(kind: str) -> tuple[_Scheme, ...]:
    """The first that a component does not refuse is used: some want equal widths, some that divide well.

    An encoder may halve its map several times; what comes after it need not wait for large ones.
    """
    grids = _GRIDS if kind == "encoder" else _SMALL_GRIDS
    return (_Scheme(grids), _Scheme(grids, shared=True), _Scheme(grids, shared=True, features=(24, 48, 72, 96)),
            _Scheme(_LARGE_GRIDS), _Scheme(_LARGE_GRIDS, shared=True))


def probes_of(component: Component, options: Mapping[str, Any] | None = None,
              inputs: Sequence[Sequence[int]] | None = None) -> Probes:
    """Every set of options on every layout of the rule; `inputs` are sizes to use in place of generated ones.

    A `ComponentError` is a refusal, which a component is free to give; any other exception is a failure.

    Raises: NoExampleError when the needed options cannot be guessed.
    """
    found = Probes()
    shapes = tuple(shape_of(tuple(sizes)) for sizes in inputs or ())
    reached: set[str] = set()
    refusals: dict[str, str] = {}
    for choice in choices(component, options):
        layouts = [("as given", [shapes])] if shapes else _layouts(component, choice)
        for layout, candidates in layouts:
            refusal = _first_accepted(component, choice, layout, candidates, found)
            if refusal is None:
                reached.add(layout)
            else:
                refusals.setdefault(layout, refusal)
    found.refused = [f"{layout}: {why}" for layout, why in refusals.items() if layout not in reached]
    return found


def _first_accepted(component: Component, choice: Choice, layout: str,
                    candidates: Sequence[tuple[TensorShape, ...]], found: Probes) -> str | None:
    """Adds the first inputs that the component takes; gives why it took none."""
    refusal, failure = None, None
    for shapes in candidates:
        probe = Probe(component, choice, shapes, layout)
        try:
            found.accepted.append(_tried(probe))
            break
        except ComponentError as error:
            refusal = refusal or str(error)
        except Exception as error:
            failure = failure or (probe, told(error, component))
    else:
        refusal = refusal or (failure[1] if failure else "no sizes fit")
        shapes = ()
    if failure:
        found.failed.append(failure)
    return refusal if not shapes else None


def _tried(probe: Probe) -> Probe:
    """The probe, having run once; on the CPU where the meta device will not do."""
    promised = probe.promised()
    if isinstance(promised, Mismatch):
        raise ComponentError(promised.why)
    try:
        return replace(probe, outputs=_outputs(probe, "meta", _META_BATCHES))
    except ComponentError:
        raise
    except Exception as error:
        outputs = _outputs(probe, "cpu", _CPU_BATCHES)
        return replace(probe, outputs=outputs, meta_error=told(error, probe.component))


def _outputs(probe: Probe, device: str, batches: Sequence[int]) -> tuple[Output, ...]:
    module, outputs = probe.build(device), []
    for batch in batches:
        with torch.no_grad():
            output = module(*[torch.zeros(batch, *shape.sizes, device=device) for shape in probe.inputs])
        sizes = tuple(tuple(part.shape) for part in results(output))
        outputs.append(Output(batch, sizes, isinstance(output, Tensor)))
    return tuple(outputs)


def run(module: nn.Module, inputs: Sequence[Tensor], **keywords: Tensor) -> tuple[Tensor, ...]:
    """The results of a module without gradients, one tensor as a tuple of one.

    Raises: TypeError when it gives something else than tensors.
    """
    with torch.no_grad():
        return results(module(*inputs, **keywords))


def results(output: Any) -> tuple[Tensor, ...]:
    """A module's output as a tuple of tensors.

    Raises: TypeError when it is something else.
    """
    parts = output if isinstance(output, tuple) else (output,)
    for part in parts:
        if not isinstance(part, Tensor):
            raise TypeError(f"forward gives {type(part).__name__}; it must give a tensor or a tuple of tensors")
    return parts


def told(error: BaseException, component: Component) -> str:
    """An exception in one line, with the place in the plugin's own file where it was raised."""
    own = source_file(component)
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f" ({frame.filename}:{frame.lineno})" for frame in reversed(frames) if frame.filename == own), "")
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}{place}"


def source_file(component: Component) -> str:
    """The file that declares a component's module, '' when there is none."""
    try:
        return inspect.getsourcefile(component.module) or ""
    except TypeError:
        return ""


def _layouts(component: Component, choice: Choice) -> Iterator[tuple[str, list[tuple[TensorShape, ...]]]]:
    """Every alternative of the rule, maps as images and as volumes, each with candidates for the sizes."""
    schemes = _schemes(component.kind)
    for alternative in component.parsed.alternatives:
        axes = [axis for port in alternative.inputs for axis in port.axes or ()]
        mapped = any(axis.kind in ("map", "any_map") for axis in axes)
        for rank, name in ((2, " as images"), (3, " as volumes")) if mapped else ((0, ""),):
            left = ", ".join(map(str, alternative.inputs))
            yield f"'{left}'{name}", [_shapes(ports, rank, scheme, dict(choice.config))
                                      for ports in _repeated(alternative) for scheme in schemes]


def _repeated(alternative: Alternative) -> list[list[Port]]:
    """The ports with a `*` port written out: first with more inputs, then with as few as can be of use."""
    ports = list(alternative.inputs)
    if not ports[-1].variadic:
        return [ports]
    fixed, last = ports[:-1], ports[-1]
    return [fixed + [last] * 2, [*fixed, last]] if fixed else [[last] * 3, [last] * 2, [last]]


def _shapes(ports: Sequence[Port], rank: int, scheme: _Scheme, options: dict[str, Any]) -> tuple[TensorShape, ...]:
    drawn = _Sizes(scheme, rank, options)
    return tuple(shape_of(tuple(drawn.port(port.axes or ()))) for port in ports)


class _Sizes:
    """Draws sizes for the axes of one set of inputs; equal names get equal sizes."""

    def __init__(self, scheme: _Scheme, rank: int, options: dict[str, Any]) -> None:
        self.scheme = scheme
        self.rank = rank
        self.options = options
        self.known: dict[Any, int] = {}
        self.drawn = count()
        self.grids = count(1)

    def port(self, axes: Sequence[Axis]) -> Iterator[int]:
        """The sizes of one port."""
        for place, axis in enumerate(axes):
            if axis.kind in ("map", "any_map"):
                grids = self.scheme.grids[self.rank]
                own = next(self.grids) if axis.kind == "any_map" and not self.scheme.shared else 0
                yield from grids[own % len(grids)]
            elif axis.kind in ("size", "option"):
                yield axis_size(axis, self.options)
            elif axis.kind == "name":
                yield self._one(str(axis.value), place, len(axes))
            else:
                width = place == (1 if len(axes) == 2 else 0)
                yield self._one(("width" if width else place) if self.scheme.shared else object(), place, len(axes))

    def _one(self, key: Any, place: int, axes: int) -> int:
        if key not in self.known:
            # Three axes or more are a map whose grid the rule writes out.
            grid = self.scheme.grids.get(axes - 1) if place and axes > 2 else None
            features = self.scheme.features
            self.known[key] = grid[0][place - 1] if grid else features[next(self.drawn) % len(features)]
        return self.known[key]
