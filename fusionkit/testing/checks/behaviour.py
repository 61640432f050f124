"""What every module must do; each is one small check on one probe that returns None or a fault."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.component import Component, Encoder
from fusionkit.shapes.layouts import TensorShape, is_loss, members
from fusionkit.shapes.rule import Mismatch
from fusionkit.testing.checks.advice import DEVICE
from fusionkit.testing.checks.softmax_symmetry import ignored_by_softmax
from fusionkit.testing.faults import Fault, Note
from fusionkit.testing.places import place_of_attribute, place_of_error, place_of_forward
from fusionkit.testing.probing.probes import MASKS, Probe, one_line, results, run

# Axes: B batch.
_DRAWS = 5  # a unit may be at rest for one draw of weights and data; a dead parameter is so for all
_BIASES = 24  # that are held against softmax: each takes a run
_NAMED = 2  # parameters that a note lists
_ZERO = {torch.float64: 1e-12, torch.float32: 1e-5}
"""Below this share of the largest, a gradient counts as zero: cancellation leaves 1e-16 in float64, 1e-7 in float32."""


def ports(component: Component, module: Any) -> Fault | None:
    """The parameters of `forward` are the rule's ports, `present` for missing inputs and `valid` for masked tokens."""
    place = place_of_forward(component, module)
    parameters = [p for p in inspect.signature(module.forward).parameters.values() if p.name != "self"]
    masks = [p for p in parameters if p.name == "present"]
    needed = component.absent in ("drop", "neutral", "identity", "fill")
    if needed and (not masks or masks[0].default is not None):
        return Fault(f"absent={component.absent!r}, and forward has no keyword 'present' with the default None",
                     "add 'present: Tensor | None = None' to forward, and leave missing rows out of the result", place)
    if masks and not needed:
        return Fault(f"forward takes 'present', and absent={component.absent!r} never gives it",
                     "declare absent='drop', 'neutral' or 'identity', or remove the keyword", place)
    valid = [p for p in parameters if p.name == "valid"]
    if component.masked and (not valid or valid[0].default is not None):
        return Fault("the rule has '[...]', and forward has no keyword 'valid' with the default None",
                     "add 'valid: Tensor | None = None' to forward, with several inputs a list, and leave padding out",
                     place)
    if valid and not component.masked:
        return Fault("forward takes 'valid', and the rule never gives it",
                     "write the axis of tokens in brackets, 'B [n] c', or remove the keyword", place)
    known = [p for p in parameters if p.name == "known"]
    asks = isinstance(component, Encoder) and component.known is not False
    if asks != bool(known) or (known and known[0].default is not None):
        return Fault(f"known={component.known if isinstance(component, Encoder) else False!r}, and forward has "
                     f"{'a' if known else 'no'} keyword 'known'{' without the default None' if asks and known else ''}",
                     "declare known= and add 'known: Tensor | None = None' to forward, both or neither", place)
    names = [f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in parameters if p.name not in MASKS]
    wanted = [f"{'*' if port.variadic else ''}{port.name or ''}" for port in component.parsed.ports]
    if names == wanted or (wanted == [""] and len(names) == 1 and not names[0].startswith("*")):
        return None
    expected = ", ".join(wanted) if wanted != [""] else "one input"
    return Fault(f"forward takes ({', '.join(names)}), the rule has ({expected})",
                 "give the parameters of forward the names of the rule's ports, in the same order", place)


def rule(probe: Probe) -> Fault | None:
    """The module gives what the rule says, for two sets of sizes, each with another batch size."""
    for witness in probe.witnesses:
        promised = probe.promised(witness.inputs)
        assert not isinstance(promised, Mismatch), f"{probe}: {promised}; please report"
        of = f" of {', '.join(f'({shape})' for shape in witness.inputs)}"
        gave, batch = list(witness.output.sizes), witness.output.batch
        if promised is None:
            if any(sizes and sizes[0] != batch for sizes in gave):
                return Fault(f"a batch of {batch}{of} gives {_sizes(gave)}", "keep the batch as the first axis")
            continue
        expected = [() if is_loss(name) else (batch, *shape.sizes) for name, shape in members(promised)]
        if gave != expected or witness.output.single != isinstance(promised, TensorShape):
            kind = "" if witness.output.single else ", in a tuple"
            return Fault(f"for a batch of {batch}{of} the rule '{probe.component.parsed}' says {_sizes(expected)}; "
                         f"forward gives {_sizes(gave)}{kind}", "correct the rule, output=, or forward")
    return None


def _sizes(parts: Sequence[tuple[int, ...]]) -> str:
    return "; ".join(str(list(sizes)) for sizes in parts) or "nothing"


def device(probe: Probe) -> Fault | None:
    """The module works on the device of its inputs: the meta device, which has no values, and a GPU if there is one."""
    if probe.meta_error:
        return Fault(f"on the meta device, which has no values: {probe.meta_error}", DEVICE)
    if not torch.cuda.is_available():
        return None
    module, mask = probe.module(), probe.some_absent()
    wanted = run(module, probe.data(5), **mask)
    try:
        found = run(module.cuda(), [x.cuda() for x in probe.data(5)], **{name: m.cuda() for name, m in mask.items()})
    except RuntimeError as error:
        return Fault(f"on the GPU: {one_line(error)}", DEVICE)
    if any(part.device.type != "cuda" for part in found):
        return Fault("the result of an input on the GPU is on another device", DEVICE)
    for one, other in zip(found, wanted, strict=True):
        if not torch.allclose(one.cpu(), other, rtol=1e-2, atol=1e-2 * float(1 + other.abs().max())):
            return Fault(f"the GPU's result differs by {float((one.cpu() - other).abs().max()):.3g} from the CPU's",
                         "look for values that are created on another device, or are uninitialised")
    return None


def gradients(probe: Probe) -> Fault | Note | None:
    """A gradient reaches every parameter that is trained, and every input.

    A bias of attention's keys has none by a symmetry of softmax, which is told and is no fault.
    """
    dtype = probe.widest
    dead, ignored = _dead(probe, dtype)
    if dead and dtype is torch.float32 and probe.takes_double:
        dead, ignored = _dead(probe, torch.float64)  # in single precision it may just have been small
    if not dead:
        named = sorted(ignored)[:_NAMED]
        return Note(f"no gradient reaches {', '.join(named)}{' and others' if len(ignored) > _NAMED else ''}, which is "
                    "right: softmax ignores what is added to all scores of a row") if ignored else None
    names = tuple(sorted(dead, key=lambda name: (name.startswith("input:"), name)))
    place = "" if names[0].startswith("input:") else place_of_attribute(probe.component, names[0])
    return Fault("no gradient reaches {parts}", "use it in forward, remove it, or freeze it with "
                 "requires_grad_(False); where this is intended, declare it: exceptions={'gradients: NAME': why}",
                 place, names)


def _dead(probe: Probe, dtype: torch.dtype) -> tuple[set[str], set[str]]:
    """Parameters and inputs that no gradient reaches in any of several draws, and those that a softmax ignores."""
    dead: set[str] | None = None
    ignored: set[str] = set()
    for draw in range(_DRAWS):
        module = probe.module(seed=draw).to(dtype)
        inputs = [x.requires_grad_() for x in probe.data(probe.cases, seed=draw, dtype=dtype)]
        total = mixed(results(module(*inputs, **probe.some_absent())))
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        smooth = {name: x for name, x, shape in zip(probe.ports, inputs, probe.inputs, strict=True) if not shape.whole}
        without = _without_gradient(module, smooth, _ZERO[dtype])
        if dead is None:
            biases = sorted(without & {name for name, part in module.named_parameters() if part.dim() == 1})[:_BIASES]
            ignored = ignored_by_softmax(probe, biases, dtype)
            dead = without
        dead = (dead & without) - ignored
        if not dead:
            break
    return dead or set(), ignored


def _without_gradient(module: nn.Module, inputs: dict[str, Tensor], zero: float) -> set[str]:
    tensors: dict[str, Tensor] = {name: part for name, part in module.named_parameters() if part.requires_grad}
    tensors.update({f"input:{name}": part for name, part in inputs.items()})
    sizes = {name: 0.0 if value.grad is None or not value.numel() else float(value.grad.abs().max())
             for name, value in tensors.items()}
    return {name for name, size in sizes.items() if not size > zero * max(sizes.values())}


def evaluation(probe: Probe) -> Fault | None:
    """Evaluation mode is deterministic and keeps no state between calls."""
    module, inputs = probe.module(), probe.data(3)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        first = [part.clone() for part in results(module(*inputs))]
        draws = not torch.equal(before, torch.get_rng_state())
    if draws:
        return Fault("evaluation draws random numbers", "draw them only 'if self.training': nn.Dropout does, and "
                     "functional.dropout(x, training=self.training)")
    run(module, probe.data(3, seed=9))
    if not equal(run(module, inputs), first):
        return Fault("the same batch gives other results after another batch", "keep no state from one batch to the "
                     "next: no self.NAME = ... in forward, no growing list, no global")
    changed = tuple(name for name, value in module.state_dict().items() if not torch.equal(value, state[name]))
    if changed:
        return Fault("evaluation changes buffers: {parts}", "update buffers only 'if self.training'", parts=changed)
    return None


def rows(probe: Probe) -> Fault | None:
    """A case's result depends on that case only: not on the other cases of the batch, their number or order.

    In training too, apart from statistics of the batch that buffers keep for evaluation.
    """
    dtype = probe.widest
    cases = probe.cases
    module, inputs, keywords = probe.module().to(dtype), probe.data(cases, dtype=dtype), probe.some_absent()
    whole = [part for part in run(module, inputs, **keywords) if part.dim()]
    fix = "do not mix cases in evaluation: no mean, softmax, sorting or attention over the first axis"
    for item in range(cases):
        try:
            alone = _rows_of(module, inputs, keywords, [item])
        except (ValueError, RuntimeError) as error:
            return Fault(f"a batch of one case: {one_line(error)}", "support a batch of one in evaluation",
                         place_of_error(error, probe.component))
        apart = difference(alone, [part[item : item + 1] for part in whole], dtype)
        if apart:
            return Fault(f"case {item} of {cases} differs by {apart} from the same case alone", fix)
    order = [3, 0, 4, 1, 2] if cases == 5 else [2, 0, 1]
    apart = difference(_rows_of(module, inputs, keywords, order), [part[order] for part in whole], dtype)
    if apart:
        return Fault(f"in another order the cases of a batch differ by {apart}", fix)
    apart = _mixed_in_training(probe)
    return Fault(f"in training a case differs by {apart} beside other cases, and evaluation does something else",
                 "keep running statistics in buffers that evaluation uses, as nn.BatchNorm1d does, or mix no cases; "
                 "where only losses see other cases, return these as loss_*") if apart else None


def _mixed_in_training(probe: Probe) -> str:
    """How much a case's result depends on the others in training, apart from layers with running statistics."""
    module, keywords = probe.module().train(), probe.some_absent()
    before = {name: value.clone() for name, value in module.named_buffers()}
    inputs, others = probe.data(probe.cases), probe.data(probe.cases, seed=8)
    for x, other in zip(others, inputs, strict=True):
        x[0] = other[0]
    run(module, others, **keywords)
    for name, value in module.named_buffers():
        if not torch.equal(value, before[name]):
            module.get_submodule(name.rpartition(".")[0]).eval()
    found, wanted, again = ([part[:1] for part in run(module, given, **keywords) if part.dim()]
                            for given in (others, inputs, inputs))
    # What changes from call to call is found by the check `memory`.
    return difference(found, wanted, torch.float32) if equal(wanted, again) else ""


def _rows_of(module: nn.Module, inputs: Sequence[Tensor], keywords: dict[str, Tensor], rows: list[int]) -> list[Tensor]:
    results = run(module, [x[rows] for x in inputs], **{name: mask[rows] for name, mask in keywords.items()})
    return [part for part in results if part.dim()]


def difference(found: Sequence[Tensor], wanted: Sequence[Tensor], dtype: torch.dtype) -> str:
    """How much results differ beyond rounding, '' when they do not."""
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape:
            return f"shape, {list(one.shape)} for {list(other.shape)},"
        largest = float(other.nan_to_num().abs().max()) if other.numel() else 0.0
        if not torch.allclose(one, other, rtol=0, atol=tolerance * max(largest, 1), equal_nan=True):
            return f"{float((one - other).abs().max()):.3g}"
    return ""


def mixed(outputs: Sequence[Tensor]) -> Tensor:
    """One number that depends on every entry of the results, each with another weight."""
    random = torch.Generator().manual_seed(2)
    parts = [(part * torch.randn(part.shape, generator=random).to(part)).sum() for part in outputs]
    return torch.stack(parts).sum()


def equal(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    """Whether two tensors are bit-identical; NaN equals NaN."""
    return len(found) == len(wanted) and all(
        one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
        for one, other in zip(found, wanted, strict=True))


def alike(probe: Probe) -> str:
    """The layouts of a probe's inputs, for the report: 'vector + image'."""
    layouts = [shape.layout for shape in probe.inputs]
    return layouts[0] if len(set(layouts)) == 1 else " + ".join(layouts)
