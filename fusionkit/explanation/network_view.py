"""A trained network as an explanation sees it: scores to differentiate, feature maps, features, gates, fewer inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fusionkit.components.explanation import Requirement
from fusionkit.data.batch import Batch
from fusionkit.errors import GraphError
from fusionkit.explanation.activations import Features, Gates, batches, features_of, gated, gates_of
from fusionkit.explanation.feature_maps import FeatureMap, Survey
from fusionkit.explanation.scores import HeadScores, MapScores
from fusionkit.inference.predict import Settings
from fusionkit.network.model import FusionModel
from fusionkit.network.optional_inputs import Answer, all_optional, answers
from fusionkit.planning.plan import Plan
from fusionkit.registry.lookup import Registry
from fusionkit.shapes.layouts import MaskedItems


class NetworkView:
    """One network in evaluation mode, on the device where it is explained.

    `model` is the network itself, an `nn.Module`, and `plan` describes its inputs, nodes and heads. `survey` knows its
    tensors by name and finds its feature maps: `survey.maps()`, `survey.at("node")`.
    """

    def __init__(self, model: FusionModel, registry: Registry, settings: Settings) -> None:
        self.model = model.to(settings.chosen_device).eval()
        self.registry = registry
        self.settings = settings
        self._optional: FusionModel | None = None

    @property
    def plan(self) -> Plan:
        """Its inputs, nodes and heads, with their shapes."""
        return self.model.plan

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs, in the order in which `scores` takes them."""
        return tuple(value.name for value in self.plan.inputs)

    @cached_property
    def survey(self) -> Survey:
        """Its tensors and feature maps."""
        return Survey(self.model)

    def scores(self, head: str) -> HeadScores:
        """The scores of a head as a function of the inputs, for gradients with respect to them."""
        return HeadScores(self.survey, head).eval()

    def map_scores(self, place: FeatureMap, head: str) -> MapScores:
        """The same, with a feature map passing through a module of its own, for gradients with respect to it."""
        return MapScores(self.survey, place, head).eval()

    def batches(self, dataset: Dataset[Any]) -> Iterator[Batch]:
        """The cases of a dataset, in order, on the device."""
        return batches(dataset, self.settings)

    def features(self, dataset: Dataset[Any], names: Collection[str]) -> dict[str, Features]:
        """The outputs of nodes for all cases, by name, each averaged over positions: (N, w)."""
        return features_of(self.survey, dataset, [value for value in self.survey.values if value.name in names],
                           self.settings)

    def gates(self, dataset: Dataset[Any]) -> list[Gates]:
        """The gates of every fusion that reports them, for all cases: (N, inputs).

        Raises: RunError if the gates of a component do not have the shape required by the contract.
        """
        return gates_of(self.survey, dataset, self.settings)

    def answers(self, batch: Batch, keep: Collection[str]) -> Mapping[str, Answer]:
        """Every head's decoded results, (B, K), for a batch with only the inputs `keep`, as far as they are present.

        The network is planned anew with every input optional and the same weights.
        Raises: GraphError if a component cannot do without an input.
        """
        with torch.inference_mode():
            return answers(self._of_any_inputs(), batch.inputs, batch.present, keep, batch.valid)

    def _of_any_inputs(self) -> FusionModel:
        if self._optional is None:
            self._optional = all_optional(self.model, self.registry).to(self.settings.chosen_device)
        return self._optional

    def lacks(self, requirement: Requirement) -> list[str]:
        """Why the network does not have what an explanation requires; empty if it has."""
        return {"gradients": self._without_gradients, "maps": self._without_maps, "subsets": self._without_subsets,
                "gates": self._without_gates}[requirement]()

    def _without_gradients(self) -> list[str]:
        device = self.settings.chosen_device
        inputs = [torch.zeros(1, *value.shape.carried, device=device, requires_grad=True) for value in self.plan.inputs]
        for head in self.plan.heads:
            with torch.enable_grad():
                scores = self.scores(head.name).scores(list(inputs), {})
                if scores.requires_grad and any(_gradients(scores, inputs)):
                    return []
        return ["no gradient of a result reaches an input"]

    def _without_maps(self) -> list[str]:
        if any(value.shape.spatial for value in self.plan.inputs):
            return []
        items = [value.name for value in self.plan.inputs
                 if isinstance(value.shape, MaskedItems) and value.shape.item.spatial]
        return [f"{', '.join(items)}: several images of a case, and a map is that of one; gates and Shapley values say "
                "how much an input weighs"] if items else ["the network reads no image or volume"]

    def _without_subsets(self) -> list[str]:
        if len(self.plan.inputs) == 1:
            return ["the network has a single input"]
        try:
            self._of_any_inputs()
        except GraphError as error:
            return ["the network cannot run without some of its inputs:",
                    *(found.render() for found in error.diagnostics)]
        return []

    def _without_gates(self) -> list[str]:
        return [] if gated(self.survey) else ["no fusion in this network has gates to report"]


def _gradients(scores: Tensor, inputs: list[Tensor]) -> list[bool]:
    """Which inputs the gradient of the scores reaches."""
    found = torch.autograd.grad(scores.sum(), inputs, allow_unused=True)
    return [gradient is not None for gradient in found]
