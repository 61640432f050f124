"""Tracing of a module's code by `torch.compile` and `torch.export`; their warnings are suppressed."""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import Tensor

from fusionkit.components.component import Component
from fusionkit.network.quiet_tracing import quiet as quiet
from fusionkit.testing.checks.behaviour import difference
from fusionkit.testing.checks.fixed_sizes import FixedSizes, fixed_sizes
from fusionkit.testing.faults import Fault
from fusionkit.testing.places import place_of_error, source_file
from fusionkit.testing.probing.probes import MASKS, Probe, one_line, run

# Axes: B batch, M inputs.
_FIX = ("let no branch, loop or size depend on values of tensors: torch.where in place of if, no item(), no int(x); "
        "sizes come from the constructor or x.shape")


def compiles(probe: Probe) -> Fault | None:
    """`torch.compile(fullgraph=True)` can trace all of `forward`, and the graph gives the same results.

    With the backend `eager`, which runs the recorded graph: whether the code can be traced depends on the author;
    compiling kernels does not, takes minutes, and needs a compiler.
    """
    module, inputs, keywords = probe.module(), probe.data(probe.cases), probe.some_absent()
    wanted = run(module, inputs, **keywords)
    with quiet():
        torch._dynamo.reset()
        try:
            compiled = torch.compile(module, fullgraph=True, backend="eager", dynamic=False)
            found = run(compiled, inputs, **keywords)
        except Exception as error:
            return Fault(f"torch.compile(fullgraph=True): {one_line(error)}", _FIX,
                                     place_of_trace(error, probe.component))
        finally:
            torch._dynamo.reset()
    return _apart("compiled", found, wanted)


def exports(probe: Probe) -> Fault | None:
    """`torch.export` works with a batch of any size, and the program gives the same results for another size."""
    fixed = FixedSizes()
    try:
        with fixed_sizes(source_file(probe.component)) as fixed:
            program = exported(probe)
    except Exception as error:
        if fixed.place and "onstraint" in str(error):
            return Fault(f"torch.export with a batch of any size: '{fixed.code}' makes the number of cases a constant",
                         "use x.shape[0] in its place, never len(x) or int(...); compare it with no number, and loop "
                         "over no cases", fixed.place)
        return Fault(f"torch.export with a batch of any size: {one_line(error)}", f"{_FIX}; no loop over the cases",
                     place_of_trace(error, probe.component))
    inputs, keywords = other_batch(probe)
    with quiet():
        found = run(program.module(), inputs, **keywords)
    return _apart("exported", found, run(probe.module(), inputs, **keywords))


def exported(probe: Probe) -> torch.export.ExportedProgram:
    """The program of a probe's module, with its mask where it takes one, and a batch of any size.

    The latest one is cached: several checks in a row use it.

    Raises: what torch.export raises when it cannot trace the module.
    """
    if not (_LATEST and _LATEST[0][0] is probe):
        _LATEST[:] = [(probe, _exported(probe))]
    return _LATEST[0][1]


_LATEST: list[tuple[Probe, torch.export.ExportedProgram]] = []


def _exported(probe: Probe) -> torch.export.ExportedProgram:
    module, batch = probe.module(), {0: torch.export.Dim("batch", min=2)}
    parameters = inspect.signature(module.forward).parameters.values()
    fixed = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL and p.name not in MASKS]
    dynamic: dict[str, Any] = dict.fromkeys(fixed, batch)
    dynamic.update({p.name: (batch,) * (len(probe.inputs) - len(fixed)) for p in parameters
                    if p.kind is p.VAR_POSITIONAL})
    keywords = probe.some_absent()
    dynamic.update(dict.fromkeys(keywords, batch))
    inputs = tuple(probe.data(probe.cases))
    with quiet():
        return torch.export.export(module, inputs, keywords, dynamic_shapes=dynamic, strict=False)


def other_batch(probe: Probe) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Inputs for a batch of another size than the exported one, and their mask."""
    keywords = {name: torch.cat([mask, mask.flip(0)])[:7] for name, mask in probe.some_absent().items()}
    return probe.data(probe.cases + 2), keywords


def _apart(word: str, found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> Fault | None:
    apart = difference(found, wanted, torch.float32)
    return Fault(f"{word}, the result differs by {apart}", "forward must depend on its inputs only: anything it reads "
                 "elsewhere becomes a constant when it is traced") if apart else None


def place_of_trace(error: BaseException, component: Component) -> str:
    """The line of the plugin's file that could not be traced: from the traceback, or from the message."""
    own = source_file(component)
    named = re.findall(rf'File "{re.escape(own)}", line (\d+)', str(error)) if own else []
    return f"{own}:{named[-1]}" if named else place_of_error(error, component)
