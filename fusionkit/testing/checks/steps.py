"""Checks of losses that compare the cases of a step, and of what a head fits after training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.component import Head
from fusionkit.layers.case_comparison import CaseComparison, Rows
from fusionkit.testing.checks.heads import example_targets
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import Probe, results

# Axes: B cases.
_CASES, _DIVISION = 8, (3, 5)
_ORDER = torch.tensor([5, 2, 7, 0, 3, 6, 1, 4])


def step(probe: Probe) -> Fault | None:
    """What is compared of a case does not depend on the batch, and the loss not on the order of the cases, so that the
    gradients of a step do not depend on how it is divided.
    """
    return _head(probe) if probe.component.kind == "head" else _comparisons(probe)


def _head(probe: Probe) -> Fault | None:
    assert isinstance(probe.component, Head)
    module: Any = probe.module()
    output, target = results(module(*probe.data(_CASES)))[0].detach().requires_grad_(), _targets(probe)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    losses = module.loss(output, target)
    if not _same(losses, module.loss(output, target)) or _changed(module, before):
        return Fault("its loss of the same cases is another the next time, or changes a buffer",
                     "let it depend on outputs and targets alone")
    if not _same(losses[_ORDER], module.loss(output[_ORDER], target[_ORDER])):
        return Fault("its loss depends on the order of the cases", "it says nothing: compare by targets, not by places")
    alone = module.loss(output[:1], target[:1])
    if tuple(alone.shape) != (1,) or not bool(alone.isfinite().all()):
        return Fault("its loss of a single case is not one finite number", "a step may have one case that counts")
    (slopes,) = torch.autograd.grad(losses.sum(), output)
    return None if bool(slopes.isfinite().all()) else Fault(
        "the gradient of its loss is not finite", "use logsumexp and the like in place of exp and log")


def _comparisons(probe: Probe) -> Fault | None:
    module = probe.module()
    parts = [part for part in module.modules() if isinstance(part, CaseComparison)]
    if not parts:
        return Fault("it is to compare the cases of a step, and its module has no comparison",
                     "write what compares cases as a fusionkit.api.CaseComparison, and call that in forward")
    whole, given = _Recording(module, parts), probe.data(_CASES)
    kept = whole.calls(given)
    if not kept:
        return Fault("its comparison is not called in forward", "call it with what is compared")
    divided = [whole.calls([value[start:stop] for value in given])
               for start, stop in ((0, _DIVISION[0]), (_DIVISION[0], _CASES))]
    joined = [tuple(None if row is None else torch.cat([row, other]) for row, other in zip(first, second, strict=True))
              for first, second in zip(*divided, strict=True)]
    if len(joined) != len(kept) or not all(map(_same_rows, kept, joined)):
        return Fault("what it compares of a case depends on the other cases of the batch",
                     "give the comparison a row for each case, without means over the batch")
    if not all(map(_same_rows, whole.calls(given, training=True), whole.calls(given, training=True))):
        return Fault("what it compares is drawn by random numbers of its own",
                     "draw by PyTorch's generators, which the trainer puts back for the second pass")
    for part, rows in zip(whole.called, kept, strict=True):
        other = tuple(None if row is None else row[_ORDER] for row in rows)
        if not _same(part.compared(rows, None), part.compared(other, None)):
            return Fault("its comparison depends on the order of the cases", "it says nothing")
    values = [whole.losses(given, value) for value in (0.0, 1.0, 2.0)]
    if any(not _same(once * 2, twice) or bool(none) for none, once, twice in zip(*values, strict=True)):
        return Fault("forward does more with the comparison than multiply it by a weight",
                     "write what is to be done with it in compare")
    return None


class _Recording:
    """Runs a module with its comparisons taken over, as the trainer does."""

    def __init__(self, module: nn.Module, parts: Sequence[CaseComparison]) -> None:
        self.module, self.parts = module, parts
        self.called: list[CaseComparison] = []

    def calls(self, inputs: Sequence[Tensor], training: bool = False) -> list[Rows]:
        """What the comparisons are called with, in the order of the calls; always from the same random numbers."""
        kept: list[Rows] = []
        self.called.clear()

        def keep(part: CaseComparison, rows: Rows) -> Tensor:
            kept.append(tuple(None if row is None else row.detach() for row in rows))
            self.called.append(part)
            return inputs[0].new_zeros(())

        self._run(inputs, keep, training)
        return kept

    def losses(self, inputs: Sequence[Tensor], value: float) -> list[Tensor]:
        """The auxiliary losses where every comparison gives this value."""
        found = self._run(inputs, lambda part, rows: torch.tensor(value), False)
        return [each for each in found if not each.dim()]

    def _run(self, inputs: Sequence[Tensor], taken: Any, training: bool) -> Sequence[Tensor]:
        for part in self.parts:
            part.taken = taken
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return results(self.module.train(training)(*inputs))
        finally:
            self.module.eval()
            for part in self.parts:
                part.taken = None


def settled(probe: Probe) -> Fault | None:
    """After `settle` only buffers of the same shapes differ, whatever they were, in any order of the cases; decoding
    gives finite numbers, and a module that loads the state gives the same.
    """
    module: Any = probe.module()
    output, target = results(module(*probe.data(_CASES)))[0].detach(), _targets(probe)
    weights = [weight.detach().clone() for weight in module.parameters()]
    fault = _fitted(probe, module, "settle", output, lambda order: module.settle(output[order], target[order]))
    if fault is None and any(not torch.equal(old, new)
                             for old, new in zip(weights, module.parameters(), strict=True)):
        return Fault("settle changes weights", "write to buffers alone")
    return fault


def prepared(probe: Probe) -> Fault | None:
    """After `prepare` the state has the same shapes, in any order of the cases; decoding gives finite numbers, and a
    module that loads the state gives the same.
    """
    module: Any = probe.module()
    output, target = results(module(*probe.data(_CASES)))[0].detach(), _targets(probe)
    with torch.no_grad():
        return _fitted(probe, module, "prepare", output, lambda order: module.prepare(target[order]))


def _fitted(probe: Probe, module: Any, hook: str, output: Tensor, fit: Callable[[Tensor], None]) -> Fault | None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fit(torch.arange(_CASES))
    after = {name: value.clone() for name, value in module.state_dict().items()}
    if {name: value.shape for name, value in before.items()} != {name: value.shape for name, value in after.items()}:
        return Fault(f"{hook} changes the shapes of buffers, or which there are",
                     "register buffers of fixed shapes in the constructor, and write to them in place")
    decoded = module.decode(output)
    if not bool(decoded.isfinite().all()):
        return Fault(f"decode gives numbers that are not finite after {hook}", "a set may lack a class, or events")
    fit(_ORDER)
    if not _same(decoded, module.decode(output)):
        return Fault(f"{hook} depends on the order of the cases, or on what it fitted before",
                     "fit to what it is given alone")
    loaded: Any = probe.build(seed=1)
    loaded.load_state_dict(after)
    return None if _same(decoded, loaded.eval().decode(output)) else Fault(
        f"what {hook} fits is not in the state dict", "register it as a buffer; attributes are not saved")


def _targets(probe: Probe) -> Tensor:
    assert isinstance(probe.component, Head)
    return example_targets(probe.component, probe.config, _CASES)[1]


def _changed(module: nn.Module, before: Mapping[str, Tensor]) -> bool:
    return any(not torch.equal(value, before[name]) for name, value in module.state_dict().items())


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first.detach(), second.detach(), rtol=1e-4, atol=1e-5)


def _same_rows(first: Rows, second: Rows) -> bool:
    return all((one is None and other is None) or (one is not None and other is not None and _same(one, other))
               for one, other in zip(first, second, strict=True))
