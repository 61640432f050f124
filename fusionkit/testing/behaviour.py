"""What a module must do, each as one small check on one probe: nothing to say, or a fault."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract import Component, Head, HeadPrediction, Task
from fusionkit.rules import Mismatch
from fusionkit.shapes import TensorShape, is_loss, members
from fusionkit.testing.probes import Probe, results, run, told

# Axes: B batch, K names of a head.
_DRAWS = 5  # a unit may be at rest for one draw of weights and data; a dead parameter is so for all


@dataclass(frozen=True)
class Fault:
    """What was seen, and what its author can do."""

    seen: str
    fix: str


def ports(component: Component, module: Any) -> Fault | None:
    """The parameters of `forward` are the rule's ports, and `present` where absence is its business."""
    parameters = [p for p in inspect.signature(module.forward).parameters.values() if p.name != "self"]
    masks = [p for p in parameters if p.name == "present"]
    needed = component.absent in ("drop", "neutral", "identity", "fill")
    if needed and (not masks or masks[0].default is not None):
        return Fault(f"absent={component.absent!r}, and forward has no keyword 'present' with the default None",
                     "add 'present: Tensor | None = None' to forward, and leave absent rows out of the result")
    if masks and not needed:
        return Fault(f"forward takes 'present', and absent={component.absent!r} never gives it",
                     "declare absent='drop', 'neutral' or 'identity', or remove the keyword")
    names = [f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in parameters if p not in masks]
    wanted = [f"{'*' if port.variadic else ''}{port.name or ''}" for port in component.parsed.ports]
    if names == wanted or (wanted == [""] and len(names) == 1 and not names[0].startswith("*")):
        return None
    said = ", ".join(wanted) if wanted != [""] else "one input"
    return Fault(f"forward takes ({', '.join(names)}), the rule has ({said})",
                 "give the parameters of forward the names of the rule's ports, in the same order")


def rule(probe: Probe) -> Fault | None:
    """The module gives what the rule says, for two sizes of the batch."""
    promised = probe.promised()
    assert not isinstance(promised, Mismatch), f"{probe}: {promised}; please report"
    for output in probe.outputs:
        gave, batch = list(output.sizes), output.batch
        if promised is None:
            if any(sizes and sizes[0] != batch for sizes in gave):
                return Fault(f"a batch of {batch} gives {_sizes(gave)}", "keep the batch as the first axis")
            continue
        said = [() if is_loss(name) else (batch, *shape.sizes) for name, shape in members(promised)]
        if gave != said or output.single != isinstance(promised, TensorShape):
            kind = "" if output.single else ", in a tuple"
            return Fault(f"for a batch of {batch} the rule '{probe.component.parsed}' says {_sizes(said)}; "
                         f"forward gives {_sizes(gave)}{kind}", "correct the rule, output=, or forward")
    return None


def _sizes(parts: Sequence[tuple[int, ...]]) -> str:
    return "; ".join(str(list(sizes)) for sizes in parts) or "nothing"


def device(probe: Probe) -> Fault | None:
    """The module works on the device of its inputs: the meta device has no memory to fall back on."""
    if not probe.meta_error:
        return None
    return Fault(f"on the meta device: {probe.meta_error}",
                 "make new tensors on the device of an input (x.new_zeros(...)), and let no shape depend on values")


def gradients(probe: Probe) -> Fault | None:
    """Every parameter that is trained gets a gradient that is not zero."""
    dead: set[str] | None = None
    for draw in range(_DRAWS):
        module = probe.module(seed=draw)
        inputs = [x.requires_grad_() for x in probe.data(5, seed=draw)]
        mixed(results(module(*inputs, **probe.some_absent()))).backward()  # type: ignore[no-untyped-call]
        without = {name for name, p in module.named_parameters()
                   if p.requires_grad and (p.grad is None or not bool(p.grad.abs().max() > 0))}
        dead = without if dead is None else dead & without
        if not dead:
            return None
    return Fault(f"no gradient reaches {', '.join(sorted(dead or ()))}",
                 "let forward use the parameter, remove it, or freeze it with requires_grad_(False)")


def evaluation(probe: Probe) -> Fault | None:
    """In evaluation mode nothing is random, nothing is kept between calls, and no input is changed."""
    module, inputs = probe.module(), probe.data(3)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    before, originals = torch.get_rng_state(), [x.clone() for x in inputs]
    first = [part.clone() for part in run(module, inputs)]
    if not torch.equal(before, torch.get_rng_state()):
        return Fault("evaluation draws random numbers", "draw them only 'if self.training'")
    if not _equal(inputs, originals):
        return Fault("forward changes its inputs in place", "work on copies: no method that ends in '_' on an input")
    run(module, probe.data(3, seed=9))
    if not _equal(run(module, inputs), first):
        return Fault("the same batch gives other results after another batch", "keep no state between calls")
    changed = [name for name, value in module.state_dict().items() if not torch.equal(value, state[name])]
    if changed:
        return Fault(f"evaluation changes {', '.join(changed)}", "update buffers only 'if self.training'")
    return None


def rows(probe: Probe) -> Fault | None:
    """A batch gives what its items give one by one: a case's result depends on that case alone."""
    dtype = torch.float64 if dtypes(probe) is None else torch.float32
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    module, inputs, keywords = probe.module().to(dtype), probe.data(5, dtype=dtype), probe.some_absent()
    whole = [part for part in run(module, inputs, **keywords) if part.dim()]
    for item in range(5):
        one = slice(item, item + 1)
        alone = run(module, [x[one] for x in inputs], **{name: mask[one] for name, mask in keywords.items()})
        for found, wanted in zip([part for part in alone if part.dim()], whole, strict=True):
            if not torch.allclose(found, wanted[one], rtol=tolerance, atol=tolerance, equal_nan=True):
                apart = float((found - wanted[one]).abs().max())
                return Fault(f"case {item} of 5 differs by {apart:.3g} from the same case alone",
                             "let nothing cross the batch in evaluation: normalise and attend over other axes")
    return None


def dtypes(probe: Probe) -> Fault | None:
    """A module in double precision gives double precision."""
    fix = "make new tensors like an input: x.new_zeros(...), torch.zeros_like(x)"
    try:
        outputs = run(probe.module().double(), probe.data(3, dtype=torch.float64))
    except RuntimeError as error:
        return Fault(f"in float64: {told(error, probe.component)}", fix)
    other = {str(part.dtype) for part in outputs} - {"torch.float64"}
    return Fault(f"float64 inputs give {', '.join(sorted(other))}", fix) if other else None


def absence(probe: Probe) -> Fault | None:
    """What an absent entry holds reaches nothing; all present equals no mask; none present stays finite."""
    fix = "replace absent entries before any arithmetic: fusionkit.api.fill_absent"
    if not probe.some_absent():
        return Fault("forward does not take 'present'", "see what the check 'ports' says")
    for training in (False, True):
        wanted = _with_absent(probe, 0.0, training)
        for content in (float("nan"), float("inf")):
            for name, found, standard in zip(_NAMES_OF_TRIAL, _with_absent(probe, content, training), wanted,
                                             strict=True):
                if not _equal(found, standard):
                    return Fault(f"an absent entry that holds {content} changes the {name}"
                                 + (" in training" if training else ""), fix)
    module, inputs = probe.module(), probe.data(5)
    full = torch.ones(5, len(inputs), dtype=torch.bool)
    if not _equal(run(module, inputs, present=full), run(module, inputs)):
        return Fault("with everything present the result is not, bit for bit, that without 'present'",
                     "do the same arithmetic in both cases")
    empty = run(module, [torch.full_like(x, float("nan")) for x in inputs], present=~full)
    if not all(bool(part.isfinite().all()) for part in empty):
        return Fault("a case with nothing present gives a result that is not finite",
                     "give zeros there: fusionkit.api.zero_empty, softmax_present")
    return None


_NAMES_OF_TRIAL = ("result", "gradient of a parameter", "gradient of an input")


def _with_absent(probe: Probe, content: float, training: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Results and gradients of parameters and inputs when absent entries hold `content`."""
    module = probe.module().train(training)
    keywords = probe.some_absent()
    masks = [mask.reshape(-1, *[1] * len(shape.sizes))
             for mask, shape in zip(keywords["present"].unbind(1), probe.inputs, strict=True)]
    inputs = [torch.where(mask, x, torch.full_like(x, content)).requires_grad_()
              for x, mask in zip(probe.data(5), masks, strict=True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        outputs = results(module(*inputs, **keywords))
    total = mixed(outputs)
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]
    return [part.detach() for part in outputs], _gradients(list(module.parameters())), _gradients(inputs)


def _gradients(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(x) if x.grad is None else x.grad for x in tensors]


def mixed(outputs: Sequence[Tensor]) -> Tensor:
    """One number that depends on every entry of the results, each in its own way."""
    random = torch.Generator().manual_seed(2)
    parts = [(part * torch.randn(part.shape, generator=random).to(part)).sum() for part in outputs]
    return torch.stack(parts).sum()


def _equal(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return len(found) == len(wanted) and all(map(torch.equal, found, wanted))


def head(probe: Probe) -> Fault | None:
    """A head's loss is one number a case, its decoding one column for each name, in range for its task."""
    component = probe.component
    assert isinstance(component, Head)
    names = getattr(probe.config, component.names, None)
    if not isinstance(names, list | tuple) or not names:
        return Fault(f"the option {component.names!r} does not list the names of the result's columns",
                     "give the options class such a list, and say which in Head(..., names=...)")
    module, size = probe.module(), len(names)
    for method in ("loss", "decode", "balance"):
        if not callable(getattr(module, method, None)):
            return Fault(f"the module has no method {method!r}", f"write {method}; see fusionkit.contract.HeadModule")
    return _head_results(module, probe, size, component.task)


def _head_results(module: Any, probe: Probe, size: int, task: str) -> Fault | None:
    if task == "multiclass":
        module.balance(torch.arange(1, size + 1).float())
        target = torch.arange(5) % size
    else:
        target = torch.rand(5, size, generator=torch.Generator().manual_seed(4))
        target = target.round() if task == "multilabel" else target
    output = results(module(*probe.data(5)))[0]
    loss, decoded = module.loss(output, target), module.decode(output)
    if tuple(loss.shape) != (5,) or not bool(loss.isfinite().all()):
        return Fault(f"the loss of 5 cases is of shape {list(loss.shape)}" if loss.shape != (5,) else
                     "the loss is not finite", "give one finite number a case: reduction='none', not a mean")
    if tuple(decoded.shape) != (5, size):
        return Fault(f"decode gives {list(decoded.shape)} for 5 cases and {size} names", "give a column for each name")
    if task != "regression" and not bool(((decoded >= 0) & (decoded <= 1)).all()):
        return Fault("decode gives numbers outside 0..1", "give probabilities: a softmax or a sigmoid")
    if task == "multiclass" and not torch.allclose(decoded.sum(1), torch.ones(5), atol=1e-4):
        return Fault("the probabilities of a case do not sum to 1", "decode with a softmax over the classes")
    return None


def alike(probe: Probe) -> str:
    """The layouts of a probe's inputs, for the report: 'vector + image'."""
    layouts = [shape.layout for shape in probe.inputs]
    same = not any(one != other for one, other in combinations(layouts, 2))
    return layouts[0] if same else " + ".join(layouts)


@dataclass
class ExampleRunner:
    """A runner without a network, with one head of each task: implements `fusionkit.api.Runner`.

    Shapes: results are (4, 3) for `classes`, (4, 2) for `labels`, (4, 1) for `values`.
    """

    tasks: Mapping[str, Task] = field(default_factory=lambda: {
        "classes": "multiclass", "labels": "multilabel", "values": "regression"})
    random: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(5))

    def once(self) -> dict[str, Tensor]:
        """Decoded results, as one pass without chance gives them."""
        drawn = {name: torch.randn(4, size, generator=self.random) for name, size in _SIZES.items()}
        return {"classes": drawn["classes"].softmax(1), "labels": drawn["labels"].sigmoid(), "values": drawn["values"]}

    def samples(self, count: int) -> Iterator[dict[str, Tensor]]:
        """Decoded results of `count` passes, each its own."""
        for _ in range(count):
            yield self.once()


_SIZES = {"classes": 3, "labels": 2, "values": 1}


def method(made: Any) -> Fault | None:
    """An uncertainty method predicts for every head: values of its columns, and measures of one number a case."""
    if not callable(getattr(made, "predict", None)):
        return Fault("it has no method 'predict'", "write predict(run); see fusionkit.contract.UncertaintyMethod")
    prediction = made.predict(ExampleRunner())
    if set(prediction) != set(_SIZES):
        return Fault(f"it predicts for {', '.join(prediction) or 'no head'}; the network has {', '.join(_SIZES)}",
                     "give one HeadPrediction for each head that the runner's results name")
    for name, told_of in prediction.items():
        if not isinstance(told_of, HeadPrediction):
            return Fault(f"for {name!r} it gives {type(told_of).__name__}", "give a fusionkit.api.HeadPrediction")
        sizes = {"values": (4, _SIZES[name]), **dict.fromkeys(told_of.measures, (4,))}
        for part, value in {"values": told_of.values, **told_of.measures}.items():
            if tuple(value.shape) != sizes[part] or not bool(value.isfinite().all()):
                return Fault(f"{part!r} of {name!r} is {list(value.shape)} for 4 cases, or not finite",
                             f"give finite numbers of shape {list(sizes[part])}")
    return None
