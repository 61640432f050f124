"""A network without some inputs: the same weights in a plan in which every input is optional.

It answers what a network predicts if a modality is missing, whether or not its graph declares it optional.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fusionkit.network.measure import witness
from fusionkit.network.model import FusionModel
from fusionkit.network.padding import apart
from fusionkit.planning.resolve import resolve_tree
from fusionkit.planning.shape_inference import infer
from fusionkit.registry.lookup import Registry
from fusionkit.syntax.assign import assign

# Axes: B batch, K columns of a head.


@dataclass(frozen=True)
class Answer:
    """A head's results for a batch: `values` (B, K) as decoded, and `valid` (B,), False where there is no result."""

    values: Tensor
    valid: Tensor


def all_optional(model: FusionModel, registry: Registry) -> FusionModel:
    """The same network with shared tensors, in which any input may be missing; in evaluation mode.

    Raises: GraphError with `absent-input` for a component that requires an input.
    """
    plan = model.plan
    if all(value.present is not None for value in plan.inputs):
        return model.eval()
    tree = plan.graph.tree
    for value in plan.inputs:
        tree = assign(tree, f"inputs.{value.name}.optional=true")
    sizes = {value.name: value.shape.sizes for value in plan.inputs}
    made = FusionModel(infer(resolve_tree(tree, registry), witness, sizes), weights_follow=True)
    made.load_state_dict(model.state_dict(), assign=True)
    made.class_priors = model.class_priors
    return made.eval()


def answers(model: FusionModel, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor],
            keep: Collection[str] | None = None, valid: Mapping[str, Tensor] | None = None) -> dict[str, Answer]:
    """Every head's results for a batch with only the inputs `keep` (None: all), as far as they are present.

    *Shapes*: `inputs` (B, ...), `present` (B,), `valid` (B, N) of those with masked tokens, by input.
    Inputs that are removed must be optional in the plan.
    """
    kept = set(inputs) if keep is None else set(keep)
    present, valid = apart(present, valid or {})
    optional = {value.name for value in model.plan.inputs if value.present is not None}
    taken = {value.name for value in model.plan.inputs} - kept
    assert taken <= optional, f"{sorted(taken - optional)} cannot be removed; please report"
    masks = {name: mask if name in kept else torch.zeros_like(mask) for name, mask in present.items()
             if name in optional}
    # With nothing missing, results are bit-identical to the network's usual ones.
    outputs = model(inputs, masks if not all(bool(mask.all()) for mask in masks.values()) else None, valid)
    everyone = torch.ones(len(next(iter(inputs.values()))), dtype=torch.bool)
    validity = model.validity(masks, valid)
    return {head.name: Answer(model.decode_output(head.name, outputs[head.name].float()).float(),
                              everyone.to(outputs[head.name].device) if validity[head.name] is None
                              else validity[head.name])  # type: ignore[arg-type]  # not None, as just checked
            for head in model.plan.heads}
