"""Selects what a component is tested with: which options on which inputs, and which of these are worth the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from fusionkit.components.component import Component
from fusionkit.components.config import ComponentError
from fusionkit.network.meta_results import MetaResults
from fusionkit.shapes.layouts import TensorShape
from fusionkit.testing.places import place_of_error
from fusionkit.testing.probing.inside import checked_options
from fusionkit.testing.probing.options import Choice, Unreached, choices, refused_values
from fusionkit.testing.probing.probes import HEAVY, LIGHT, Probe, one_line, witness
from fusionkit.testing.probing.sizes import InputLayout, exchanged, layouts, shapes_for, shrunk

_META_BATCHES, _CPU_BATCHES = (61, 67), (2, 5)
MANY = 200
"""Operations above which tracing takes many seconds."""


@dataclass
class ProbeSet:
    """All probes of one component, refused ones, and failures on inputs that the rule accepts."""

    accepted: list[Probe] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    """Options and inputs, the exception, and file:line of where it was raised."""
    unreached: list[Unreached] = field(default_factory=list)
    """Options that everything refuses."""
    exact: bool = False
    """Whether the inputs must not be reduced, however long the checks take."""

    @cached_property
    def few(self) -> list[Probe]:
        """The defaults on every layout, and each other choice on one of the layouts in turn while it is cheap.

        For a network that is large by default and has examples of smaller options, these replace the defaults. On kinds
        of inputs where the defaults are costly, as volumes beside images, a lighter choice does.
        """
        if self.exact:
            return self.accepted
        groups: dict[str, list[Probe]] = {}
        for probe in (probe for probe in self.accepted if not probe.brief):
            groups.setdefault(probe.choice.label, []).append(probe)
        first, *others = groups.values()
        if others and others[0][0].choice.small and any(probe.heavy for probe in first):
            first, *others = others
        own = _lightest_of_layouts(first)
        begun = [_lighter(probe, others) for probe in own] if any(not probe.costly for probe in own) else own
        lighter = [probe for probe in begun if probe not in own]
        chosen, budget = list(map(_shrunk, begun)), 2 * HEAVY - sum(probe.work for probe in lighter)
        for turn, group in enumerate(others):
            if budget <= 0:
                break
            probe = _shrunk(group[turn % len(group)])
            if not probe.costly and not (lighter and probe.heavy):
                budget -= probe.work
                chosen.append(probe)
        return chosen

    @property
    def first(self) -> list[Probe]:
        """The first of the few: tracing takes a second or more. Of a large network, the one of fewest operations."""
        found = self.few[:1]
        if self.exact or not found or found[0].operations <= MANY:
            return found
        return [min((probe for probe in self.accepted if not probe.brief), key=lambda probe: probe.operations)]

    @property
    def mapped(self) -> list[Probe]:
        """The first cheap one on a map, else as `first`."""
        return [*(probe for probe in self.few if not probe.heavy and any(shape.spatial for shape in probe.inputs)),
                *self.first][:1]


def probes_of(component: Component, options: Mapping[str, Any] | None = None,
              inputs: Sequence[Sequence[int]] | None = None) -> ProbeSet:
    """Every set of options on every layout of the rule; `inputs` are sizes to use in place of generated ones.

    A `ComponentError` is a refusal, which is allowed; any other exception is a failure.

    Raises: NoExampleError when the required options cannot be guessed.
    """
    found = ProbeSet(unreached=refused_values(component, options))
    reached: set[str] = set()
    refusals: dict[str, str] = {}
    for place, choice in enumerate(choices(component, options)):
        ways = [_given(component, inputs)] if inputs else list(layouts(component, choice, place == 0))
        few = ways
        if any(probe.heavy for probe in found.accepted[-len(ways):]):
            few = [ways[place % len(ways)]]
        pairs = not place or not any(probe.heavy for probe in found.accepted)
        before, failures, why = len(found.accepted), len(found.failed), ""
        for trial in (choice, *choice.others):
            for layout in [*few, *(way for way in ways if way not in few)]:
                if len(found.accepted) > before and layout not in few:
                    break
                refusal = _first_accepted(component, trial, layout, found, pairs)
                if refusal is None:
                    reached.add(layout.name)
                elif not layout.extra:
                    refusals.setdefault(layout.name, refusal)
                    why = why or refusal
            if len(found.accepted) > before or len(found.failed) > failures:
                break
        else:
            value = None if choice.others else choice.written.get(choice.option)
            found.unreached.append(Unreached(choice.label, why or "no sizes fit", choice.option, value))
    found.unreached = [each for each in found.unreached if not _reached(each, found.accepted)]
    found.refused = [f"{layout}: {why}" for layout, why in refusals.items() if layout not in reached]
    return found


def _reached(unreached: Unreached, accepted: Sequence[Probe]) -> bool:
    """Whether another set of options gives the option this value, or, instead of a guess, any but the default."""
    if not unreached.option or not accepted:
        return False
    tried = [getattr(probe.config, unreached.option) for probe in accepted]
    return (unreached.value in tried) if unreached.value is not None else any(value != tried[0] for value in tried)


def probe_of(component: Component, options: Mapping[str, Any], inputs: Sequence[Sequence[int]]) -> Probe:
    """The one probe with exactly these options and input sizes.

    Raises: what the component raises on them, and ComponentError when its rule refuses them.
    """
    label = ", ".join(f"{name}={value!r}" for name, value in options.items()) or "defaults"
    choice = Choice(label, checked_options(component, options), options)
    first, *other = _given(component, inputs).sizes
    return _tried(Probe(component, choice, first[0]), [pair[0] for pair in other])


def _given(component: Component, inputs: Sequence[Sequence[int]]) -> InputLayout:
    shapes = shapes_for(component, inputs)
    return InputLayout("as given", ((shapes,), (exchanged(shapes),)))


def _first_accepted(component: Component, choice: Choice, layout: InputLayout, found: ProbeSet,
                    pairs: bool) -> str | None:
    """Adds the first inputs that the component takes; returns why it took none."""
    refusal, failure = None, None
    candidates, others = layout.sizes if pairs else (layout.sizes[0], ())
    for place, shapes in enumerate(candidates):
        probe = Probe(component, choice, shapes, layout.name, brief=layout.brief)
        try:
            found.accepted.append(_tried(probe, [*others[place:], *others[:place]], found))
            break
        except ComponentError as error:
            refusal = refusal or str(error)
        except Exception as error:
            failure = failure or (str(probe), one_line(error), place_of_error(error, component))
    else:
        refusal = refusal or (failure[1] if failure else "no sizes fit")
        shapes = ()
    if failure:
        found.failed.append(failure)
    return refusal if not shapes else None


def _tried(probe: Probe, others: Sequence[tuple[TensorShape, ...]], found: ProbeSet | None = None) -> Probe:
    """The probe, after running on its inputs, and with another batch on the first other sizes that it takes.

    Where it takes no others the other batch has the same sizes; where the meta device fails, both run on the CPU.
    Failures on other sizes are added to `found`.
    """
    try:
        first = witness(probe, "meta", _META_BATCHES[0])
        done = replace(probe, witnesses=(first,), cost=first.cost, operations=first.operations)
    except ComponentError:
        raise
    except Exception as error:
        witnesses = tuple(witness(probe, "cpu", batch, masked=batch > 2) for batch in _CPU_BATCHES)
        return replace(probe, witnesses=witnesses, meta_error=one_line(error), cost=witnesses[0].cost)
    for shapes in [*(shapes for shapes in others if shapes != probe.inputs), *([probe.inputs] if others else [])]:
        try:
            other = witness(replace(probe, inputs=shapes), "meta", _META_BATCHES[1], masked=True)
            return replace(done, witnesses=(*done.witnesses, other))
        except ComponentError:
            continue
        except Exception as error:
            if found is None:
                raise
            found.failed.append((probe.on(shapes), one_line(error), place_of_error(error, probe.component)))
            break
    return done


def _lightest_of_layouts(probes: list[Probe]) -> list[Probe]:
    """All of them, but of a large network the lightest on each kind of inputs: authors' sizes come beside the kit's."""
    if not any(probe.heavy for probe in probes):
        return probes
    kept: dict[tuple[tuple[type, str], ...], Probe] = {}
    for probe in sorted(probes, key=lambda each: each.work):
        kept.setdefault(_kinds(probe), probe)
    return [probe for probe in probes if any(probe is each for each in kept.values())]


def _lighter(probe: Probe, others: Sequence[Sequence[Probe]]) -> Probe:
    """The probe; in place of a costly one the lightest of other choices on the same kind of inputs, if one is not."""
    same = [each for group in others for each in group if not each.costly and _kinds(each) == _kinds(probe)]
    return min(same, key=lambda each: each.work, default=probe) if probe.costly else probe


def _kinds(probe: Probe) -> tuple[tuple[type, str], ...]:
    return tuple((type(shape), shape.layout) for shape in probe.inputs)


def _shrunk(probe: Probe) -> Probe:
    """The probe with smaller grids, if it is not cheap and the module takes them, in training too."""
    if probe.cost <= LIGHT or probe.meta_error:
        return probe
    for inputs in shrunk(probe.inputs, probe.costly):
        small = replace(probe, inputs=inputs)
        try:
            cost = witness(small, "meta", _CPU_BATCHES[1]).cost
            with torch.no_grad(), MetaResults():
                small.build("meta").train()(*[torch.zeros(3, *shape.carried, device="meta") for shape in inputs])
        except Exception:  # noqa: S112  # whatever it is, the larger grids still work
            continue
        return replace(small, cost=cost)
    return probe
