"""Checks a component against the contract, for `fusionkit plugins check`, for pytest and for authors' own tests.

In a test of your package, if you do not use the pytest plugin:

    @pytest.mark.parametrize("check", checks_of(component))
    def test_it_holds_to_the_contract(check):
        for finding in check_component(component, [check]):
            assert finding.result in ("ok", "excepted"), finding

docs/conformance.md describes each check.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import torch

from fusionkit.components.component import Component
from fusionkit.components.config import Config
from fusionkit.components.declaration import Declaration
from fusionkit.components.kinds import KIND_TABLE
from fusionkit.testing.checks import (
    absences,
    behaviour,
    blank_cells,
    copies,
    explanations,
    heads,
    memory,
    metrics,
    numerics,
    optimisers,
    option_checks,
    option_use,
    padding,
    readers,
    schedules,
    steps,
    tasks,
    tracing,
    training_methods,
    transforms,
    waits,
)
from fusionkit.testing.checks.advice import advice
from fusionkit.testing.checks.conduct import Misconduct, misconduct
from fusionkit.testing.checks.declared import Exceptions, check_named, strange_exceptions
from fusionkit.testing.checks.onnx_export import NotProbedError, onnx
from fusionkit.testing.faults import Fault, Finding, Note
from fusionkit.testing.places import place_of, place_of_declaration, place_of_error, place_of_forward
from fusionkit.testing.probing.options import Choice, NoExampleError, choices
from fusionkit.testing.probing.probes import Probe, one_line
from fusionkit.testing.probing.selection import ProbeSet, probe_of, probes_of

__all__ = ["Finding", "Kit", "check_component", "checks_of", "place_of"]

_WATCHED = 200
"""The most modules of a network whose operations are watched by the check `waits`."""

Which = Literal["accepted", "few", "first", "mapped"]


@dataclass(frozen=True)
class ConformanceCheck:
    """A check and its probes: all that were accepted, a few, the first of these, or the first with a map."""

    run: Callable[[Probe], Fault | Note | None]
    on: Which = "few"
    concerns: Callable[[Component], bool] = lambda component: True
    fits: Callable[[Probe], bool] = lambda probe: True


def _is_watched(probe: Probe) -> bool:
    """Whether operations are few enough to be watched one by one, at a millisecond each."""
    return not probe.heavy and sum(1 for _ in probe.built.modules()) <= _WATCHED


def _has_map(probe: Probe) -> bool:
    return any(shape.spatial for shape in probe.inputs)


def _takes_map(component: Component) -> bool:
    return any(len(port.axes or ()) > 2 or any("map" in axis.kind for axis in port.axes or ())
               for alternative in component.parsed.alternatives for whole in alternative.inputs
               for port in whole.choices)


CHECKS: Mapping[str, ConformanceCheck] = {
    "ports": ConformanceCheck(lambda probe: behaviour.ports(probe.component, probe.built)),
    "rule": ConformanceCheck(behaviour.rule, "accepted"),
    "values": ConformanceCheck(lambda probe: None),  # of all probes together: `_values`
    "device": ConformanceCheck(behaviour.device, "accepted"),
    "waits": ConformanceCheck(waits.waits, fits=_is_watched),
    "evaluation": ConformanceCheck(behaviour.evaluation),
    "bounds": ConformanceCheck(option_checks.bounds, "first"),
    "gradients": ConformanceCheck(behaviour.gradients),
    "memory": ConformanceCheck(memory.memory),
    "rows": ConformanceCheck(behaviour.rows),
    "absence": ConformanceCheck(absences.absence,
                                concerns=lambda c: c.absent in ("drop", "neutral", "identity", "fill")),
    "padding": ConformanceCheck(padding.padding, concerns=lambda c: c.masked, fits=padding.fits),
    "known": ConformanceCheck(blank_cells.known, concerns=blank_cells.concerns, fits=blank_cells.fits),
    "symmetry": ConformanceCheck(absences.symmetry, concerns=lambda c: "symmetric" in c.claims),
    "dtype": ConformanceCheck(numerics.dtypes),
    "autocast": ConformanceCheck(numerics.autocast),
    "channels-last": ConformanceCheck(numerics.channels_last, concerns=_takes_map, fits=_has_map),
    "variance": ConformanceCheck(numerics.variance, concerns=lambda c: c.kind != "head"),
    "state": ConformanceCheck(copies.state),
    "copies": ConformanceCheck(copies.copies),
    "compile": ConformanceCheck(tracing.compiles, "first"),
    "export": ConformanceCheck(tracing.exports, "mapped"),
    "onnx": ConformanceCheck(onnx, "mapped", concerns=lambda c: "onnx" in c.claims),
    "head": ConformanceCheck(heads.head, concerns=lambda c: c.kind == "head"),
    "step": ConformanceCheck(steps.step, concerns=lambda c: c.cases != "batch",
                             fits=lambda probe: probe.component.over_step(probe.config)),
    "settle": ConformanceCheck(steps.settled, concerns=lambda c: c.kind == "head" and hasattr(c.module, "settle")),
    "prepare": ConformanceCheck(steps.prepared, concerns=lambda c: c.kind == "head" and hasattr(c.module, "prepare")),
}


_IN_FORWARD = {"device", "waits", "gradients", "evaluation", "memory", "rows", "absence", "padding", "known",
               "symmetry", "dtype", "autocast", "channels-last", "compile", "export", "onnx"}
"""Checks whose faults are located at `forward` unless a line is known."""


_BEFORE_CONDUCT = {"ports", "rule", "values", "device", "waits", "evaluation", "bounds"}
"""Checks that say the same of a module that changes its inputs; all others would blame it on something else."""

KIND_CHECKS: Mapping[str, Callable[[Any, Config], Fault | None]] = {
    "method": lambda component, config: heads.method(component.module(config)),
    "task": tasks.task,
    "metric": metrics.metric,
    "reader": readers.reader,
    "optimiser": optimisers.optimiser,
    "schedule": schedules.schedule,
    "explanation": explanations.explanation,
    "transform": transforms.transform,
    "training": training_methods.training,
}
"""The checks of kinds without a rule, by the name that the table of kinds gives; each runs with every set of options.
"""


def checks_of(component: Declaration) -> tuple[str, ...]:
    """The names of the checks that a component of this kind, with these declarations, has to pass."""
    if not isinstance(component, Component) or KIND_TABLE[component.kind].check:
        return "declaration", "options", KIND_TABLE[component.kind].check
    return "declaration", "options", *(name for name, check in CHECKS.items() if check.concerns(component))


def check_component(component: Declaration, checks: Sequence[str] | None = None, *,
                    options: Mapping[str, Any] | None = None,
                    inputs: Sequence[Sequence[int]] | None = None) -> list[Finding]:
    """The findings of each check; all checks that apply when `checks` names none.

    Options and inputs are made from the options class and the rule: defaults first, then every option changed
    once; every alternative of the rule, with a different prime for each free axis. `options` sets some by hand,
    `inputs` gives the sizes of all inputs without the batch axis. What the component refuses with a
    ComponentError is left out; where it refuses everything, `rule` fails and the other checks are `not probed`.
    """
    kit = Kit(component, options, inputs)
    return [kit.finding(name) for name in checks_of(component) if checks is None or name in checks]


class Kit:
    """The checks of one component, which share its probes; `options` and `inputs` as in `check_component`."""

    def __init__(self, component: Declaration, options: Mapping[str, Any] | None = None,
                 inputs: Sequence[Sequence[int]] | None = None) -> None:
        self.component = component
        self.exceptions = dict(component.exceptions)
        self.every = not options and not inputs
        self._options = options
        self._make: Callable[[], ProbeSet] = lambda: probes_of(_in_graph(component), options, inputs)

    @classmethod
    def exactly(cls, component: Declaration, options: Mapping[str, Any], inputs: Sequence[Sequence[int]],
                exceptions: Mapping[str, str] | None = None) -> Kit:
        """Checks with exactly these options and input sizes; exceptions are added to the component's.

        Exceptions given here must be needed; the component's own may be needed elsewhere.
        """
        kit = cls(component, options, inputs)
        kit.exceptions |= exceptions or {}
        kit._make = lambda: ProbeSet([probe_of(_in_graph(component), options, inputs)], exact=True)
        return kit

    @cached_property
    def _choices(self) -> list[Choice] | NoExampleError:
        try:
            return choices(self.component, self._options)
        except NoExampleError as error:
            return error

    @cached_property
    def _found(self) -> ProbeSet | NoExampleError:
        try:
            return self._make()
        except NoExampleError as error:
            return error

    @property
    def probes(self) -> ProbeSet:
        """The probes of the component.

        Raises: NoExampleError when its required options cannot be guessed.
        """
        if isinstance(self._found, NoExampleError):
            raise self._found
        return self._found

    def finding(self, name: str) -> Finding:
        """The finding of one check."""
        exceptions = Exceptions(self.exceptions, name)
        try:
            with _one_thread(), warnings.catch_warnings():
                # Warnings of a component about its data are irrelevant here: the numbers are random.
                warnings.filterwarnings("ignore", category=UserWarning,
                                        module=re.escape(str(self.component.module.__module__)))
                fault, seen = self._checked(name, exceptions)
        except NotProbedError as error:
            return self._finding(name, "not probed", error.seen, error.fix)
        needed = self.every or name not in map(check_named, self.component.exceptions)
        if fault is None and needed and exceptions.unneeded:
            fault = Fault(f"the exception {exceptions.unneeded[0]!r} is declared but not needed",
                          "remove it: what it excused is fixed, or its pattern matches nothing",
                          place_of_declaration(self.component))
        if fault:
            return self._finding(name, "failed", fault.text, fault.fix, fault.place)
        if exceptions.excused:
            return self._finding(name, "excepted", str(exceptions))
        return self._finding(name, "ok", seen)

    def _finding(self, name: str, result: Any, seen: str = "", fix: str = "", place: str = "") -> Finding:
        return Finding(self.component.id, name, result, seen, fix, place or place_of(self.component))

    def _checked(self, name: str, exceptions: Exceptions) -> tuple[Fault | None, str]:
        """The fault that no exception excuses, else the text of a check that passes.

        Raises: NotProbedError when it cannot be run.
        """
        component = self.component
        if name == "declaration":
            return _declaration(component, self.exceptions), ""
        if name == "options":
            found = self._choices
            choice = None if isinstance(found, NoExampleError) else found[0]
            return _only_fault(self._excused(partial(option_checks.options, component, choice), exceptions, "")), ""
        if name in KIND_CHECKS:
            return self._on_choices(KIND_CHECKS[name], exceptions)
        if name == "ports" and inspect.isclass(component.module):
            ports = partial(behaviour.ports, _in_graph(component), component.module)
            return _only_fault(self._excused(ports, exceptions, "")), ""
        return self._on_probes(name, exceptions)

    def _on_probes(self, name: str, exceptions: Exceptions) -> tuple[Fault | None, str]:
        component, found = self.component, self._found
        if isinstance(found, NoExampleError):
            if name == "rule":
                return Fault(str(found), _EXAMPLE), ""
            raise NotProbedError(str(found), _SEE_RULE)
        if name == "rule" and found.failed:
            probe, error, place = found.failed[0]
            narrower = "make the rule accept only what works, or raise a ComponentError that says why not"
            return Fault(f"with {probe}, which the rule accepts, the module fails: {error}",
                         advice(error, narrower if found.accepted else f"fix the exception; or {narrower}"), place), ""
        if not found.accepted:
            if found.failed:
                raise NotProbedError("the module fails on everything that was tried", _SEE_RULE)
            refused = f"everything tried is refused, such as {found.refused[0]}" if found.refused else "no inputs fit"
            if name == "rule":
                return Fault(refused, f"{_DECLARE}; or options= and inputs= in a test of your own"), ""
            raise NotProbedError(refused, _SEE_RULE)
        if name == "values":
            return self._values(found, exceptions), ""
        self._require_conduct(name)
        check = CHECKS[name]
        probes: list[Any] = [probe for probe in getattr(found, check.on) if check.fits(probe)] or [
            probe for probe in found.accepted if check.fits(probe)][:1]
        notes: list[str] = []
        for probe in probes:
            fault = self._excused(partial(self._run, name, probe), exceptions, probe.choice.label)
            if isinstance(fault, Note):
                notes = notes or [fault.text]
            elif fault:
                place = fault.place or (place_of_forward(component, probe.built) if name in _IN_FORWARD else "")
                return replace(fault, seen=f"{fault.seen} ({probe})", place=place), ""
        return None, "; ".join([_tried(name, found, probes), *notes])

    def _values(self, found: ProbeSet, exceptions: Exceptions) -> Fault | None:
        """Every value of every option that is tried is accepted on some inputs, and every option is read."""
        if not self.every:
            return None
        unreached = option_use.unreached(self.component, found.unreached)
        fault = exceptions.remaining(unreached, "") if unreached else None
        unread = None if fault else option_use.unread(_in_graph(self.component), found.accepted)
        return fault or (exceptions.remaining(unread, "") if unread else None)

    def _run(self, name: str, probe: Probe) -> Fault | Note | None:
        odd = self._misconduct.get(id(probe)) if name == "evaluation" else None
        return odd.fault if odd else CHECKS[name].run(probe)

    def _require_conduct(self, name: str) -> None:
        """Raises: NotProbedError for a check that would blame inputs that change, or a print, on something else."""
        if name in _BEFORE_CONDUCT:
            return
        for odd in self._misconduct.values():
            told = Exceptions(self.exceptions, "evaluation").remaining(odd.fault, "")
            if told and (odd.in_place or name == "compile"):
                raise NotProbedError(odd.fault.text, "see the result of check 'evaluation'")

    @cached_property
    def _misconduct(self) -> dict[int, Misconduct]:
        """What probes do beside their work, by the identity of the probe."""
        return {id(probe): odd for probe in self.probes.few if (odd := misconduct(probe))}

    def _on_choices(self, check: Callable[[Any, Config], Fault | None], exceptions: Exceptions
                    ) -> tuple[Fault | None, str]:
        if isinstance(self._choices, NoExampleError):
            return Fault(str(self._choices), _EXAMPLE), ""
        for choice in self._choices:
            fault = self._excused(partial(check, self.component, choice.config), exceptions, choice.label)
            if isinstance(fault, Fault):
                return replace(fault, seen=f"{fault.seen} ({choice.label})"), ""
        return None, _count(len(self._choices))

    def _excused(self, check: Callable[[], Fault | Note | None], exceptions: Exceptions, options: str
                 ) -> Fault | Note | None:
        """The check's fault, as far as no exception excuses it; an exception the component raises is a fault too."""
        try:
            fault = check()
        except NotProbedError:
            raise
        except Exception as error:
            fault = Fault(one_line(error), advice(one_line(error)), place_of_error(error, self.component))
        return exceptions.remaining(fault, options) if isinstance(fault, Fault) else fault


def _only_fault(told: Fault | Note | None) -> Fault | None:
    return told if isinstance(told, Fault) else None


def _in_graph(component: Declaration) -> Component:
    assert isinstance(component, Component), f"{component.id} has no module to probe; please report"
    return component


_EXAMPLE = "give an example where the option is declared, Field(examples=[...]), or options= in a test"
_DECLARE = "declare what it accepts with the component: probes=Probes(sizes=..., values=..., together=...)"
_SEE_RULE = "see the result of check 'rule'"


def _declaration(component: Declaration, exceptions: Mapping[str, str]) -> Fault | None:
    """Declared exceptions must refer to checks that the component has to pass."""
    strange = strange_exceptions(exceptions, checks_of(component))
    if not strange:
        return None
    return Fault(f"the exception {strange[0]!r} refers to no check of this component",
                 f"write 'check' or 'check: pattern' with one of {', '.join(checks_of(component)[1:])}",
                 place_of_declaration(component))


def _tried(name: str, found: ProbeSet, probes: Sequence[Probe]) -> str:
    seen = _count(len(probes))
    if name == "device":
        return f"{seen} on meta; {'the GPU too' if torch.cuda.is_available() else 'there is no GPU here'}"
    if name != "rule":
        return seen
    seen = f"{seen}: {', '.join(dict.fromkeys(map(behaviour.alike, probes)))}"
    single = [str(probe) for probe in probes
              if not probe.meta_error and len({witness.inputs for witness in probe.witnesses}) < 2]
    seen += f"; with one set of sizes only: {single[0]}" if single else ""
    fewer = [str(probe) for probe in found.few if probe.cases < 5]
    seen += f"; large, so the other checks take batches of 3 cases: {'; '.join(fewer)}" if fewer else ""
    others = {probe.choice.label for probe in probes if not probe.brief} - {probe.choice.label for probe in found.few}
    seen += f"; tried by this check only, since it is large: {', '.join(sorted(others))}" if others else ""
    return seen + (f"; refused {'; '.join(found.refused)}" if found.refused else "")


def _count(number: int) -> str:
    return f"{number} probe{'' if number == 1 else 's'}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small tensors are fastest on one thread, and the way threads split a sum changes its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
