"""Holds components and packages against the contract, for `fusionkit plugins check` and for authors' own tests.

In a test of your package:

    @pytest.mark.parametrize("check", checks_of(component))
    def test_it_holds_to_the_contract(check):
        for finding in check_component(component, [check]):
            assert finding.result == "ok", finding
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import torch

from fusionkit.contract import Component
from fusionkit.testing import behaviour
from fusionkit.testing.behaviour import Fault
from fusionkit.testing.options import NoExampleError, choices
from fusionkit.testing.probes import Probe, Probes, probes_of, told

Result = Literal["ok", "failed", "not probed"]
_ON_PROBES: dict[str, Callable[[Probe], Fault | None]] = {
    "rule": behaviour.rule, "device": behaviour.device, "gradients": behaviour.gradients,
    "evaluation": behaviour.evaluation, "rows": behaviour.rows, "dtype": behaviour.dtypes,
    "absence": behaviour.absence, "head": behaviour.head,
    "ports": lambda probe: behaviour.ports(probe.component, probe.module()),
}


@dataclass(frozen=True)
class Finding:
    """What one check found: `seen`, what to do about it, and where the component stands (file:line)."""

    component: str
    check: str
    result: Result
    seen: str = ""
    fix: str = ""
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        lines = [f"{place}{self.component}: {self.check} {self.result}"]
        lines.extend(f"  {name}: {text}" for name, text in (("seen", self.seen), ("fix", self.fix)) if text)
        return "\n".join(lines)

    def as_json(self) -> dict[str, str]:
        """The finding as plain data."""
        return asdict(self)


def checks_of(component: Component) -> tuple[str, ...]:
    """The names of the checks that a component of this kind has to pass."""
    if component.kind == "uncertainty":
        return "options", "method"
    names = ["options", "ports", *(name for name in _ON_PROBES if name != "ports")]
    if component.absent not in ("drop", "neutral", "identity", "fill"):
        names.remove("absence")
    if component.kind != "head":
        names.remove("head")
    return tuple(names)


def check_component(component: Component, checks: Sequence[str] | None = None, *,
                    options: Mapping[str, Any] | None = None,
                    inputs: Sequence[Sequence[int]] | None = None) -> list[Finding]:
    """What each check finds, all that apply when `checks` names none.

    Options and inputs are made from the options class and the rule: defaults first, then every option changed
    once; every alternative of the rule, each free axis a prime of its own. `options` sets some by hand,
    `inputs` gives the sizes of all inputs without the batch axis. What the component refuses with a
    ComponentError is left out; when it refuses everything, its checks are `not probed`.
    """
    chosen = [name for name in checks_of(component) if checks is None or name in checks]
    place = place_of(component)
    with _one_thread():
        return [Finding(component.id, check, result, seen, fix, place)
                for check, result, seen, fix in _checked(component, chosen, options, inputs)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small tensors are quickest on one thread, and how threads share a sum changes its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_Row = tuple[str, Result, str, str]


def _checked(component: Component, names: Sequence[str], options: Mapping[str, Any] | None,
             inputs: Sequence[Sequence[int]] | None) -> Iterator[_Row]:
    if "options" in names:
        yield _row("options", _options(component))
    made_by_class = inspect.isclass(component.module)
    if "ports" in names and made_by_class:
        yield _row("ports", _guarded(component, partial(behaviour.ports, component, component.module)))
    rest = [name for name in names if name != "options" and not (name == "ports" and made_by_class)]
    if not rest:
        return
    try:
        if component.kind == "uncertainty":
            yield _row("method", *_methods(component, options))
            return
        probes = probes_of(component, options, inputs)
    except NoExampleError as error:
        fix = "give an example where the option is declared, Field(examples=[...]), or options= in a test"
        yield from ((name, "not probed", str(error), fix) for name in rest)
        return
    yield from (_on_probes(component, name, probes) for name in rest)


def _on_probes(component: Component, name: str, probes: Probes) -> _Row:
    if name == "rule" and probes.failed:
        probe, error = probes.failed[0]
        return _row(name, Fault(f"the rule accepts {probe}, and the module fails: {error}",
                                "let the rule accept only what works, or raise a ComponentError that says why not"))
    if not probes.accepted:
        refused = probes.refused[0] if probes.refused else "no inputs"
        fix = "" if probes.failed else "give options= and inputs= that it accepts, in a test of yours"
        return name, "not probed", f"cannot be probed: {refused}", fix
    for probe in probes.accepted if name == "rule" else probes.few:
        fault = _guarded(component, partial(_ON_PROBES[name], probe))
        if fault:
            return _row(name, Fault(f"{fault.seen} ({probe})", fault.fix))
    return _row(name, None, _tried(probes) if name == "rule" else "")


def _tried(probes: Probes) -> str:
    layouts = dict.fromkeys(map(behaviour.alike, probes.accepted))
    seen = f"{_probes(len(probes.accepted))}: {', '.join(layouts)}"
    return seen + (f"; refused {'; '.join(probes.refused)}" if probes.refused else "")


def _methods(component: Component, options: Mapping[str, Any] | None) -> tuple[Fault | None, str]:
    tried = choices(component, options)
    for choice in tried:
        fault = _guarded(component, lambda config=choice.config: behaviour.method(component.module(config)))  # type: ignore[misc]  # a lambda's default is untyped
        if fault:
            return Fault(f"{fault.seen} ({choice.label})", fault.fix), ""
    return None, _probes(len(tried))


def _probes(count: int) -> str:
    return f"{count} probe{'s' if count > 1 else ''}"


def _guarded(component: Component, check: Callable[[], Fault | None]) -> Fault | None:
    """The check's fault; an exception of the component is one too."""
    try:
        return check()
    except Exception as error:
        return Fault(told(error, component), "mend what raises; the check itself only calls the component")


def _row(check: str, fault: Fault | None, seen: str = "") -> _Row:
    return (check, "failed", fault.seen, fault.fix) if fault else (check, "ok", seen, "")


def _options(component: Component) -> Fault | None:
    """Every option is described, unknown ones are refused, and the component has a summary."""
    config = component.config
    silent = [name for name, field in config.model_fields.items() if not (field.description or "").strip()]
    if silent:
        return Fault(f"no description: {', '.join(silent)}",
                     "write Field(default, description=...): the command line and editors show it")
    if config.model_config.get("extra") != "forbid":
        return Fault("unknown options are not refused", "leave extra='forbid' of fusionkit.api.Config as it is")
    if not component.summary:
        return Fault("the plugin file has no docstring", "begin it with a line that says what the component does")
    return None


def place_of(component: Component) -> str:
    """file:line of the component's module, '' when it has no source."""
    try:
        file, (_, line) = inspect.getsourcefile(component.module), inspect.getsourcelines(component.module)
    except (TypeError, OSError):
        return ""
    return f"{file}:{line}"
