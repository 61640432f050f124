"""Checks for state that a module keeps between calls, other than the buffers that training updates."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from fusionkit.testing.checks.behaviour import equal
from fusionkit.testing.faults import Fault
from fusionkit.testing.places import place_of_attribute
from fusionkit.testing.probing.probes import Probe, run

_OF_TORCH = set(vars(nn.Module()))


def memory(probe: Probe) -> Fault | None:
    """A call changes nothing in the module except its buffers, in training and in evaluation."""
    for training in (False, True):
        module = probe.module().train(training)
        before = dict(attributes(module))
        first = _seeded(probe, module, {})
        after = dict(attributes(module))
        changed = tuple(name for name in {**before, **after}
                        if _print(before.get(name, _NONE)) != _print(after.get(name, _NONE)))
        if changed:
            return Fault(f"forward sets attributes of the module{' in training' if training else ''}: {{parts}}",
                         "return what is needed later; register_buffer what must persist, recompute what was cached: a "
                         "stored tensor is neither saved nor moved, and copies share it",
                         place_of_attribute(probe.component, changed[0].rpartition(".")[2]), changed)
        if training:
            return _hidden(probe, module, first)
    return None


def _hidden(probe: Probe, module: nn.Module, first: tuple[Tensor, ...]) -> Fault | None:
    """State outside the module: globals, closures, class attributes."""
    fresh = {name: value.clone() for name, value in probe.module().state_dict().items()}
    run(module, probe.data(probe.cases, seed=9))
    if equal(_seeded(probe, module, fresh), first):
        return None
    return Fault("in training the same batch gives other results after another batch, with all buffers restored",
                 "keep state in buffers of the module, not in globals or on the class")


def _seeded(probe: Probe, module: nn.Module, state: dict[str, Tensor]) -> tuple[Tensor, ...]:
    if state:
        module.load_state_dict(state)
    return tuple(part.clone() for part in run(module, probe.data(probe.cases), **probe.some_absent()))


def attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """Plain attributes of a module and its submodules, by path, without torch's own tables."""
    return [(f"{path}.{name}" if path else name, _copied(value)) for path, part in module.named_modules()
            for name, value in vars(part).items() if name not in _OF_TORCH]


def _copied(value: Any) -> Any:
    """Copies of containers, so that later additions show; with each tensor its version counter."""
    if isinstance(value, Tensor):
        return value, value._version
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [_copied(part) for part in value]
    return value


_NONE = object()


def _print(value: Any) -> Any:
    """A key that identifies a value: plain ones by value, all others by identity."""
    if isinstance(value, dict):
        return {key: _print(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_print(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else id(value)
