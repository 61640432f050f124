"""Conduct of a module that other checks would blame on something else: changed inputs, and printed text."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fusionkit.testing.checks.behaviour import equal
from fusionkit.testing.faults import Fault
from fusionkit.testing.places import source_file
from fusionkit.testing.probing.probes import Probe, results


@dataclass(frozen=True)
class Misconduct:
    """A fault that is told by the check `evaluation`, and whether it changes inputs (else it prints)."""

    fault: Fault
    in_place: bool


def misconduct(probe: Probe) -> Misconduct | None:
    """What a module does beside its work when it is built and called, in evaluation and in training."""
    own = source_file(probe.component)
    printed = _Printed(own)
    with redirect_stdout(printed):
        probe.build("cpu" if probe.meta_error else "meta")
    if printed.text:
        return Misconduct(_prints("the constructor", printed), in_place=False)
    for training in (False, True):
        changed = _changed(probe, training, own, printed)
        if changed is not None:
            when = " in training" if training else ""
            return Misconduct(Fault(f"forward changes its inputs in place{when}", "work on copies: x = x.clone(); "
                                    "call no method that ends in '_' on an input, no x += y, no x[i] = y", changed),
                              in_place=True)
    return Misconduct(_prints("forward", printed), in_place=False) if printed.text else None


def _prints(who: str, printed: _Printed) -> Fault:
    return Fault(f"{who} prints {printed.text.strip().partition(chr(10))[0]!r}",
                 "remove the print: tracers stop at it, and it mixes with the output of commands", printed.place)


def _changed(probe: Probe, training: bool, own: str, printed: _Printed) -> str | None:
    """The place at which a call changes its inputs or masks, '' if that is unknown; None when it changes none."""
    try:
        module, keywords = probe.module().train(training), probe.some_absent()
    except Exception:  # the check `copies` reports what cannot be copied
        return None
    given = [*probe.data(probe.cases), *keywords.values()]
    before = [x.clone() for x in given]
    with torch.no_grad(), torch.random.fork_rng(devices=[]), redirect_stdout(printed):
        try:
            with _Changes(given, own) as changes:
                results(module(*given[:len(probe.inputs)], **keywords))
        except Exception:  # noqa: S110  # the check that this concerns reports it
            pass
    return None if equal(given, before) else changes.place


class _Changes(TorchFunctionMode):
    """Notes the line of the author's file at which one of some tensors is changed first."""

    def __init__(self, tensors: Sequence[Tensor], own: str) -> None:
        super().__init__()
        self.tensors, self.own, self.place = tensors, own, ""
        self.versions = [x._version for x in tensors]

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if not self.place and self.versions != [x._version for x in self.tensors]:
            self.place = _line_in(self.own)
        return result


class _Printed(io.StringIO):
    """Takes what is printed, and notes the line of the author's file that printed first."""

    def __init__(self, own: str) -> None:
        super().__init__()
        self.own, self.place = own, ""

    @property
    def text(self) -> str:
        """All that was printed."""
        return self.getvalue()

    def write(self, text: str) -> int:
        """Take a text."""
        self.place = self.place or _line_in(self.own)
        return super().write(text)


def _line_in(own: str) -> str:
    frames = [frame for frame in traceback.extract_stack() if own and frame.filename == own]
    return f"{own}:{frames[-1].lineno}" if frames else ""
