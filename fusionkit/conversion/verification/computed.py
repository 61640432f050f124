"""Runs a subject on a case: every result, tap, gradient and updated buffer, by its recorded entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.conversion.name_mapping import converted, pairs
from fusionkit.conversion.verification.case import Fixture
from fusionkit.conversion.verification.subject import Subject, wrong

Key = tuple[str, str]
"""A role and the name of a result with that role."""


def compute(subject: Subject, fixture: Fixture) -> dict[Key, Tensor]:
    """The subject's values for all recorded results; those it cannot give are left out.

    Raises: DataError if outputs that gradients need are missing.
    """
    roles = {one.role for one in fixture.expected}
    wanted = {one.name for one in fixture.expected if one.role == "gradient"}
    inputs = [value.clone().requires_grad_(f"input{place}" in wanted and value.is_floating_point())
              for place, value in enumerate(fixture.inputs)]
    differentiates = bool(roles & {"gradient", "weight gradient"})
    seen: dict[str, list[Tensor]] = {}
    subject.module.train(fixture.trains)
    with torch.set_grad_enabled(differentiates), _Taps(subject.module, subject.taps, seen):
        results = subject.run(inputs, fixture)
    found: dict[Key, Tensor] = {("output", name): value for name, value in results.items()}
    found |= {("tap", name): value for name, value in results.items()}
    found |= {("tap", name): value for name, value in _tapped(seen).items()}
    if differentiates:
        found |= _gradients(subject, results, inputs, fixture, "weight gradient" in roles)
    if "after" in roles:
        found |= _buffers(subject)
    return found


class _Taps:
    """Collects the outputs of the tapped modules, call by call, while it is open."""

    def __init__(self, module: nn.Module, taps: Mapping[str, str], seen: dict[str, list[Tensor]]) -> None:
        self.module, self.taps, self.seen = module, taps, seen
        self.hooks: list[Any] = []

    def __enter__(self) -> None:
        for name, path in self.taps.items():
            try:
                tapped = self.module.get_submodule(path)
            except AttributeError:
                continue  # there is no such part with these options
            self.hooks.append(tapped.register_forward_hook(self._keeper(name)))

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _keeper(self, name: str) -> Any:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            values = output if isinstance(output, tuple) else (output,)
            self.seen.setdefault(name, []).extend(value for value in values if isinstance(value, Tensor))
        return keep


def _tapped(seen: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    found = {name: calls[0] for name, calls in seen.items() if calls}
    return found | {f"{name}_{j}": value for name, calls in seen.items() for j, value in enumerate(calls)}


def _gradients(subject: Subject, results: Mapping[str, Tensor], inputs: Sequence[Tensor], fixture: Fixture,
               weights: bool) -> dict[Key, Tensor]:
    loss = _weighed(results, fixture)
    state = dict(subject.module.named_parameters()) if weights else {}
    names = [*(f"input{place}" for place, value in enumerate(inputs) if value.requires_grad), *state]
    leaves = [*(value for value in inputs if value.requires_grad), *state.values()]
    raw = torch.autograd.grad(loss, leaves, allow_unused=True)
    given = {name: torch.zeros_like(leaf) if value is None else value
             for name, leaf, value in zip(names, leaves, raw, strict=True)}
    found: dict[Key, Tensor] = {("gradient", name): value for name, value in given.items() if name not in state}
    return found | {("weight gradient", name): value
                    for name, value in _pulled_back(subject, given, fixture).items()}


def _weighed(results: Mapping[str, Tensor], fixture: Fixture) -> Tensor:
    missing = [name for name in fixture.outputs if name not in results]
    if missing:
        raise wrong(f"the results lack {', '.join(missing)}", "make `replay` return every output of the fixture")
    loss = torch.zeros(())
    # A mapping of names to sizes, or a list of names beside such a mapping.
    sizes = fixture.meta.get("output_shapes", fixture.meta.get("outputs", {}))
    for place, name in enumerate(fixture.outputs):
        shape = sizes.get(name, list(results[name].shape))
        loss = loss + (results[name].reshape(shape) * fixture.cotangent(place, shape)).sum()
    return loss


def _pulled_back(subject: Subject, gradients: Mapping[str, Tensor], fixture: Fixture) -> dict[str, Tensor]:
    """Gradients with respect to the release's parameters in its layout: ours, mapped back by the layout function."""
    found: dict[str, Tensor] = {}
    for part in subject.parts:
        for ours, theirs in pairs(part):
            if ours not in gradients or theirs is None or theirs not in fixture.parameters:
                continue
            leaf = fixture.parameters[theirs].requires_grad_()
            value, = torch.autograd.grad(converted(part, ours, leaf), leaf, gradients[ours])
            found[theirs] = found[theirs] + value if theirs in found else value
    return found


def _buffers(subject: Subject) -> dict[Key, Tensor]:
    state = subject.module.state_dict()
    return {("after", theirs): state[ours] for part in subject.parts for ours, theirs in pairs(part)
            if theirs is not None and ours in state}
