"""A trained network as a program of PyTorch that takes any number of cases and gives what its heads decode."""
# Axes: B batch, N tokens, T times.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.deployment.batches import MASK
from fusionkit.deployment.record import ExportedHead, ExportedInput, Mask
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.network.model import FusionModel
from fusionkit.network.quiet_tracing import quiet
from fusionkit.shapes.layouts import MaskedTokens

Program = torch.export.ExportedProgram


class DecodedNetwork(nn.Module):
    """The network in evaluation mode, from arrays by name to the outputs in the order of `networks.output_names`."""

    def __init__(self, model: FusionModel, inputs: Sequence[ExportedInput]) -> None:
        super().__init__()
        self.model, self.items = model.eval(), tuple(inputs)
        self.curved: list[str] = []
        for place, head in enumerate(model.plan.heads):
            times = getattr(model.head(head.name), "curve_times", ())
            if len(times):
                # Which times there are is known from the fitted baseline; traced, it would be a size that varies.
                self.register_buffer(f"times_{place}", torch.as_tensor(times).detach().clone(), persistent=False)
                self.curved.append(head.name)

    def forward(self, given: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Of each head its decoded values (B, K), its mask (B,), its details (B,), its curves (B, T)."""
        return tuple(value for parts in self.named(given).values() for value in parts.values())

    def named(self, given: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """The same by head, the parts under 'values', 'valid', 'detail:KEY' and 'curve'."""
        inputs = {item.name: given[item.name] for item in self.items}
        masks = {item.name: given[item.name + MASK] for item in self.items if item.mask is not None}
        found, validity = self.model(inputs, masks or None), self.model.validity(masks)
        return {head.name: self._parts(place, head.name, found[head.name].float(), validity[head.name])
                for place, head in enumerate(self.model.plan.heads)}

    def _parts(self, place: int, name: str, output: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
        head: Any = self.model.head(name)
        parts = {"values": self.model.decode_output(name, output)}
        if valid is not None:
            parts["valid"] = valid
        if hasattr(head, "details"):
            parts |= {f"detail:{key}": value.float() for key, value in head.details(output).items()}
        if name in self.curved:
            parts["curve"] = head.curve(output, getattr(self, f"times_{place}")).float()
        return parts


def inputs_of(model: FusionModel, cells: set[str]) -> list[ExportedInput]:
    """The inputs of a network, with the masks that it takes; `cells` are those whose known cells it asks for."""
    made = []
    for value, item in zip(model.plan.inputs, model.plan.graph.inputs, strict=True):
        masked = isinstance(value.shape, MaskedTokens)
        optional: Mask = "cases" if value.present is not None else None
        mask: Mask = "tokens" if masked else "cells" if value.name in cells else optional
        made.append(ExportedInput(
            name=value.name, sizes=tuple(value.shape.written), layout=item.layout, optional=item.optional,
            masked=item.masked, most=item.most, known=value.name in cells, whole=value.shape.whole, mask=mask))
    return made


def heads_of(networks: Sequence[DecodedNetwork], given: Mapping[str, Tensor]) -> list[ExportedHead]:
    """The heads of networks of one graph, as one of them answers some cases, the first of which lacks what it may."""
    first = networks[0]
    # Where the CPU knows that everything is there, a network drops its masks, which a program keeps.
    lacking = {name: value.index_fill(0, torch.tensor([0]), False) if name.endswith(MASK) else value
               for name, value in given.items()}
    with torch.inference_mode():
        found = first.named(lacking)
    heads = []
    for place, head in enumerate(first.model.plan.heads):
        parts = found[head.name]
        times = [getattr(network, f"times_{place}").double().tolist() for network in networks if "curve" in parts]
        heads.append(ExportedHead(
            name=head.name, task=head.task, names=head.names, valid="valid" in parts,
            details=tuple(key.removeprefix("detail:") for key in parts if key.startswith("detail:")),
            curve_times=tuple(map(tuple, times)),
            curve_steps=bool(getattr(first.model.head(head.name), "curve_steps", True))))
    return heads


def traced(network: DecodedNetwork, given: Mapping[str, Tensor]) -> Program:
    """The program of a network, traced with some cases: 2 or more, with 2 or more tokens.

    Raises: GraphError with `not-exportable` where a component cannot be traced or fixes the number of cases.
    """
    batch = torch.export.Dim("batch", min=1)
    masked = {item.name for item in network.items if item.masked}
    sizes = {name: {0: batch, 1: torch.export.Dim.DYNAMIC} if name.removesuffix(MASK) in masked else {0: batch}
             for name in given}
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(network, (dict(given),), dynamic_shapes=(sizes,), strict=False)
    except Exception as error:  # tracers raise whatever a component does
        raise not_exportable(network.model, error) from error


def not_exportable(model: FusionModel, error: BaseException) -> GraphError:
    """The refusal of a network that a tracer or a converter cannot take, with its innermost reason."""
    cause, notes = error, list[str]()
    while True:
        notes += getattr(cause, "__notes__", [])
        if cause.__cause__ is None:
            break
        cause = cause.__cause__
    why = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return GraphError(Diagnostic(
        "not-exportable", f"the network {model.plan.name!r} cannot be exported", why="; ".join([why, *notes[:1]]),
        fix="`fusionkit plugins check` with the check `export` shows which line of a component it is; use the run "
            "itself, or another component"))
