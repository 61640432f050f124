"""What saving, copying and pickling a module must preserve."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.testing.checks.behaviour import equal
from fusionkit.testing.checks.memory import attributes
from fusionkit.testing.faults import Fault
from fusionkit.testing.places import place_of_attribute
from fusionkit.testing.probing.probes import Probe, one_line, run


def state(probe: Probe) -> Fault | None:
    """The state dict is the whole state: a module of another seed that loads it gives the same results."""
    module = probe.module()
    known = set(module.modules())
    loose = tuple(name for name, value in attributes(module) if any(_unknown(part, known) for part in _leaves(value)))
    if loose:
        return Fault("attributes hold tensors or modules that the state dict lacks: {parts}",
                     "make them nn.Parameter or register_buffer (persistent=False for what is computed), "
                     "or nn.ModuleList for lists of modules: anything else is neither saved nor moved nor trained",
                     place_of_attribute(probe.component, loose[0].rpartition(".")[2]), loose)
    other = probe.build(seed=5)
    other.load_state_dict({name: value.clone() for name, value in module.state_dict().items()})
    if equal(run(other, probe.data(3)), run(module, probe.data(3))):
        return None
    return Fault("a module of another seed that loads the state dict gives other results",
                 "register as a buffer everything that is drawn or computed once and affects the result")


def copies(probe: Probe) -> Fault | None:
    """A deep copy and a pickled module give the same results, and a deep copy is independent of the original."""
    module, inputs = probe.module(), probe.data(3)
    wanted = run(module, inputs)
    try:
        copied = copy.deepcopy(module)
    except Exception as error:
        return Fault(f"it cannot be deep-copied: {one_line(error)}", "keep no locks, files, generators or graphs in it")
    try:
        sent = pickle.loads(pickle.dumps(module))  # noqa: S301  # pickled in this line
    except Exception as error:
        return Fault(f"it cannot be pickled: {one_line(error)}",
                     "keep no lambdas or local functions in it: launches and data loaders pickle modules")
    for word, made in (("deep", copied), ("pickled", sent)):
        if not equal(run(made, inputs), wanted):
            return Fault(f"a {word} copy gives other results", "keep the whole state in parameters and buffers")
    with torch.no_grad():
        for part in (*copied.parameters(), *copied.buffers()):
            part.zero_()
    if equal(run(module, inputs), wanted):
        return None
    return Fault("changing a deep copy changes the original", "share no tensors through globals or closures")


def _unknown(part: Any, known: set[nn.Module]) -> bool:
    return isinstance(part, Tensor) or (isinstance(part, nn.Module) and part not in known)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value
