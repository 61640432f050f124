"""The check of what a component does on a GPU, with tensors that have no values, on a machine that needs no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorDeviceMismatchError

from fusionkit.components.component import Head
from fusionkit.layers.known_masks import sent
from fusionkit.testing.checks import padding
from fusionkit.testing.checks.advice import DEVICE
from fusionkit.testing.checks.declared import check_named
from fusionkit.testing.checks.heads import example_targets
from fusionkit.testing.device.standing import GPU, placed, standing, without_values
from fusionkit.testing.device.watch import Wait, WaitWatch
from fusionkit.testing.faults import Fault, Note
from fusionkit.testing.places import place_of_error, source_file
from fusionkit.testing.probing.probes import Probe, one_line, results

_FIX = ("choose by torch.where in place of if and x[mask], keep numbers as tensors, make them with torch.full or "
        "x.new_zeros; ask for the rows of a mask with fusionkit.api.places_of, of which the CPU knows; or declare it: "
        "exceptions={'waits: OPERATION': why}")
_OUTSIDE = "Please convert all Tensors to FakeTensors"  # of a tensor that the module keeps beside its buffers


def waits(probe: Probe) -> Fault | Note | None:
    """Nothing is on the wrong device; what makes the CPU wait for the GPU is told, and is no fault.

    A component that declares waits has to declare all of them.
    """
    found: dict[Wait, None] = {}
    stopped = ""
    for call in _calls(probe):
        for answer in (True, False):
            watch = WaitWatch([source_file(probe.component)], answer=answer)
            fault, stopped = _seen(watch, call, probe)
            if fault:
                return None if probe.meta_error else fault  # which `device` tells
            found |= dict.fromkeys(watch.waits)
            if not stopped:
                break  # a made-up answer may have led to a refusal, which the other one does not
    if not found:
        return Note(f"what a GPU does is not fully known: {stopped}") if stopped else None
    parts = tuple(dict.fromkeys(wait.operation for wait in found))
    place = next((wait.place for wait in found if wait.place), "")
    if any(check_named(key) == "waits" for key in probe.component.exceptions):
        return Fault("the CPU waits for the GPU: {parts}", _FIX, place, parts)
    return Note(f"the CPU waits for the GPU: {', '.join(map(str, found))}; {_FIX}")


def _seen(watch: WaitWatch, call: Callable[[], list[Tensor]], probe: Probe) -> tuple[Fault | None, str]:
    """What a call does wrong, and why it ended before its end, if it did."""
    try:
        with without_values(), watch:
            outputs = call()
    except FakeTensorDeviceMismatchError as error:
        return Fault(f"on a GPU: {one_line(error)}", DEVICE, place_of_error(error, probe.component)), ""
    except DynamicOutputShapeException:
        return None, ""
    except Exception as error:
        if _OUTSIDE in str(error):
            return Fault("on a GPU: a tensor that the module keeps stays on the CPU", "register it as a buffer, "
                         "persistent=False if it is not to be saved", place_of_error(error, probe.component)), ""
        return None, one_line(error)
    if any(part.device.type != "cuda" for part in outputs):
        return Fault("the result of inputs on a GPU is on another device", DEVICE), ""
    return None, ""


def _calls(probe: Probe) -> Iterator[Callable[[], list[Tensor]]]:
    """Calls in training, with each kind of mask that the component takes, and one in evaluation without."""
    trials: list[tuple[Probe, dict[str, Any]]] = []
    if probe.knows_presence:
        trials.append((probe, probe.some_absent()))
    masked = padding.with_padding(probe) if probe.component.masked else None
    if masked is not None:
        trials.append(masked)
    for tried, keywords in trials or [(probe, {})]:
        yield partial(_call, tried, keywords, True)
    yield partial(_call, probe, {}, False)


def _call(probe: Probe, keywords: dict[str, Any], training: bool) -> list[Tensor]:
    module: Any = standing(probe.built).train(training)
    inputs = [placed(x) for x in probe.data(probe.cases)]
    with torch.set_grad_enabled(training):
        outputs = list(results(module(*inputs, **{name: _on_gpu(mask) for name, mask in keywords.items()})))
        if training and isinstance(probe.component, Head):
            _, target = example_targets(probe.component, probe.config, probe.cases)
            outputs.append(module.loss(outputs[0], placed(target)))
        elif isinstance(probe.component, Head):
            outputs.append(module.decode(outputs[0]))
    return outputs


def _on_gpu(mask: Any) -> Any:
    """A mask, or several, on a GPU, as a network gives them: known on the CPU."""
    if isinstance(mask, Tensor):
        return sent(torch.zeros(mask.shape, dtype=mask.dtype), GPU, non_blocking=True)
    return mask and [_on_gpu(part) for part in mask]
