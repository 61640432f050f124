"""The module of a planned node: a component's own module, a chain of them, or one for each tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.nn.parameter import is_lazy

from fusionkit.components.config import ComponentError
from fusionkit.components.failures import component_failed, refused
from fusionkit.components.inner import without_fetching
from fusionkit.errors import GraphError
from fusionkit.network.absence import Absence
from fusionkit.network.coded_inputs import decoding
from fusionkit.network.node_modules import Chain, Each
from fusionkit.planning.plan import Call, Lane, PlannedNode


def make_node(planned: PlannedNode, seed: int, weights_follow: bool = False) -> nn.Module:
    """The module of a node, its weights drawn from a seed that depends on the node's name only.

    With `weights_follow` a file will set every weight, so that no pretrained weights are fetched.
    Raises: GraphError if a component refuses its options or fails.
    """
    name, lanes = planned.name, planned.lanes
    if not planned.node.each:
        return _lane(planned, lanes[0], name, seed, weights_follow)
    chosen = lanes[:1] if planned.node.share else lanes
    modules = {lane.name: _lane(planned, lane, f"{name}.{lane.name}", seed, weights_follow) for lane in chosen}
    return Each(modules, lanes)


def _lane(planned: PlannedNode, lane: Lane, path: str, seed: int, weights_follow: bool) -> nn.Module:
    if len(lane.calls) == 1:
        return _placed(planned, 0, lane.calls[0], path, seed, weights_follow=weights_follow)
    modules = [_placed(planned, index, call, f"{path}.{index}", seed, weights_follow=weights_follow)
               for index, call in enumerate(lane.calls)]
    return Chain(modules, Absence.of(lane))


def _placed(planned: PlannedNode, index: int, call: Call, path: str, seed: int, *, weights_follow: bool) -> nn.Module:
    try:
        return make_module(call, path, seed, weights_follow)
    except GraphError as error:
        place = planned.node.steps[index].span
        raise GraphError([replace(d, span=d.span or place) for d in error.diagnostics]) from error


def make_module(call: Call, path: str, seed: int, weights_follow: bool) -> nn.Module:
    """One component's module. An option named `pretrained` is turned off if a file sets the weights.

    Raises: GraphError if the component refuses its options (`component`), fails (`component-failed`), or cannot use
    a file of weights.
    """
    config = without_fetching(call.config) if weights_follow else call.config
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would also seed the generators of GPUs, which nothing restores.
        torch.default_generator.manual_seed(seed_of(seed, path))
        try:
            with _bounded():
                module = call.component.module(config, call.shapes)
            if not isinstance(module, nn.Module):
                raise TypeError(f"it returned {type(module).__name__!r} instead of an nn.Module")
        except GraphError:
            raise  # a file of weights that it reads is missing or wrong
        except ComponentError as error:
            raise GraphError(refused(call.component.id, error)) from error
        except Exception as error:
            raise GraphError(component_failed(call.component.id, call.inputs, error)) from error
    return decoding(module, call.shapes)


MAX_PARTS, MAX_WEIGHTS = 30_000, 1 << 34
"""Layers and tensors of weights, and numbers in them, that one component may have: a slip is likelier than a need."""


@contextmanager
def _bounded() -> Iterator[None]:
    """Within, a module that grows without bound is refused while it is made.

    Raises: ComponentError.
    """
    parts = weights = 0

    def count(module: nn.Module, name: str, part: nn.Module | nn.Parameter | None) -> None:
        nonlocal parts, weights
        parts += 1
        weights += part.numel() if isinstance(part, nn.Parameter) and not is_lazy(part) else 0
        if parts > MAX_PARTS:
            raise ComponentError(f"its options make more than {MAX_PARTS:,} layers and tensors of weights",
                                 fix="write smaller numbers of blocks or layers, or shorter lists")
        if weights > MAX_WEIGHTS:
            raise ComponentError(f"its options make more than {MAX_WEIGHTS:,} weights",
                                 fix="write smaller widths, or give it smaller inputs")

    hooks = (register_module_module_registration_hook(count), register_module_parameter_registration_hook(count))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def seed_of(seed: int, path: str) -> int:
    """A seed for one part of the network, independent of the names and order of other parts."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{path}".encode()).digest()[:8], "little") >> 1
