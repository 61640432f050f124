"""Checks of components that handle missing inputs, and of those whose inputs have no order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, permutations

import torch
from torch import Tensor

from fusionkit.components.config import ComponentError
from fusionkit.shapes.rule import Mismatch
from fusionkit.testing.checks.behaviour import difference, equal, mixed
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import Probe, one_line, results, run

# Axes: B batch, M inputs.
_CONTENTS = (float("nan"), float("inf"), float("-inf"), 1e30)
_Trial = tuple[list[Tensor], list[Tensor], list[Tensor]]
_NAMES_OF_TRIAL = ("result", "gradient of a parameter", "gradient of an input")
_FIX = "replace absent entries before any arithmetic: fusionkit.api.fill_absent"


def absence(probe: Probe) -> Fault | None:
    """Values of missing inputs have no effect; all present equals no mask; none present gives zeros, also backwards."""
    if not probe.knows_presence:
        return Fault("forward does not take 'present'", "see the result of the check 'ports'")
    return _content(probe) or _all_present(probe) or _none_present(probe)


def _content(probe: Probe) -> Fault | None:
    for training in (False, True):
        wanted = _with_absent(probe, (0.0,), training)
        # All together first; they are told apart only when there is a fault to report.
        for contents in (_CONTENTS[:1], _CONTENTS[1:]):
            if _changed(_with_absent(probe, contents, training), wanted):
                trials = {content: _changed(_with_absent(probe, (content,), training), wanted)
                          for content in contents}
                content, name = next(((content, name) for content, name in trials.items() if name),
                                     (contents, _NAMES_OF_TRIAL[0]))
                return Fault(f"a missing input that holds {content} changes the {name}"
                             f"{' in training' if training else ''}", _FIX)
        masks = probe.some_absent()["present"].unbind(1)
        if any(bool(gradient[~mask].any()) for gradient, mask in zip(wanted[2], masks, strict=True)):
            return Fault(f"a gradient reaches a missing input{' in training' if training else ''}", _FIX)
    return None


def _changed(trial: _Trial, wanted: _Trial) -> str:
    """The part of a trial that differs, '' when none does."""
    return next((name for name, found, standard in zip(_NAMES_OF_TRIAL, trial, wanted, strict=True)
                 if not equal(found, standard)), "")


def _all_present(probe: Probe) -> Fault | None:
    module, inputs = probe.module(), probe.data(5)
    full = torch.ones(5, len(inputs), dtype=torch.bool)
    if equal(run(module, inputs, present=full), run(module, inputs)):
        return None
    return Fault("with everything present the result is not bit-identical to that without 'present'",
                 "do the same arithmetic in both cases")


def _none_present(probe: Probe) -> Fault | None:
    module = probe.module()
    inputs = [torch.full_like(x, float("nan")).requires_grad_() for x in probe.data(3)]
    outputs = results(module(*inputs, present=torch.zeros(3, len(inputs), dtype=torch.bool)))
    if not all(bool(part.isfinite().all()) for part in outputs):
        return Fault("a case with nothing present gives a result that is not finite",
                     "give zeros there: fusionkit.api.zero_empty, softmax_present")
    filled = [part for part in outputs if part.dim() and bool(part.any())]
    if filled and probe.component.absent != "fill":
        return Fault(f"a case with nothing present gives {float(filled[0].detach().abs().max()):.3g}, not zeros, which "
                     "the next node takes for features", "give zeros there: fusionkit.api.zero_empty")
    total = mixed(outputs)
    if not total.requires_grad:
        return None
    # An intermediate NaN that a later `where` hides would still trip every user who searches for NaN.
    with torch.autograd.set_detect_anomaly(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            total.backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            return Fault(f"with nothing present the gradient is not finite: {one_line(error)}",
                         "avoid intermediate NaN, even those that a later 'where' hides: softmax_present")
    return None


def _with_absent(probe: Probe, contents: Sequence[float], training: bool) -> _Trial:
    """Results and gradients of parameters and inputs, with each of these numbers in the missing entries."""
    module = probe.module().train(training)
    keywords = probe.some_absent()
    inputs = []
    for place, (x, present) in enumerate(zip(probe.data(5), keywords["present"].unbind(1), strict=True)):
        content = torch.tensor([contents[(place + row) % len(contents)] for row in range(5)])
        shape = (-1, *[1] * (x.dim() - 1))
        inputs.append(torch.where(present.reshape(shape), x, content.reshape(shape)).requires_grad_())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        outputs = results(module(*inputs, **keywords))
    total = mixed(outputs)
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    return [part.detach() for part in outputs], _gradients(list(module.parameters())), _gradients(inputs)


def _gradients(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(x) if x.grad is None else x.grad for x in tensors]


def symmetry(probe: Probe) -> Fault | None:
    """With its inputs in another order the component gives the same, or each result in that order."""
    alike = replace(probe, inputs=(probe.inputs[0],) * len(probe.inputs))
    try:
        if isinstance(alike.promised(), Mismatch):
            return Fault("the rule never takes inputs of equal shape, so they cannot be exchanged",
                         "do not claim 'symmetric'")
        dtype = alike.widest
    except ComponentError:
        return None
    module, inputs, keywords = alike.module().to(dtype), alike.data(5, dtype=dtype), alike.some_absent()
    wanted = run(module, inputs, **keywords)
    for order in islice(permutations(range(len(inputs))), 1, 7):
        turned = run(module, [inputs[place] for place in order],
                     **{name: mask[:, list(order)] for name, mask in keywords.items()})
        apart = difference(turned, wanted, dtype)
        if apart and len(wanted) == len(inputs):
            apart = difference(turned, [wanted[place] for place in order], dtype)
        if apart:
            return Fault(f"with its inputs in the order {', '.join(str(place + 1) for place in order)} the result "
                         f"differs by {apart}", "treat all inputs alike, or do not claim 'symmetric'; where only some "
                         "options break it, declare these: exceptions={'symmetry: *width=*': why}")
    return None
