"""One component against a fixture: its options and input sizes are derived from the fixture."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.component import Component
from fusionkit.components.config import ComponentError
from fusionkit.components.release import Release
from fusionkit.conversion.name_mapping import Part, release_of
from fusionkit.conversion.verification.case import Fixture
from fusionkit.conversion.verification.subject import Subject, options_read, wrong
from fusionkit.errors import Diagnostic, GraphError, Span
from fusionkit.registry.inner import looked_up
from fusionkit.registry.lookup import Registry
from fusionkit.shapes.layouts import Bundle, Shape, is_loss, shape_of
from fusionkit.shapes.rule import Mismatch, result_shape
from fusionkit.syntax.assign import assign
from fusionkit.syntax.options import check_options
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import Mapping as Table
from fusionkit.syntax.writer import write


@dataclass
class OneComponent(Subject):
    """A single component; `names` are the names of its results, if its rule or function gives any."""

    release: Release
    names: tuple[str, ...]

    @property
    def replays(self) -> bool:
        """Whether its release has a `replay`."""
        return self.release.replay is not None

    def run(self, inputs: Sequence[Tensor], fixture: Fixture) -> Mapping[str, Tensor]:
        """The result of `replay`, else of `forward`, in order or by the names of its results."""
        if self.release.replay is not None:
            return self.release.replay(self.module, inputs, fixture)
        output = self.module(*inputs, **self._presence(inputs, fixture))
        parts = output if isinstance(output, tuple) else (output,)
        if set(fixture.outputs) <= set(self.names):
            return dict(zip(self.names, parts, strict=True))
        kept = [part for name, part in zip(self.names, parts, strict=True) if not is_loss(name)] \
            if len(self.names) == len(parts) else list(parts)
        if len(kept) < len(fixture.outputs):
            raise wrong(f"{fixture.name} has the results {', '.join(fixture.outputs)}, but the component gives "
                        f"{len(kept)}", "give its Release a `replay` that computes them")
        return dict(zip(fixture.outputs, kept, strict=False))

    def _presence(self, inputs: Sequence[Tensor], fixture: Fixture) -> dict[str, Tensor]:
        marks = fixture.meta.get("pairs")
        if marks is None or "present" not in inspect.signature(self.module.forward).parameters:
            return {}
        present = torch.ones(inputs[0].shape[0], len(inputs), dtype=torch.bool)
        present[:, 1:] = torch.tensor(marks, dtype=torch.bool).unsqueeze(1)
        return {"present": present}


def component_for(component: Component, fixture: Fixture, name: str, sets: Sequence[str], registry: Registry
                  ) -> Subject:
    """A component configured and built for the fixture; `sets` are options, `name=value`.

    Raises: GraphError or DataError if it cannot be built, or has no such release.
    """
    release = release_of(component, name)
    if release is None:
        raise wrong(f"{component.id} declares no release", "declare Component(reference={'release': Release(...)})")
    written = {**release.options, **options_read(release, fixture.shapes or {}, fixture.meta)}
    config = _config(component, written, sets, registry)
    sizes: Sequence[Sequence[int]] = [tuple(value.shape[1:]) for value in fixture.inputs]
    if release.sizes is not None:
        sizes = release.sizes([list(one) for one in sizes], fixture.meta)
    module, shape = _built(component, config, sizes)
    names = tuple(shape.names) if isinstance(shape, Bundle) else ()
    return OneComponent(module, (Part(module, config, release),), release.taps, release, names)


def _config(component: Component, options: Mapping[str, Any], sets: Sequence[str], registry: Registry) -> Any:
    tree = read(write(dict(options)), "<options>")
    for assignment in sets:
        tree = assign(tree, assignment)
    config, faults = check_options(component.config, tree, component.id, Span("<options>", 1, 1))
    if config is not None:
        config, inner_faults = looked_up(config, tree if isinstance(tree, Table) else None, component.id, registry)
        faults = [*faults, *inner_faults]
    if faults:
        raise GraphError(faults)
    return config


def _built(component: Component, config: Any, sizes: Sequence[Sequence[int]]) -> tuple[nn.Module, Shape | None]:
    """The module for these inputs, and the shape of its results if that is known in advance."""
    try:
        shapes = [shape_of(tuple(one)) for one in sizes]
    except ValueError as error:
        raise wrong(f"{component.id} cannot be built on the fixture's inputs", "give its Release `sizes`",
                    str(error)) from None
    bound = component.parsed.bind([(f"input{i}", shape) for i, shape in enumerate(shapes)], dict(config))
    if isinstance(bound, Mismatch):
        raise wrong(f"{component.id} cannot read the fixture's inputs", bound.fix, bound.why)
    try:
        shape = component.output(config, shapes) if component.output else result_shape(bound, dict(config))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = component.module(config, shapes)
    except ComponentError as error:
        raise GraphError(Diagnostic("component", f"{component.id}: {error}", why=error.why, fix=error.fix)) from None
    return module.eval(), shape
