"""Checks of heads and uncertainty methods: losses, decoding, predictions and their measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionkit.components.component import Head
from fusionkit.components.config import Config
from fusionkit.components.protocols import HeadPrediction
from fusionkit.errors import GraphError
from fusionkit.registry.tasks import task_named
from fusionkit.testing.faults import Fault
from fusionkit.testing.probing.probes import Probe, results

# Axes: B batch, K names of a head.


def head(probe: Probe) -> Fault | None:
    """A head's loss has one number per case that counts; decoding gives a column per name, in the range of its task."""
    component = probe.component
    assert isinstance(component, Head)
    names = getattr(probe.config, component.names, None)
    if not isinstance(names, list | tuple) or not names:
        return Fault(f"the option {component.names!r} does not list the names of the result's columns",
                     "give the options class such a list, and name it in Head(..., names=...)")
    module, size = probe.module(), len(names)
    for method in ("loss", "decode", "balance"):
        if not callable(getattr(module, method, None)):
            return Fault(f"the module has no method {method!r}",
                         f"write {method}; see fusionkit.components.protocols.HeadModule")
    return _head_results(module, probe, size, component)


def _head_results(module: Any, probe: Probe, size: int, component: Head) -> Fault | None:
    try:
        task = task_named(component.task)
    except GraphError as error:
        return Fault(f"there is no task {component.task!r}: {error.diagnostics[0].message}",
                     "name one in Head(..., task=...); `fusionkit plugins list --kind task` shows them")
    made, target = example_targets(component, probe.config, 5)
    names = tuple(map(str, getattr(probe.config, component.names)))
    counts = task.method.counts(np.asarray(made), np.ones(5), names)
    if counts:
        module.balance(torch.arange(1, len(counts) + 1).float())
    output = results(module(*probe.data(5)))[0]
    loss, decoded = module.loss(output, target), module.decode(output)
    if tuple(loss.shape) != (5,) or not bool(loss.isfinite().all()):
        return Fault(f"the loss of 5 cases is of shape {list(loss.shape)}" if loss.shape != (5,) else
                     "the loss is not finite", "give one finite number per case: reduction='none', not a mean")
    if not component.over_step(probe.config) and _heeds_what_does_not_count(module, output, target):
        return Fault("a case that does not count changes the loss of another one",
                     "leave out cases whose output is zeros: they have no target, or no result")
    if component.partial and _heeds_what_is_not_known(module, output, target):
        return Fault("a label or value that is not known changes the loss, or has a gradient",
                     "leave out targets that are NaN, or do not declare the head 'partial'")
    if tuple(decoded.shape) != (5, size):
        return Fault(f"decode gives {list(decoded.shape)} for 5 cases and {size} names", "give a column for each name")
    if task.results != "values" and not bool(((decoded >= 0) & (decoded <= 1)).all()):
        return Fault("decode gives numbers outside 0..1", "give probabilities: a softmax or a sigmoid")
    if task.results == "classes" and not torch.allclose(decoded.sum(1), torch.ones(5), atol=1e-4):
        return Fault("the probabilities of a case do not sum to 1", "decode with a softmax over the classes")
    wrong = task.method.check(decoded.detach().double().numpy())
    return None if wrong is None else Fault(f"decode gives what {task.id} cannot mean: {wrong}",
                                            "give what the page of the task says")


def example_targets(component: Head, config: Config, count: int) -> tuple[Any, Tensor]:
    """Targets that the task of a head gives as an example, as arrays and as tensors of the trainer."""
    task = task_named(component.task)
    names = tuple(map(str, getattr(config, component.names)))
    made = task.method.example(names, count, np.random.default_rng(4))
    if component.positive is not None and component.positive(config):
        made = np.abs(made) + 0.1
    return made, torch.as_tensor(made) if task.cells == "class" else torch.as_tensor(made).float()


def _heeds_what_does_not_count(module: Any, output: Tensor, target: Tensor) -> bool:
    """Whether two cases without a target, which come as zeros, change the losses of three others."""
    alone = module.loss(output[:3], target[:3])
    beside = module.loss(torch.cat([output[:3], output[3:] * 0]), torch.cat([target[:3], target[3:] * 0]))[:3]
    return not torch.allclose(beside, alone, rtol=1e-4, atol=1e-5)


def _heeds_what_is_not_known(module: Any, output: Tensor, target: Tensor) -> bool:
    """Whether the output beside a target that is NaN takes part in the loss."""
    spoilt = target.clone()
    spoilt[0, 0] = torch.nan
    given = output.detach().clone().requires_grad_()
    loss = module.loss(given, spoilt)
    (gradient,) = torch.autograd.grad(loss.sum(), given)
    changed = output.detach().clone()
    changed[0, 0] += 1
    same = torch.allclose(module.loss(changed, spoilt), loss, rtol=1e-4, atol=1e-5)
    return not (same and bool(loss.isfinite().all()) and bool(gradient.isfinite().all()) and gradient[0, 0] == 0)


@dataclass
class ExampleRunner:
    """A runner without a network, with one head of each task: implements `fusionkit.api.Runner`.

    Shapes: results are (4, 3) for `classes`, (4, 2) for `labels`, (4, 1) for `values`. Results differ by member.
    """

    tasks: Mapping[str, str] = field(default_factory=lambda: {
        "classes": "multiclass", "labels": "multilabel", "values": "regression"})
    random: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(5))
    members: int = 2

    def once(self, member: int = 0) -> dict[str, Tensor]:
        """Decoded results of one deterministic pass."""
        drawn = {name: torch.randn(4, size, generator=self.random) for name, size in _SIZES.items()}
        return {"classes": drawn["classes"].softmax(1), "labels": drawn["labels"].sigmoid(), "values": drawn["values"]}

    def samples(self, count: int, member: int = 0) -> Iterator[dict[str, Tensor]]:
        """Decoded results of `count` passes, all different."""
        for _ in range(count):
            yield self.once(member)


_SIZES = {"classes": 3, "labels": 2, "values": 1}


def method(made: Any) -> Fault | None:
    """An uncertainty method predicts for every head: values of its columns, and measures with one number per case."""
    if not callable(getattr(made, "predict", None)):
        return Fault("it has no method 'predict'",
                     "write predict(run); see fusionkit.components.protocols.UncertaintyMethod")
    prediction = made.predict(ExampleRunner())
    if set(prediction) != set(_SIZES):
        return Fault(f"it predicts for {', '.join(prediction) or 'no head'}; the network has {', '.join(_SIZES)}",
                     "give one HeadPrediction for each head that the runner's results name")
    for name, predicted in prediction.items():
        if not isinstance(predicted, HeadPrediction):
            return Fault(f"for {name!r} it gives {type(predicted).__name__}", "give a fusionkit.api.HeadPrediction")
        sizes = {"values": (4, _SIZES[name]), **dict.fromkeys(predicted.measures, (4,))}
        for part, value in {"values": predicted.values, **predicted.measures}.items():
            if tuple(value.shape) != sizes[part] or not bool(value.isfinite().all()):
                return Fault(f"{part!r} of {name!r} is {list(value.shape)} for 4 cases, or not finite",
                             f"give finite numbers of shape {list(sizes[part])}")
    return None
