"""One node of a plan as a module: a component's own module, a chain of them, or one for each tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fusionkit.absence import Absence, Mask, Output
from fusionkit.contract import Absent, ComponentError
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.failures import component_failed
from fusionkit.plans import Call, Lane, PlannedNode


class Chain(nn.Sequential):
    """Modules in a row; the first meets the node's absent rows, the others what it leaves absent."""

    def __init__(self, modules: Sequence[nn.Module], semantics: Sequence[Absent]) -> None:
        super().__init__(*modules)
        self._absences = [Absence(kind) for kind in semantics]

    def forward(self, *args: Tensor, columns: Sequence[Mask] | None = None) -> Output:
        """The last module's output. `columns` are the masks (B,) of the arguments."""
        values: tuple[Tensor, ...] = args
        masks = list(columns) if columns else [None] * len(args)
        for module, absence in zip(self, self._absences, strict=True):
            output = absence.call(module, values, masks)
            values = (output,) if isinstance(output, Tensor) else output
            masks = [absence.left(masks)] * len(values)
        return output

    @property
    def absences(self) -> Sequence[Absence]:
        """How each module of the row meets absent rows."""
        return self._absences


class Each(nn.ModuleDict):
    """One module for each tensor, or one for all of them when shared; gives a tuple."""

    def __init__(self, modules: dict[str, nn.Module], names: Sequence[str], semantics: Absent) -> None:
        super().__init__(modules)
        self._names = [name if name in modules else next(iter(modules)) for name in names]
        self._absences = {name: node_absence(semantics, module) for name, module in modules.items()}

    def lane(self, index: int) -> nn.Module:
        """The module of the argument at this place."""
        return self[self._names[index]]

    def forward(self, *args: Tensor, columns: Sequence[Mask] | None = None) -> tuple[Tensor, ...]:
        """The results in the order of the arguments."""
        results: list[Tensor] = []
        masks = columns or [None] * len(args)
        for name, arg, mask in zip(self._names, args, masks, strict=True):
            output = call_masked(self[name], self._absences[name], [arg], [mask])
            results.extend((output,) if isinstance(output, Tensor) else output)
        return tuple(results)


def node_absence(semantics: Absent, module: nn.Module) -> Absence | None:
    """How a node's module meets absent rows; None for a container, whose parts know for themselves."""
    return None if isinstance(module, Chain | Each) else Absence(semantics)


def call_masked(module: nn.Module, absence: Absence | None, args: Sequence[Tensor], columns: Sequence[Mask]) -> Output:
    """Call a node's module, or a lane of it, with the masks of its arguments."""
    if absence is not None:
        return absence.call(module, args, columns)
    return module(*args, columns=columns)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


def make_node(planned: PlannedNode, seed: int, weights_follow: bool = False) -> nn.Module:
    """The module of a node, its weights drawn from a seed that belongs to the node's name alone.

    `weights_follow` says that a file will set every weight, so that nothing pretrained need be fetched.
    Raises: GraphError when a component refuses or fails.
    """
    name, lanes = planned.name, planned.lanes
    if not planned.node.each:
        return _lane(planned, lanes[0], name, seed, weights_follow)
    chosen = lanes[:1] if planned.node.share else lanes
    modules = {lane.name: _lane(planned, lane, f"{name}.{lane.name}", seed, weights_follow) for lane in chosen}
    return Each(modules, [lane.name for lane in lanes], lanes[0].calls[0].component.absent)


def _lane(planned: PlannedNode, lane: Lane, path: str, seed: int, weights_follow: bool) -> nn.Module:
    if len(lane.calls) == 1:
        return _placed(planned, 0, lane.calls[0], path, seed, weights_follow)
    modules = [_placed(planned, index, call, f"{path}.{index}", seed, weights_follow)
               for index, call in enumerate(lane.calls)]
    return Chain(modules, [call.component.absent for call in lane.calls])


def _placed(planned: PlannedNode, index: int, call: Call, path: str, seed: int, weights_follow: bool) -> nn.Module:
    try:
        return make_module(call, path, seed, weights_follow)
    except GraphError as error:
        place = planned.node.steps[index].span
        raise GraphError([replace(d, span=d.span or place) for d in error.diagnostics]) from error


def make_module(call: Call, path: str, seed: int, weights_follow: bool) -> nn.Module:
    """One component's module. An option named `pretrained` is turned off when a file sets the weights.

    Raises: GraphError when the component refuses its options (`component`) or fails (`component-failed`).
    """
    config = call.config
    if weights_follow and getattr(config, "pretrained", False):
        config = config.model_copy(update={"pretrained": False})
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would also move the generators of GPUs, which nothing puts back.
        torch.default_generator.manual_seed(seed_of(seed, path))
        try:
            module = call.component.module(config, call.shapes)
            if not isinstance(module, nn.Module):
                raise TypeError(f"it gave {type(module).__name__!r} instead of an nn.Module")
        except ComponentError as error:
            raise GraphError(Diagnostic("component", f"{call.component.id}: {error}", None, error.why, error.fix)
                             ) from error
        except Exception as error:
            raise GraphError(component_failed(call.component.id, call.inputs, error)) from error
    return module


def seed_of(seed: int, path: str) -> int:
    """A seed for one part of the network, which no other part's name or order changes."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{path}".encode()).digest()[:8], "little") >> 1
